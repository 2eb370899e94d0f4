//! `everwarm:queue`, by the canonical ABI of the component model, as `wit/` has it. Both versions of WASI call it alike.
//! What leaves this module is safe.

use std::marker::PhantomData;

use super::abi::{self, host, owned, text};
use crate::queue::{Message, QueueError};

host! {
    #[module = "everwarm:queue/producer@0.1.0"] {
        #[name = "send"] unsafe fn producer_send(*const u8, usize, *const Lent<'_>, usize, *mut Area);
    }
}

/// `result<list<string>, error>`: what is behind the case begins at 4.
type Area = abi::Area<16>;

/// `message`, which it borrows.
#[repr(C)]
struct Lent<'a> {
    body: *const u8,
    body_len: usize,
    has_type: u8,
    content_type: *const u8,
    content_type_len: usize,
    delay_ms: u64,
    borrowed: PhantomData<&'a Message>,
}

impl<'a> From<&'a Message> for Lent<'a> {
    fn from(message: &'a Message) -> Self {
        let content_type = message.content_type.as_deref();
        Self {
            body: message.body.as_ptr(),
            body_len: message.body.len(),
            has_type: u8::from(content_type.is_some()),
            content_type: content_type.map_or(std::ptr::null(), str::as_ptr),
            content_type_len: content_type.map_or(0, str::len),
            delay_ms: u64::try_from(message.delay.as_millis()).unwrap_or(u64::MAX),
            borrowed: PhantomData,
        }
    }
}

pub(crate) fn send(queue: &str, messages: &[Message]) -> Result<Vec<String>, QueueError> {
    let lent: Vec<Lent<'_>> = messages.iter().map(Lent::from).collect();
    // SAFETY: the name and the messages are read during the call, and the area is large enough for what is written. Each
    // string of it is ours, and taken once.
    unsafe {
        let area = Area::fill(|area| {
            producer_send(queue.as_ptr(), queue.len(), lent.as_ptr(), lent.len(), area);
        });
        if area.case(0) == 0 {
            let ids: Vec<[usize; 2]> = area.list(4);
            let ids = ids.into_iter().map(|[start, len]| text(owned(start, len)));
            return Ok(ids.collect());
        }
        Err(match area.case(4) {
            0 => QueueError::NoSuchQueue,
            1 => QueueError::AccessDenied,
            2 => QueueError::TooLarge(area.string(8)),
            3 => QueueError::Full(area.string(8)),
            _ => QueueError::Unavailable(area.string(8)),
        })
    }
}
