//! A function that knows nothing of Everwarm, as the `wstd` crate's own documentation writes one.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    if request.uri().path() == "/scheme" {
        let scheme = request.uri().scheme_str().unwrap_or_default();
        return Ok(Response::new(scheme.to_owned().into()));
    }
    Ok(Response::new("Hello from wstd\n".to_owned().into()))
}
