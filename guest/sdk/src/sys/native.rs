//! No host: what unit tests run on. Requests come from the test, and so do answers to requests that are
//! sent, and values that are asked for; time comes from the system.

pub(crate) mod blobs;
pub(crate) mod cache;
pub(crate) mod keyvalue;
pub(crate) mod queue;
pub(crate) mod redis;
pub(crate) mod sql;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::marker::PhantomData;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use ::http::{HeaderMap, Method};

use super::Exported;
use crate::body::Body;
use crate::client::{SendError, SendErrorKind, SendOptions};
use crate::config::ConfigError;
use crate::executor::blocking::{Executor, Pollable, Ready};
use crate::local::LocalFuture;
use crate::log::Level;
use crate::{Request, Response};

/// What is answered for each name.
type Config = BTreeMap<String, Result<String, ConfigError>>;
/// What answers the requests that are sent.
type Server = Rc<dyn Fn(Request) -> LocalFuture<Result<Response, SendError>>>;

thread_local! {
    static EXECUTOR: Executor<Alarm> = const { Executor::new() };
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    static CONFIG: RefCell<Config> = const { RefCell::new(Config::new()) };
}

struct Alarm(Instant);

impl Pollable for Alarm {
    fn wait(pollables: &[&Self]) -> Vec<u32> {
        let Some(first) = pollables.iter().map(|alarm| alarm.0).min() else {
            return Vec::new();
        };
        thread::sleep(first.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        (0u32..)
            .zip(pollables)
            .filter(|(_, alarm)| alarm.0 <= now)
            .map(|(index, _)| index)
            .collect()
    }
}

/// Unit tests see messages as whatever else they print.
pub(crate) fn log(level: Level, context: &str, message: &str) {
    println!("{level:?} {context}: {message}");
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    EXECUTOR.with(|executor| executor.run(future))
}

pub(crate) fn spawn(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.spawn(work));
}

pub(crate) fn wait_until(work: LocalFuture) {
    EXECUTOR.with(|executor| executor.after_main(work));
}

pub(crate) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send + 'static {
    Ready::new(&EXECUTOR, Alarm(Instant::now() + duration))
}

/// From now on this answers what is sent on this thread.
pub(crate) fn on_send(
    server: impl Fn(Request) -> LocalFuture<Result<Response, SendError>> + 'static,
) {
    SERVER.set(Some(Rc::new(server)));
}

/// The time-outs of a send, which the test finds among the request's extensions.
pub(crate) struct Timeouts(SendOptions);

pub(crate) fn timeouts(options: SendOptions) -> Option<Timeouts> {
    (options != SendOptions::new()).then_some(Timeouts(options))
}

/// Gives the request to the test.
pub(crate) async fn send(
    mut request: Request,
    timeouts: Option<Timeouts>,
) -> Result<Response, SendError> {
    let Some(server) = SERVER.with_borrow(Clone::clone) else {
        let text = "nothing answers in this test: say what does with `testing::on_send`";
        return Err(SendError::new(SendErrorKind::InternalError).with_text(text.to_owned()));
    };
    if let Some(Timeouts(options)) = timeouts {
        request.extensions_mut().insert(options);
    }
    let uri = request.uri().clone();
    match server(request).await {
        Ok(response) => Ok(response.map(Body::received)),
        Err(error) => Err(error.about(&uri)),
    }
}

/// From now on this is answered for a name on this thread.
pub(crate) fn set_config(name: &str, value: Result<String, ConfigError>) {
    CONFIG.with_borrow_mut(|config| config.insert(name.to_owned(), value));
}

pub(crate) fn config_get(name: &str) -> Result<Option<String>, ConfigError> {
    CONFIG.with_borrow(|config| config.get(name).cloned().transpose())
}

#[expect(clippy::unnecessary_wraps, reason = "hosts may fail")]
pub(crate) fn config_get_all() -> Result<Vec<(String, String)>, ConfigError> {
    let all = CONFIG.with_borrow(Clone::clone);
    Ok(all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.ok()?)))
        .collect())
}

/// The request that a test made.
pub(crate) struct IncomingRequest(Request);

impl IncomingRequest {
    pub(crate) fn new(request: Request) -> Self {
        Self(request)
    }

    pub(crate) fn method(&self) -> Method {
        self.0.method().clone()
    }

    pub(crate) fn path_and_query(&self) -> String {
        let path = self.0.uri().path_and_query();
        path.map_or_else(|| "/".to_owned(), ToString::to_string)
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        self.0.headers().clone()
    }

    pub(crate) fn into_request(self) -> Request {
        self.0
    }

    pub(crate) fn into_body(self) -> Body {
        self.0.into_body()
    }
}

/// Nothing is exported without a host.
pub struct Export<H>(PhantomData<H>);

impl<H: Exported> Export<H> {
    /// Keeps the handler from being dead code where nothing exports it.
    pub const USED: bool = true;
}

/// Exports nothing: there is no host to call it.
#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($handler:ident) => {
        const _: bool = $crate::__private::Export::<$handler>::USED;
    };
}
