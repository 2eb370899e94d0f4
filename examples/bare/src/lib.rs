//! A function without the SDK: the `wasip3` crate's bindings of WASI 0.3 and nothing else. It is
//! `concurrent`: one instance answers many requests, and counts them.

use std::sync::atomic::{AtomicU64, Ordering};

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

wasip3::http::service::export!(Bare);

struct Bare;

/// How many requests this instance has answered.
static ANSWERED: AtomicU64 = AtomicU64::new(0);

impl wasip3::exports::http::handler::Guest for Bare {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query();
        let path = path.as_deref().unwrap_or("/");
        let count = ANSWERED.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!("{path} is request {count} of this instance\n");

        let fields = Fields::from_list(&[(
            "content-type".to_owned(),
            b"text/plain; charset=utf-8".to_vec(),
        )])
        .map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;

        // The head is returned; the body goes out on a stream, beside and after that.
        let (mut body, contents) = wit_stream::new();
        let (_no_trailers, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(fields, Some(contents), trailers);
        spawn_local(async move {
            // What is left over was for a client that has gone.
            let _unsent = body.write_all(text.into_bytes()).await;
        });
        Ok(response)
    }
}
