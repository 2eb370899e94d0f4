//! Sends the requests that a test asks for: the path says what kind, and `url`, percent-encoded, where to.
//!
//! Answers that pass the upstream's on have its status, its body as it streams, and its headers that begin
//! with `x-`. A send that fails there is a 502 with the report that the other paths give:
//!
//! - `ok <status>` for a response, with how many bytes were read where the body was;
//! - the kind of the error, and on a second line what it says. Behind a body that broke off, a third line
//!   says after how many bytes.
//!
//! `/timed` says besides, in `x-took-ns`, how long it took from making the request to having read its response.
//!
//! A `url` that is no URI is sent nowhere: the answer is a 200 that says `unsendable`, and why.

mod passing;
mod query;
mod reporting;

use everwarm_sdk::http::Uri;
use everwarm_sdk::{Error, IntoResponse as _, Request, Result};

use crate::query::Query;

#[everwarm_sdk::http]
async fn fetch(request: Request) -> Result {
    let query = Query::of(request.uri());
    let path = request.uri().path().to_owned();
    let url = query
        .text("url")
        .ok_or_else(|| Error::bad_request("`url` says where to"))?;
    let url: Uri = match url.parse() {
        Ok(url) => url,
        Err(error) => return Ok(format!("unsendable\n{error}\n").into_response()),
    };
    match path.as_str() {
        "/get" => passing::get(url).await,
        "/timed" => reporting::timed(url).await,
        "/post" => passing::post(url, request.into_body()).await,
        "/whole" => passing::whole(url, query.number("bytes").unwrap_or(1 << 20)).await,
        "/headers" => passing::headers(url, request.headers()).await,
        "/many" => reporting::many(url, query.number("n").unwrap_or(2)).await,
        "/error" => reporting::error(url).await,
        "/timeouts" => reporting::timeouts(url, &query).await,
        "/drop" => reporting::dropped(url, query.time("ms")).await,
        "/body-error" => reporting::body_error(url, query.time("ms")).await,
        "/trailers" => reporting::trailers(url).await,
        _ => Err(Error::not_found(format!("nothing is sent for {path}"))),
    }
}
