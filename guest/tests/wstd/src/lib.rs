//! A function that knows nothing of Everwarm, as the `wstd` crate's own documentation writes one.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new("Hello from wstd\n".to_owned().into()))
}
