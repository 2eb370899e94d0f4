//! Hello on the raw WASI 0.3 bindings. The SDK's own hello is measured against this.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        drop(request);
        let fields = Fields::from_list(&[
            (
                "content-type".to_owned(),
                b"text/plain; charset=utf-8".to_vec(),
            ),
            ("content-length".to_owned(), b"20".to_vec()),
        ])
        .map_err(|_| ErrorCode::InternalError(None))?;
        let (mut body, contents) = wit_stream::new();
        let (trailers_writer, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(fields, Some(contents), trailers);
        wit_bindgen::spawn_local(async move {
            body.write_all(b"Hello from Everwarm\n".to_vec()).await;
            drop(body);
            drop(trailers_writer);
        });
        Ok(response)
    }
}
