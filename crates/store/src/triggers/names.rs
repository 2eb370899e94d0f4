//! What triggers and messages are called where people and handlers see them. Pure.

use std::fmt;

use super::{MessageId, Trigger};

impl Trigger {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) => name.as_str(),
            Self::Schedule(name) => name.as_str(),
        }
    }

    /// `queue` or `schedule`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Schedule(_) => "schedule",
        }
    }
}

/// A message's name as handlers and operators see it: unlike any other of the queue, the same at each delivery, and in the
/// order of sending. `mails-000000000000002a`.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryId<'t>(pub &'t Trigger, pub MessageId);

impl fmt::Display for DeliveryId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trigger, MessageId(id)) = (self.0, self.1);
        write!(f, "{}-{id:016x}", trigger.name())
    }
}

impl DeliveryId<'_> {
    /// The message of a trigger that a name stands for.
    pub fn parse(trigger: &Trigger, text: &str) -> Option<MessageId> {
        let digits = text.strip_prefix(trigger.name())?.strip_prefix('-')?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 16 || !digits.bytes().all(is_digit) {
            return None;
        }
        Some(MessageId(u64::from_str_radix(digits, 16).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivery_ids_read_back_and_others_are_none() {
        let trigger = Trigger::Queue("mails".parse().unwrap());
        for number in [0, 42, u64::MAX] {
            let id = DeliveryId(&trigger, MessageId(number)).to_string();
            assert_eq!(DeliveryId::parse(&trigger, &id), Some(MessageId(number)));
        }
        for text in [
            "",
            "mails-",
            "mails-1",
            "mails-+00000000000002a",
            "mails-000000000000002A",
            "other-000000000000002a",
            "mails-00000000000000zz",
        ] {
            assert_eq!(DeliveryId::parse(&trigger, text), None, "{text}");
        }
    }
}
