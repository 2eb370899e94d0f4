//! A function that knows nothing of Everwarm, on the `wasip3` crate's `http` compatibility.
#![allow(missing_docs, reason = "the export macro's items carry none")]

use bytes::Bytes;
use http_body_util::Full;
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::http_compat::http_into_wasi_response;

mod bindings {
    #![allow(
        clippy::pedantic,
        clippy::undocumented_unsafe_blocks,
        reason = "generated"
    )]
    wit_bindgen::generate!({ path: "wit", world: "imports" });
}
use bindings::wasi::logging::logging::{Level, log};

wasip3::http::service::export!(Hello);

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if request.get_path_with_query().as_deref() == Some("/log") {
            log(Level::Error, "wasip3", "a message of another toolchain");
        }
        let body = Full::new(Bytes::from_static(b"Hello from wasip3\n"));
        http_into_wasi_response(http::Response::new(body))
    }
}
