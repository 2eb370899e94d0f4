//! Faults that the SDK can't commit, on the raw WASI 0.3 bindings.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{self, yield_async};
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Misbehave);

struct Misbehave;

impl wasip3::exports::http::handler::Guest for Misbehave {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match path.as_str() {
            // Turns for ever, and gives the host its turn each time.
            "/never-answer" => loop {
                yield_async().await;
            },
            "/error-code" => Err(ErrorCode::InternalError(Some(
                "the guest said so".to_owned(),
            ))),
            "/unfinished-body" => Ok(half(Err(ErrorCode::InternalError(None)))),
            "/trap-after-head" => {
                wit_bindgen::spawn_local(async {
                    #[cfg(target_family = "wasm")]
                    core::arch::wasm32::unreachable();
                });
                Ok(half(Ok(())))
            }
            "/no-body" => {
                let (_, trailers) = wit_future::new(|| Ok(None));
                Ok(Response::new(Fields::new(), None, trailers).0)
            }
            _ => Ok(half(Ok(()))),
        }
    }
}

/// Three bytes, then the end that is asked for.
fn half(end: Result<(), ErrorCode>) -> Response {
    let (mut body, contents) = wit_stream::new();
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        body.write_all(b"ok\n".to_vec()).await;
        drop(body);
        let _ = ended.write(end.map(|()| None)).await;
    });
    response
}
