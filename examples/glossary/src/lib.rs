//! Answers from files that were deployed with it: `GET /` lists the terms, `GET /<term>` says what one means.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use everwarm_sdk::{Error, IntoResponse, Request, Result};

/// Where the manifest mounts the folder; tests find it where they run.
const TERMS: &str = if cfg!(test) { "terms" } else { "/terms" };

#[everwarm_sdk::http]
async fn glossary(request: Request) -> Result {
    let term = request.uri().path().trim_start_matches('/');
    if term.is_empty() {
        return Ok(terms()?.into_response());
    }
    match fs::read_to_string(Path::new(TERMS).join(format!("{term}.txt"))) {
        Ok(meaning) => Ok(meaning.into_response()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::not_found("no such term")),
        Err(error) => Err(error.into()),
    }
}

/// The terms, a line each.
fn terms() -> std::io::Result<String> {
    let mut terms = String::new();
    for file in fs::read_dir(TERMS)? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if let Some(term) = name.strip_suffix(".txt") {
            terms += &format!("{term}\n");
        }
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use everwarm_sdk::Body;
    use everwarm_sdk::http::StatusCode;
    use everwarm_sdk::testing::{block_on, call};

    use super::*;

    fn ask(path: &str) -> (StatusCode, String) {
        let request = everwarm_sdk::http::Request::get(path).body(Body::empty());
        let response = block_on(call(glossary, request.expect("a valid request")));
        let status = response.status();
        (status, block_on(response.into_body().text()).expect("text"))
    }

    #[test]
    fn terms_are_listed_and_told() {
        let (status, terms) = ask("/");
        assert_eq!(status, StatusCode::OK);
        for term in terms.lines() {
            let (status, meaning) = ask(&format!("/{term}"));
            assert_eq!(status, StatusCode::OK);
            assert!(!meaning.is_empty());
        }
        assert!(terms.contains("lane\n"), "{terms}");
        assert_eq!(ask("/nothing").0, StatusCode::NOT_FOUND);
    }
}
