//! A refusal that comes while its client still sends: what is on its way is read and thrown away for a moment. Otherwise the
//! connection is reset under it, and its client learns that and not why (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::super::pace::Paced;

/// How long nothing may come until the client has heard.
const QUIET_TIME: Duration = Duration::from_millis(250);
/// How long it may go on whatever comes.
const TIME_MAX: Duration = Duration::from_secs(3);

/// Has a response end when the client sends nothing more, or soon.
pub(super) fn lingering(response: Response, sent: Paced) -> Response {
    response.map(|answer| {
        Body::new(Lingering {
            answer: Some(answer),
            sent,
            quiet: Box::pin(sleep(QUIET_TIME)),
            end: Box::pin(sleep(TIME_MAX)),
        })
    })
}

struct Lingering {
    /// What is told first.
    answer: Option<Body>,
    sent: Paced,
    quiet: Pin<Box<Sleep>>,
    end: Pin<Box<Sleep>>,
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(answer) = &mut this.answer {
            let frame = ready!(Pin::new(answer).poll_frame(cx));
            if frame.is_some() {
                return Poll::Ready(frame);
            }
            this.answer = None;
        }
        loop {
            if this.end.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match Pin::new(&mut this.sent).poll_frame(cx) {
                Poll::Ready(Some(Ok(_))) => {
                    this.quiet.as_mut().reset(Instant::now() + QUIET_TIME);
                }
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(this.quiet.as_mut().poll(cx));
                    return Poll::Ready(None);
                }
            }
        }
    }
}
