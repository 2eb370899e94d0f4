//! The two halves of a send: the request's body is written while its response is awaited, so that a
//! server that answers while it reads is never waited for in vain. It doesn't know how either is done.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use ::http::Uri;

use super::ErrorCode;
use crate::body::BodyError;
use crate::client::SendError;

/// A request's body on its way to the host.
pub(super) trait Upload: 'static {
    /// Writes on, and is ready at the end. Says once, as soon as it is known, why the body broke off; what
    /// the host has to hear of that is written by polling on.
    fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>>;

    /// Lets go of the body: the host reads no more of it.
    fn abandon(&mut self);
}

/// Why an exchange failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// What makes the request's body has failed.
    Body(BodyError),
    /// The host says so.
    Code(ErrorCode),
}

impl Failure {
    pub(super) fn about(self, uri: &Uri) -> SendError {
        let error = match self {
            Self::Body(error) => SendError::of_body(error),
            Self::Code(code) => SendError::of_code(code),
        };
        error.about(uri)
    }
}

/// Writes the body and awaits the response's head. What is left of the body then is written beside what
/// its sender does next.
pub(super) async fn exchange<T>(
    upload: Option<impl Upload>,
    response: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, Failure> {
    // Before the response, so that it is dropped after it: the host has let go of the body by then.
    let mut upload = upload;
    let mut response = pin!(response);
    let answered = poll_fn(|context| {
        if let Some(writing) = &mut upload
            && let Poll::Ready(written) = writing.poll_written(context)
        {
            match written {
                Ok(()) => upload = None,
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        response.as_mut().poll(context).map_err(Failure::Code)
    })
    .await;
    if let Some(mut rest) = upload {
        if answered.is_err() {
            rest.abandon();
        }
        super::spawn(Box::pin(write_rest(rest)));
    }
    answered
}

async fn write_rest(mut rest: impl Upload) {
    while let Err(failure) = poll_fn(|context| rest.poll_written(context)).await {
        match failure {
            Failure::Body(error) => eprintln!("a request's body broke off: {error}"),
            Failure::Code(code) => {
                let error = SendError::of_code(code);
                eprintln!("the host refused the end of a request's body: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
