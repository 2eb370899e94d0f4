//! Server-sent events (the HTML standard, section 9.2): events out, as a response that streams.

use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::http::{HeaderValue, header};
use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use serde::Serialize;

use crate::local::LocalFuture;
use crate::{Body, BodyError, Response};

/// One event, or a comment.
///
/// ```
/// use everwarm_sdk::sse::Event;
///
/// let event = Event::data("one\ntwo").with_event("tick").with_id("7");
/// assert_eq!(event.to_string(), "event: tick\nid: 7\ndata: one\ndata: two\n\n");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    fields: String,
    lines: String,
}

impl Event {
    /// An event with this text, which may have many lines.
    pub fn data(text: impl AsRef<str>) -> Self {
        let mut event = Self::default();
        for line in lines(text.as_ref()) {
            event.push("data", line);
        }
        event
    }

    /// An event with this value as JSON.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::data)
    }

    /// A comment, which clients ignore: it keeps a quiet connection open.
    pub fn comment(text: impl AsRef<str>) -> Self {
        let mut event = Self::default();
        for line in lines(text.as_ref()) {
            event.push("", line);
        }
        event
    }

    /// Sets the event's name. Line breaks in it are left out.
    #[must_use]
    pub fn with_event(self, name: impl AsRef<str>) -> Self {
        self.with_field("event", name.as_ref())
    }

    /// Sets the id that a client sends as `last-event-id` when it comes back. Line breaks and NUL
    /// in it are left out.
    #[must_use]
    pub fn with_id(self, id: impl AsRef<str>) -> Self {
        self.with_field("id", id.as_ref())
    }

    /// Sets how long a client waits before it comes back, in whole milliseconds.
    #[must_use]
    pub fn with_retry(self, after: Duration) -> Self {
        self.with_field("retry", &after.as_millis().to_string())
    }

    fn with_field(mut self, field: &str, value: &str) -> Self {
        let value = value.replace(['\r', '\n', '\0'], "");
        // Writing to a string can't fail.
        let _ = writeln!(self.fields, "{field}: {value}");
        self
    }

    fn push(&mut self, field: &str, line: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.lines, "{field}: {line}");
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "{}{}", self.fields, self.lines)
    }
}

impl From<Event> for Bytes {
    fn from(event: Event) -> Self {
        event.to_string().into()
    }
}

/// Lines as the standard has them: ended by `\n`, `\r\n` or `\r`.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

/// A response that streams events: each is sent when the stream yields it.
pub fn response<S>(events: S) -> Response
where
    S: Stream<Item = Event> + 'static,
{
    try_response(Infallible { events })
}

/// A response that streams events, and breaks off at the first error.
pub fn try_response<S, E>(events: S) -> Response
where
    S: Stream<Item = Result<Event, E>> + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Sends an empty comment whenever the stream was quiet for `pause`, so that nothing between here and
/// the client closes the connection for being idle.
///
/// ```
/// use std::time::Duration;
/// use everwarm_sdk::{Response, sse};
/// use futures_util::stream;
///
/// fn answer() -> Response {
///     let events = stream::pending(); // something that takes its time
///     sse::response(sse::keep_alive(events, Duration::from_secs(15)))
/// }
/// ```
pub fn keep_alive<S>(events: S, pause: Duration) -> impl Stream<Item = Event>
where
    S: Stream<Item = Event>,
{
    KeepAlive {
        events,
        pause,
        timer: None,
    }
}

pin_project! {
    struct KeepAlive<S> {
        #[pin]
        events: S,
        pause: Duration,
        timer: Option<LocalFuture>,
    }
}

impl<S: Stream<Item = Event>> Stream for KeepAlive<S> {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.project();
        if let Poll::Ready(event) = this.events.poll_next(context) {
            *this.timer = None;
            return Poll::Ready(event);
        }
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(crate::sleep(*this.pause)));
        ready!(timer.as_mut().poll(context));
        *this.timer = None;
        Poll::Ready(Some(Event::comment("")))
    }
}

pin_project! {
    struct Infallible<S> {
        #[pin]
        events: S,
    }
}

impl<S: Stream<Item = Event>> Stream for Infallible<S> {
    type Item = Result<Event, BodyError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let event = ready!(self.project().events.poll_next(context));
        Poll::Ready(event.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{StreamExt as _, stream};

    use super::{Event, keep_alive, response, try_response};
    use crate::testing::block_on;

    #[test]
    fn every_kind_of_line_break_makes_a_data_line() {
        assert_eq!(
            Event::data("a\nb\r\nc\rd").to_string(),
            "data: a\ndata: b\ndata: c\ndata: d\n\n"
        );
        assert_eq!(Event::data("").to_string(), "data: \n\n");
        assert_eq!(Event::comment("still here").to_string(), ": still here\n\n");
    }

    #[test]
    fn a_field_can_not_smuggle_in_another_one() {
        let event = Event::data("x")
            .with_event("tick\ndata: forged")
            .with_id("1\r\n2\0");
        assert_eq!(
            event.to_string(),
            "event: tickdata: forged\nid: 12\ndata: x\n\n"
        );
    }

    #[test]
    fn retry_is_in_milliseconds_and_json_is_one_line() {
        let event = Event::json(&["a\nb"]).expect("has a JSON form");
        assert_eq!(
            event.with_retry(Duration::from_secs(2)).to_string(),
            "retry: 2000\ndata: [\"a\\nb\"]\n\n"
        );
    }

    #[test]
    fn events_are_streamed_with_the_type_that_browsers_ask_for() {
        let events = stream::iter([Event::data("1"), Event::data("2")]);
        let response = response(events);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = block_on(response.into_body().text()).expect("text");
        assert_eq!(text, "data: 1\n\ndata: 2\n\n");
    }

    #[test]
    fn a_quiet_stream_is_kept_alive_with_comments() {
        let pause = Duration::from_millis(1);
        let quiet = keep_alive(stream::pending(), pause).take(2);
        let text = block_on(response(quiet).into_body().text()).expect("text");
        assert_eq!(text, ": \n\n: \n\n");
        let ready = keep_alive(stream::iter([Event::data("1")]), pause);
        let text = block_on(response(ready).into_body().text()).expect("text");
        assert_eq!(text, "data: 1\n\n");
    }

    #[test]
    fn an_error_breaks_the_stream_off() {
        let events = stream::iter([Ok(Event::data("1")), Err("the model hung up")]);
        let error = block_on(try_response(events).into_body().text()).expect_err("broken off");
        assert_eq!(error.to_string(), "the model hung up");
    }
}
