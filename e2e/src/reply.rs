//! Responses: whole, or read piece by piece while they come.

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::deadline::within;

/// A response whose head is there.
#[derive(Debug)]
pub struct Open {
    head: Parts,
    body: Incoming,
    trailers: Option<HeaderMap>,
}

impl Open {
    /// The response that a request which was begun has got.
    pub fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        Self {
            head,
            body,
            trailers: None,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The next piece of the body; `None` after the last.
    ///
    /// # Errors
    ///
    /// When the body broke off.
    pub async fn chunk(&mut self) -> hyper::Result<Option<Bytes>> {
        loop {
            let Some(frame) = within("a piece of the body", self.body.frame()).await else {
                return Ok(None);
            };
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
    }

    /// Pieces of the body until they make this text.
    ///
    /// # Panics
    ///
    /// When anything else comes.
    pub async fn expect(&mut self, text: &str) {
        let mut seen = Vec::new();
        while seen.len() < text.len() {
            match self.chunk().await {
                Ok(Some(chunk)) => seen.extend_from_slice(&chunk),
                other => panic!("{other:?} instead of the rest of {text:?}"),
            }
        }
        assert_eq!(String::from_utf8_lossy(&seen), text);
    }

    /// Reads the rest.
    pub async fn read(mut self) -> Reply {
        let mut body = Vec::new();
        let broken = loop {
            match self.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break None,
                Err(error) => break Some(format!("{error:?}")),
            }
        };
        Reply {
            head: self.head,
            body,
            broken,
            trailers: self.trailers,
        }
    }
}

/// A response that was read to its end, or as far as it came.
#[derive(Debug)]
pub struct Reply {
    head: Parts,
    body: Vec<u8>,
    broken: Option<String>,
    trailers: Option<HeaderMap>,
}

impl Reply {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// All fields of its head.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The trailers, if there were any.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The whole body.
    ///
    /// # Panics
    ///
    /// When it broke off.
    pub fn bytes(&self) -> &[u8] {
        if let Some(error) = &self.broken {
            panic!(
                "the body broke off after {} bytes: {error}",
                self.body.len()
            );
        }
        &self.body
    }

    /// The whole body as text.
    ///
    /// # Panics
    ///
    /// When it broke off, or isn't text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).expect("the body is text")
    }

    /// The whole body as JSON.
    ///
    /// # Panics
    ///
    /// When it broke off, or isn't JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).expect("the body is JSON")
    }

    /// Whether the connection broke off before the body had ended.
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// What there is of the body.
    pub fn received(&self) -> &[u8] {
        &self.body
    }

    /// The answer of the function itself: a whole 200.
    ///
    /// # Panics
    ///
    /// When it is anything else.
    pub fn ok(&self) -> &str {
        assert_eq!(self.status(), StatusCode::OK, "{self:?}");
        self.text()
    }

    /// That the platform answered with this status and code, the way that all its errors look
    /// (RFC 9457). Returns the document.
    ///
    /// # Panics
    ///
    /// When it is anything else.
    pub fn failed(&self, status: u16, code: &str) -> Value {
        let told = (self.status().as_u16(), self.header("everwarm-error"));
        assert_eq!(told, (status, Some(code)), "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], status);
        assert_eq!(
            problem["type"],
            format!("https://everwarm.dev/errors/{code}")
        );
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        assert_eq!(
            problem["request_id"].as_str().map(str::len),
            Some(16),
            "{problem}"
        );
        problem
    }
}
