//! Faults that the SDK can't commit, on the raw WASI 0.3 bindings.
#![allow(missing_docs, reason = "the export macro's items carry none")]

mod reach;

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::{self, yield_async};
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Misbehave);

struct Misbehave;

impl wasip3::exports::http::handler::Guest for Misbehave {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        if let Some(Ok(port)) = path.strip_prefix("/reach/").map(str::parse) {
            return Ok(response(reach::attempts(port).await, Ok(())));
        }
        match path.as_str() {
            // Turns for ever, and gives the host its turn each time.
            "/never-answer" => loop {
                yield_async().await;
            },
            "/error-code" => Err(ErrorCode::InternalError(Some(
                "the guest said so".to_owned(),
            ))),
            "/unfinished-body" => Ok(response("half of it", Err(ErrorCode::InternalError(None)))),
            "/bad-header" => Ok(response(bad_header(), Ok(()))),
            "/trap-after-head" => {
                wit_bindgen::spawn_local(async {
                    #[cfg(target_family = "wasm")]
                    core::arch::wasm32::unreachable();
                });
                Ok(response("before the trap", Ok(())))
            }
            "/no-body" => {
                let (_, trailers) = wit_future::new(|| Ok(None));
                Ok(Response::new(Fields::new(), None, trailers).0)
            }
            _ => Ok(response("ok\n", Ok(()))),
        }
    }
}

/// These bytes, then the end that is asked for.
fn response(bytes: impl Into<Vec<u8>>, end: Result<(), ErrorCode>) -> Response {
    let bytes = bytes.into();
    let (mut body, contents) = wit_stream::new();
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(contents), trailers);
    wit_bindgen::spawn_local(async move {
        body.write_all(bytes).await;
        drop(body);
        let _ = ended.write(end.map(|()| None)).await;
    });
    response
}

/// Says which fields the host refuses.
fn bad_header() -> String {
    let fields = Fields::new();
    let refused = [
        fields.append("x-good", b"value"),
        fields.append("bad name", b"value"),
        fields.append("x-split", b"a\r\nb: c"),
        fields.append("transfer-encoding", b"chunked"),
        fields.append("connection", b"close"),
    ];
    let digits = refused.map(|refused| if refused.is_err() { "1" } else { "0" });
    digits.concat() + "\n"
}
