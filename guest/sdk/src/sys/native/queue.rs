//! Queues as unit tests have them: in memory, for each thread its own, empty at first. Every name is granted, and nothing is
//! delivered. The bounds are a host's.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::queue::{Message, QueueError};

const BODY_BYTES_MAX: usize = 256 << 10;
const BATCH_MAX: usize = 100;

thread_local! {
    static SENT: RefCell<BTreeMap<String, Vec<Message>>> = const { RefCell::new(BTreeMap::new()) };
}

pub(crate) fn send(queue: &str, messages: &[Message]) -> Result<Vec<String>, QueueError> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if queue.is_empty() || !queue.bytes().all(is_name) {
        return Err(QueueError::NoSuchQueue);
    }
    if messages.len() > BATCH_MAX {
        return Err(QueueError::TooLarge(
            "a batch has 100 messages at most".to_owned(),
        ));
    }
    if messages
        .iter()
        .any(|message| message.body.len() > BODY_BYTES_MAX)
    {
        return Err(QueueError::TooLarge(
            "a message has 256 KiB at most".to_owned(),
        ));
    }
    SENT.with_borrow_mut(|all| {
        let sent = all.entry(queue.to_owned()).or_default();
        let first = sent.len() + 1;
        sent.extend_from_slice(messages);
        Ok((first..=sent.len())
            .map(|number| format!("{queue}-{number:016x}"))
            .collect())
    })
}

/// What was sent to a queue on this thread.
pub(crate) fn sent(queue: &str) -> Vec<Message> {
    SENT.with_borrow(|all| all.get(queue).cloned().unwrap_or_default())
}
