//! A function that knows nothing of Everwarm, as the `wstd` crate's own documentation writes one.

use wstd::http::{Body, Error, Request, Response};

mod bindings {
    #![allow(
        missing_docs,
        clippy::pedantic,
        clippy::undocumented_unsafe_blocks,
        reason = "generated"
    )]
    // The draft as it was before it had a version.
    wit_bindgen::generate!({ path: "wit", world: "imports" });
}
use bindings::wasi::logging::logging::{Level, log};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    if request.uri().path() == "/scheme" {
        let scheme = request.uri().scheme_str().unwrap_or_default();
        return Ok(Response::new(scheme.to_owned().into()));
    }
    if request.uri().path() == "/log" {
        log(Level::Error, "wstd", "a message of another toolchain");
    }
    Ok(Response::new("Hello from wstd\n".to_owned().into()))
}
