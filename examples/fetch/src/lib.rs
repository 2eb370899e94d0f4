//! Asks another server for a repository, and answers with what is of interest of it. The server is what the
//! environment names, and the manifest has to grant it.

use std::time::Duration;

use everwarm_sdk::http::StatusCode;
use everwarm_sdk::{Error, Json, LazyRequest, Request, Result, SendOptions, send_with};
use serde::{Deserialize, Serialize};

/// Who is asked when the environment says nothing.
const UPSTREAM: &str = "https://example.com";

/// How long the answer may take to begin, and to go on.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked for. The rest of the answer is skipped.
#[derive(Debug, Deserialize)]
struct Repository {
    full_name: String,
    stargazers_count: u64,
    open_issues_count: u64,
}

#[derive(Debug, Serialize)]
struct Summary {
    name: String,
    stars: u64,
    issues: u64,
}

#[everwarm_sdk::http]
async fn summary(request: LazyRequest) -> Result<Json<Summary>> {
    let upstream = std::env::var("UPSTREAM");
    let upstream = upstream.as_deref().unwrap_or(UPSTREAM);
    let uri = format!("{upstream}{}", request.path_and_query());
    let request = Request::get(uri)
        .header("accept", "application/json")
        .header("user-agent", "everwarm-example")
        .body(())?;
    let options = SendOptions::new()
        .with_first_byte_timeout(PATIENCE)
        .with_between_bytes_timeout(PATIENCE);
    let response = match send_with(request, options).await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => {
            return Err(Error::new(StatusCode::GATEWAY_TIMEOUT).with_source(error));
        }
        Err(error) => return Err(Error::new(StatusCode::BAD_GATEWAY).with_source(error)),
    };
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Error::not_found("there is no such repository")),
        other => {
            let source = format!("the server answered {other}");
            return Err(Error::new(StatusCode::BAD_GATEWAY).with_source(source));
        }
    }
    let found: Repository = response.into_body().json().await?;
    Ok(Json(Summary {
        name: found.full_name,
        stars: found.stargazers_count,
        issues: found.open_issues_count,
    }))
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::testing::{block_on, call, on_send};
    use everwarm_sdk::{Body, Request, Response, SendErrorKind};

    use super::summary;

    fn get(path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty());
        let response = block_on(call(summary, request.expect("a valid request")));
        let status = response.status().as_u16();
        let text = block_on(response.into_body().text());
        (status, text.expect("text"))
    }

    #[test]
    fn what_is_of_interest_is_passed_on() {
        on_send(|request| async move {
            assert_eq!(request.uri(), "https://example.com/repos/a/b");
            Response::new(
                r#"{"id":1,"full_name":"a/b","stargazers_count":7,"open_issues_count":2}"#,
            )
        });
        let expected = r#"{"name":"a/b","stars":7,"issues":2}"#;
        assert_eq!(get("/repos/a/b"), (200, expected.to_owned()));
    }

    #[test]
    fn a_repository_that_is_not_there_is_a_404() {
        on_send(|_| async {
            let mut response = Response::new("<html>");
            *response.status_mut() = 404.try_into().expect("a status");
            response
        });
        assert_eq!(get("/repos/a/b").0, 404);
    }

    #[test]
    fn a_server_that_is_slow_gone_or_wrong_is_not_the_clients_fault() {
        let fail = |kind: SendErrorKind| {
            on_send(move |_| async move { Err::<Response, _>(kind.into()) });
            get("/repos/a/b").0
        };
        assert_eq!(fail(SendErrorKind::ConnectionReadTimeout), 504);
        assert_eq!(fail(SendErrorKind::ConnectionRefused), 502);
        on_send(|_| async { Response::new("<html>") });
        assert_eq!(get("/repos/a/b").0, 500);
    }
}
