//! An error as `application/problem+json` (RFC 9457). Here is decided what the client sees and what
//! only the log does.

use ::http::{HeaderValue, header};
use serde_json::{Map, Value};

use crate::{Body, Error, IntoResponse, Response};

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if self.source().is_some() {
            eprintln!("{self}");
        }
        let title = self.title().to_owned();
        let problem = self.into_problem();
        let mut document: Map<String, Value> = Map::new();
        if let Some(kind) = problem.kind {
            document.insert("type".into(), kind.into_owned().into());
        }
        document.insert("title".into(), title.into());
        document.insert("status".into(), problem.status.as_u16().into());
        if let Some(detail) = problem.detail {
            document.insert("detail".into(), detail.into_owned().into());
        }
        for (name, value) in problem.members {
            document.entry(name).or_insert(value);
        }
        let mut response = Response::new(Body::from(Value::Object(document).to_string()));
        *response.status_mut() = problem.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::block_on;
    use crate::{Error, IntoResponse};

    fn document(error: impl Into<Error>) -> (u16, Value) {
        let response = error.into().into_response();
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let status = response.status().as_u16();
        let value = block_on(response.into_body().json()).expect("JSON");
        (status, value)
    }

    #[test]
    fn any_error_is_a_500_that_does_not_tell_its_cause() {
        let cause = "secret".parse::<u32>().expect_err("no number");
        let (status, value) = document(cause);
        assert_eq!(status, 500);
        assert_eq!(
            value,
            json!({"title": "Internal Server Error", "status": 500})
        );
    }

    #[test]
    fn what_the_author_set_reaches_the_client() {
        let error = Error::not_found("there is no todo 7")
            .with_title("No such todo")
            .with_type("https://example.com/errors/no-such-todo")
            .with_member("id", 7)
            .with_member("status", 200);
        let (status, value) = document(error);
        assert_eq!(status, 404);
        assert_eq!(
            value,
            json!({
                "type": "https://example.com/errors/no-such-todo",
                "title": "No such todo",
                "status": 404,
                "detail": "there is no todo 7",
                "id": 7,
            })
        );
    }

    #[test]
    fn the_log_line_names_every_cause() {
        let cause = "x".parse::<u32>().expect_err("no number");
        let error = Error::bad_request("the id is no number").with_source(cause);
        assert_eq!(
            error.to_string(),
            "400 Bad Request: the id is no number: invalid digit found in string"
        );
    }
}
