//! Why the store didn't do with messages what it was asked.

use super::{BATCH_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, DELAY_MS_MAX, FIELD_BYTES_MAX};
use crate::EngineError;

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// A body is too large.
    #[error(
        "the message has {bytes} bytes, and a message may have {BODY_BYTES_MAX}: keep what is large elsewhere, and say where"
    )]
    BodyTooLarge {
        /// Its bytes.
        bytes: usize,
    },
    /// A content type or a trace context is too long.
    #[error("a message's content type and trace context may have {FIELD_BYTES_MAX} bytes each")]
    FieldTooLong,
    /// A message is to be due too late.
    #[error(
        "a message may be delayed for {} days: keep what is to come later elsewhere, and send it then",
        DELAY_MS_MAX / (24 * 3_600_000)
    )]
    DelayTooLong,
    /// A batch has too many messages.
    #[error(
        "the batch has {messages} messages, and a batch may have {BATCH_MAX}: make several of it"
    )]
    BatchTooLong {
        /// How many it has.
        messages: usize,
    },
    /// The bodies of a batch are too large together.
    #[error("the batch has more than {BATCH_BYTES_MAX} bytes: make several of it")]
    BatchTooLarge,
    /// The app has as many messages as it may.
    #[error(
        "the app's queues may have {messages_max} messages, which is the quota: let them be handled, or remove some"
    )]
    TooManyMessages {
        /// How many it may have.
        messages_max: u64,
    },
    /// The app keeps as many bytes as it may.
    #[error(
        "the app's queues have {kept} bytes, {more} more are over the quota of {bytes_max}: let them be handled, or remove some"
    )]
    TooManyBytes {
        /// What it keeps.
        kept: u64,
        /// What was to be kept too.
        more: u64,
        /// What it may keep.
        bytes_max: u64,
    },
    /// Nothing more fits on the disk.
    #[error("the store's disk is full: make room on it; what is kept can still be read")]
    DiskFull,
    /// What is kept can't be what was written.
    #[error("the store's queues are damaged ({reason}): check the disk, and restore from a backup")]
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being attempted.
        doing: &'static str,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
}
