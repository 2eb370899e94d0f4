//! Keeps files: `PUT` streams one in, `GET` streams it out, `DELETE` forgets it, and `GET /?prefix=` lists names.

use everwarm_sdk::blobs::Container;
use everwarm_sdk::http::{Method, StatusCode};
use everwarm_sdk::{Error, IntoResponse, Request, Response, Result};

#[everwarm_sdk::http]
async fn files(request: Request) -> Result {
    let files = Container::open("files")?;
    let name = request.uri().path().trim_start_matches('/').to_owned();
    match *request.method() {
        Method::GET if name.is_empty() => {
            let query = request.uri().query().unwrap_or_default();
            list(&files, query.strip_prefix("prefix=").unwrap_or_default()).await
        }
        Method::GET => {
            let file = files.get(&name).await?;
            let file = file.ok_or_else(|| Error::not_found("there is no such file"))?;
            Ok(Response::new(file.into_body()))
        }
        Method::PUT => {
            let kept = files.put(&name, request.into_body()).await?;
            Ok(format!("{} bytes are kept\n", kept.size).into_response())
        }
        Method::DELETE => {
            files.delete(&name).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        _ => Err(Error::new(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

async fn list(files: &Container, prefix: &str) -> Result {
    let (mut names, mut count, mut cursor) = (String::new(), 0, None);
    loop {
        let page = files.list(prefix, cursor.as_deref(), 100).await?;
        count += page.blobs.len();
        for file in page.blobs {
            names += &format!("{} {}\n", file.size, file.name);
        }
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok((names + &format!("{count} files\n")).into_response());
        }
    }
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::testing::{block_on, call};

    use super::*;

    fn ask(method: Method, path: &str, body: &'static str) -> String {
        let request = everwarm_sdk::http::Request::builder()
            .method(method)
            .uri(path);
        let request = request.body(Body::from(body)).expect("a valid request");
        let response = block_on(call(files, request));
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        block_on(response.into_body().text()).expect("text")
    }

    #[test]
    fn file_is_kept_listed_read_and_forgotten() {
        assert_eq!(ask(Method::PUT, "/notes/a", "hello"), "5 bytes are kept\n");
        assert_eq!(
            ask(Method::GET, "/?prefix=notes", ""),
            "5 notes/a\n1 files\n"
        );
        assert_eq!(ask(Method::GET, "/notes/a", ""), "hello");
        ask(Method::DELETE, "/notes/a", "");
        assert_eq!(ask(Method::GET, "/", ""), "0 files\n");
    }
}
