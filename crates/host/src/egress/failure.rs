//! What failures of HTTP mean to the guest that sent a request.

use std::error::Error;
use std::io;

use everwarm_engine::outbound::SendError;

use crate::network::of_io;

/// What a failure of HTTP means.
pub(super) fn of_hyper(error: &hyper::Error) -> SendError {
    // What the request's own body, a socket or TLS failed with says more than what HTTP made of it.
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<SendError>() {
            return own.clone();
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        source = cause.source();
    }
    if error.is_parse_too_large() {
        SendError::HeadTooLarge
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        SendError::ConnectionTerminated
    } else if error.is_body_write_aborted() {
        SendError::BodyBroken
    } else if error.is_timeout() {
        SendError::ReadTimeout
    } else {
        let cause = error.source().map(|cause| format!(": {cause}"));
        SendError::Protocol(format!("{error}{}", cause.unwrap_or_default()).into())
    }
}
