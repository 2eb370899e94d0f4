//! What a handler fails with. It holds what the client may know (RFC 9457) apart from what only the
//! log may know. How it becomes a response is in `problem`.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use ::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::body::BodyError;

type Source = Box<dyn StdError + Send + Sync>;

/// An error that becomes an `application/problem+json` response (RFC 9457).
///
/// Any error that implements [`std::error::Error`] turns into one with `?`: a 500 that tells the
/// client nothing of the cause, which is written to stderr instead.
///
/// ```
/// use everwarm_sdk::{Error, Result};
///
/// fn parse(id: &str) -> Result<u32> {
///     id.parse()
///         .map_err(|_| Error::not_found(format!("there is no todo {id:?}")))
/// }
/// # assert_eq!(parse("x").unwrap_err().status(), 404);
/// ```
pub struct Error(Box<Problem>);

pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) kind: Option<Cow<'static, str>>,
    pub(crate) title: Option<Cow<'static, str>>,
    pub(crate) detail: Option<Cow<'static, str>>,
    pub(crate) members: Map<String, Value>,
    pub(crate) source: Option<Source>,
}

impl Error {
    /// An error with this status, whose title is the status's own phrase.
    pub fn new(status: StatusCode) -> Self {
        Self(Box::new(Problem {
            status,
            kind: None,
            title: None,
            detail: None,
            members: Map::new(),
            source: None,
        }))
    }

    /// 400, with what was wrong with the request.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).with_detail(detail)
    }

    /// 404, with what could not be found.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND).with_detail(detail)
    }

    /// 500, with a cause that goes to stderr and not to the client.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR).with_source(source)
    }

    /// Sets the short summary, the same for every error of this kind.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.0.title = Some(title.into());
        self
    }

    /// Sets what happened this time. The client sees it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Sets the URI that names this kind of error (`type` in the response).
    #[must_use]
    pub fn with_type(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.0.kind = Some(uri.into());
        self
    }

    /// Adds a member of its own to the problem document. A value that JSON can't hold is left out.
    #[must_use]
    pub fn with_member(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.members.insert(name.into(), value);
        }
        self
    }

    /// Sets the cause, which is written to stderr and never sent to the client.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told happened.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The cause, which the client is not told.
    pub fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }

    pub(crate) fn title(&self) -> &str {
        let status = self.0.status;
        self.0
            .title
            .as_deref()
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("Error"))
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(source: E) -> Self {
        let source: Source = Box::new(source);
        let body = source.downcast_ref::<BodyError>();
        let status = if body.is_some_and(|error| !error.is_of_response()) {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self::new(status).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.0.status.as_u16(), self.title())?;
        if let Some(detail) = &self.0.detail {
            write!(formatter, ": {detail}")?;
        }
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
