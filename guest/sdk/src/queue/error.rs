//! Why a message wasn't sent.

use std::fmt;

/// Why a message wasn't sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no queue of that name.
    NoSuchQueue,
    /// The function's manifest doesn't grant the queue.
    AccessDenied,
    /// A message, or all of them together, is larger than it may be, or there are too many.
    TooLarge(String),
    /// The app's queues are full.
    Full(String),
    /// The queue can't be written to now. The messages may have been kept or not.
    Unavailable(String),
    /// The message can't be written as JSON.
    Json(serde_json::Error),
}

impl fmt::Display for QueueError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchQueue => formatter.write_str("there is no queue of that name"),
            Self::AccessDenied => formatter.write_str(
                "the function's manifest doesn't grant the queue: add its name to `queues` in [function.grants]",
            ),
            Self::TooLarge(text) | Self::Full(text) | Self::Unavailable(text) => {
                formatter.write_str(text)
            }
            Self::Json(_) => formatter.write_str("the message can't be written as JSON"),
        }
    }
}

impl std::error::Error for QueueError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            _ => None,
        }
    }
}
