//! Runs functions without a host, in plain `cargo test`.
//!
//! ```
//! use everwarm_sdk::testing::{block_on, call};
//! use everwarm_sdk::{Body, Request};
//!
//! async fn shout(text: String) -> String {
//!     text.to_uppercase()
//! }
//!
//! let response = block_on(call(shout, Request::new(Body::from("hello"))));
//! assert_eq!(block_on(response.into_body().text()).unwrap(), "HELLO");
//! ```

use std::future::Future;

use crate::config::ConfigError;
use crate::queue::Message;
use crate::redis::{self, RedisError};
use crate::response::{IntoBody, declare_length};
use crate::sql::{SqlError, Value};
use crate::{FromRequest, IntoResponse, LazyRequest, Request, Response, SendError, sys, task};

/// Runs a future and all the work that it starts to the end, on this thread. Time is real.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    sys::block_on(future)
}

/// Gives a handler this request, and returns what the host would be given.
pub async fn call<T, F, R>(handler: impl Fn(T) -> F, request: Request) -> Response
where
    T: FromRequest,
    F: Future<Output = R>,
    R: IntoResponse,
{
    let mut response = task::answer_request(handler, lazy(request)).await;
    declare_length(&mut response);
    response
}

/// A request as a handler's argument is made of.
pub fn lazy(request: Request) -> LazyRequest {
    LazyRequest::new(sys::IncomingRequest::new(request))
}

/// Says what answers the requests that are [sent](crate::send) on this thread from now on, in the place of
/// all servers that there are. Without it every send fails.
///
/// The request is the one that would be sent: with an absolute URI, and with the
/// [`SendOptions`](crate::SendOptions) among its extensions where time-outs are set.
///
/// ```
/// use everwarm_sdk::testing::{block_on, call, on_send};
/// use everwarm_sdk::{Body, LazyRequest, Request, Response, Result, SendErrorKind, send};
///
/// async fn weather(request: LazyRequest) -> Result<String> {
///     let uri = format!("https://weather.example.com{}", request.path_and_query());
///     let response = send(Request::get(uri).body(Body::empty())?).await?;
///     Ok(response.into_body().text().await?)
/// }
///
/// on_send(|request| async move {
///     assert_eq!(request.uri(), "https://weather.example.com/bern");
///     Response::new("sunny")
/// });
/// let asked = Request::get("/bern").body(Body::empty()).unwrap();
/// let response = block_on(call(weather, asked));
/// assert_eq!(block_on(response.into_body().text()).unwrap(), "sunny");
///
/// // A server that can't be reached.
/// on_send(|_| async { Err::<Response, _>(SendErrorKind::ConnectionRefused.into()) });
/// let response = block_on(call(weather, Request::default()));
/// assert_eq!(response.status(), 500);
/// ```
pub fn on_send<F, A>(answer: F)
where
    F: Fn(Request) -> A + 'static,
    A: Future<Output: Answer> + 'static,
{
    sys::on_send(move |request| {
        let answer = answer(request);
        Box::pin(async move { answer.await.into_result() })
    });
}

/// Says what [`config::get`](crate::config::get) answers for a name on this thread from now on, be it a value of the
/// manifest or a secret.
///
/// ```
/// use everwarm_sdk::config;
/// use everwarm_sdk::testing::{fail_config, set_config};
///
/// set_config("REGION", "eu");
/// fail_config("STRIPE_KEY", "it isn't set");
/// assert_eq!(config::get("REGION").unwrap().as_deref(), Some("eu"));
/// assert!(config::get("STRIPE_KEY").is_err());
/// assert_eq!(config::get("OTHER").unwrap(), None);
/// ```
pub fn set_config(name: &str, value: &str) {
    sys::set_config(name, Ok(value.to_owned()));
}

/// Says that [`config::get`](crate::config::get) fails for a name on this thread from now on, as it does for a secret
/// that isn't set.
pub fn fail_config(name: &str, text: &str) {
    sys::set_config(name, Err(ConfigError::Upstream(text.to_owned())));
}

/// What a request that is sent may be answered with: a response, or the error that the send has. Sealed.
pub trait Answer: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<Response, SendError>;
}

impl<B: IntoBody> Answer for Response<B> {
    fn into_result(self) -> Result<Response, SendError> {
        Ok(self.map(IntoBody::into_body))
    }
}

impl<B: IntoBody> Answer for Result<Response<B>, SendError> {
    fn into_result(self) -> Result<Response, SendError> {
        self.map(|response| response.map(IntoBody::into_body))
    }
}

/// Says what answers the [statements](crate::sql) of this thread from now on. Without it every statement fails.
/// Transactions come as the statements `BEGIN`, `BEGIN READ`, `COMMIT` and `ROLLBACK`.
///
/// ```
/// use everwarm_sdk::sql::{Connection, SqlError, Value};
/// use everwarm_sdk::testing::{SqlAnswer, block_on, on_sql};
///
/// async fn count() -> Result<i64, SqlError> {
///     let database = Connection::open("default")?;
///     let rows = database.query("SELECT count(*) FROM person", []).await?;
///     rows.all().await?[0].at(0)
/// }
///
/// on_sql(|_, _| Ok(SqlAnswer::rows(["count(*)"], [vec![Value::from(7)]])));
/// assert_eq!(block_on(count()), Ok(7));
/// ```
pub fn on_sql(answer: impl Fn(&str, &[Value]) -> Result<SqlAnswer, SqlError> + 'static) {
    sys::sql::on_sql(answer);
}

/// What was sent to a [queue](crate::queue) on this thread, in its order.
///
/// ```
/// use everwarm_sdk::queue::{self, Message};
/// use everwarm_sdk::testing::{block_on, sent_to};
///
/// assert!(block_on(queue::send("mails", "hello")).is_ok());
/// assert_eq!(sent_to("mails"), [Message::from("hello")]);
/// ```
pub fn sent_to(queue: &str) -> Vec<Message> {
    sys::queue::sent(queue)
}

/// Says what answers the [commands](crate::redis) of this thread from now on. Without it every command fails.
///
/// ```
/// use everwarm_sdk::redis::{Redis, Value};
/// use everwarm_sdk::testing::{block_on, on_redis};
///
/// on_redis(|_, command| {
///     assert_eq!(command[0], b"GET");
///     Ok(Value::Bytes(b"hello".to_vec()))
/// });
/// let found = block_on(Redis::server("default").get("greeting"));
/// assert_eq!(found, Ok(Some(b"hello".to_vec())));
/// ```
pub fn on_redis(answer: impl Fn(&str, &[Vec<u8>]) -> Result<redis::Value, RedisError> + 'static) {
    sys::redis::on_redis(answer);
}

/// What a statement is answered with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SqlAnswer {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) changed: u64,
}

impl SqlAnswer {
    /// Rows, with the names of their columns.
    pub fn rows(
        columns: impl IntoIterator<Item = &'static str>,
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Self {
        Self {
            columns: columns.into_iter().map(str::to_owned).collect(),
            rows: rows.into_iter().collect(),
            changed: 0,
        }
    }

    /// How many rows it changed.
    pub fn changed(rows: u64) -> Self {
        Self {
            changed: rows,
            ..Self::default()
        }
    }
}

mod sealed {
    use crate::{Response, SendError};

    pub trait Sealed {}

    impl<B> Sealed for Response<B> {}
    impl<B> Sealed for Result<Response<B>, SendError> {}
}
