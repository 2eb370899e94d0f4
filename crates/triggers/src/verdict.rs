//! What a handler's answer means for the messages that it was called with. Pure.

use std::collections::HashSet;
use std::time::Duration;

use everwarm_manifest::triggers::Retry;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{DeliveryId, Leased, MessageId, Outcome, Settlement, Trigger};
use serde::Deserialize;

use crate::backoff;
use crate::call::{Answer, CallError};

/// Bytes of an answer's JSON that are read: a name for each message of the largest batch, with room.
pub const JSON_BYTES_MAX: usize = 64 << 10;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The function answered, or failed to.
    Answered(Result<Answer, CallError>),
    /// It took longer than its messages are its own.
    TookTooLong,
}

/// What a handler of a batch says of it, if anything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailedJson {
    /// The messages that are to be tried again.
    failed: Vec<String>,
}

/// What becomes of each message, in their order.
///
/// A status of 2xx acknowledges them all, or all but those that the answer's JSON names in `failed`. A name there that is
/// none of theirs means that the handler and we don't understand each other: then none is acknowledged. Every other status
/// is a failure of all.
pub fn settlements(
    trigger: &Trigger,
    retry: &Retry,
    messages: &[Leased],
    said: &Said,
    now: UnixMillis,
    mut chance: impl FnMut() -> u64,
) -> Vec<Settlement> {
    let verdict = Verdict::of(trigger, messages, said);
    let settle = |message: &Leased| {
        let outcome = match &verdict {
            Verdict::NotTried => Outcome::Released,
            Verdict::Handled { failed } if !failed.contains(&message.id) => Outcome::Acknowledged,
            Verdict::Handled { .. } => {
                let reason = "the handler named it in `failed`".to_owned();
                failed_once_more(retry, message, None, reason, now, chance())
            }
            Verdict::Failed {
                reason,
                again_after,
            } => failed_once_more(retry, message, *again_after, reason.clone(), now, chance()),
        };
        Settlement {
            id: message.id,
            receipt: message.receipt,
            outcome,
        }
    };
    messages.iter().map(settle).collect()
}

fn failed_once_more(
    retry: &Retry,
    message: &Leased,
    asked: Option<Duration>,
    reason: String,
    now: UnixMillis,
    chance: u64,
) -> Outcome {
    if message.attempt >= retry.attempts.get() {
        return Outcome::Dead { reason };
    }
    let wait = backoff::wait(retry, message.attempt, asked, chance);
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Outcome::Again {
        due: UnixMillis(now.0.saturating_add(wait)),
        reason,
    }
}

enum Verdict {
    NotTried,
    Handled {
        failed: HashSet<MessageId>,
    },
    Failed {
        reason: String,
        again_after: Option<Duration>,
    },
}

impl Verdict {
    fn of(trigger: &Trigger, messages: &[Leased], said: &Said) -> Self {
        let failed = |reason: String| Self::Failed {
            reason,
            again_after: None,
        };
        let answer = match said {
            Said::Answered(Ok(answer)) => answer,
            Said::Answered(Err(CallError::NotNow)) => return Self::NotTried,
            Said::Answered(Err(CallError::Failed(reason))) => return failed(reason.clone()),
            Said::TookTooLong => {
                return failed("the call took longer than `visibility` allows".into());
            }
        };
        if !answer.status.is_success() {
            return Self::Failed {
                reason: format!("the handler answered {}", answer.status),
                again_after: answer.retry_after,
            };
        }
        let Some(json) = answer.json.as_deref() else {
            return Self::Handled {
                failed: HashSet::new(),
            };
        };
        // JSON of another form is the handler's own business: its status has said enough.
        let Ok(FailedJson { failed: named }) = serde_json::from_slice(json) else {
            return Self::Handled {
                failed: HashSet::new(),
            };
        };
        let mut ids = HashSet::new();
        for name in &named {
            let id = DeliveryId::parse(trigger, name);
            let id = id.filter(|id| messages.iter().any(|message| message.id == *id));
            let Some(id) = id else {
                let reason = "the handler named a message in `failed` that it wasn't called with";
                return failed(reason.into());
            };
            ids.insert(id);
        }
        Self::Handled { failed: ids }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use everwarm_manifest::Millis;
    use everwarm_store::triggers::{Content, Receipt};
    use http::StatusCode;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn retry() -> Retry {
        Retry {
            attempts: NonZeroU32::new(3).unwrap(),
            backoff: Millis::new(1_000),
            backoff_max: Millis::new(60_000),
        }
    }

    fn message(id: u64, attempt: u32) -> Leased {
        Leased {
            id: MessageId(id),
            receipt: Receipt(id + 100),
            content: Content::default(),
            sent: NOW,
            attempt,
        }
    }

    fn answer(status: u16, json: Option<&'static str>) -> Said {
        Said::Answered(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            json: json.map(Into::into),
        }))
    }

    fn outcomes(messages: &[Leased], said: &Said) -> Vec<Outcome> {
        let trigger = Trigger::Queue("mails".parse().unwrap());
        let settled = settlements(&trigger, &retry(), messages, said, NOW, || 0);
        for (settlement, message) in settled.iter().zip(messages) {
            assert_eq!(settlement.id, message.id);
            assert_eq!(settlement.receipt, message.receipt);
        }
        settled.into_iter().map(|it| it.outcome).collect()
    }

    fn again(after_ms: u64, reason: &str) -> Outcome {
        Outcome::Again {
            due: UnixMillis(NOW.0 + after_ms),
            reason: reason.into(),
        }
    }

    #[test]
    fn success_acknowledges_whatever_else_the_answer_says() {
        for json in [
            None,
            Some("{\"ok\":true}"),
            Some("nonsense"),
            Some("{\"failed\":[]}"),
        ] {
            for status in [200, 202, 204] {
                let outcomes = outcomes(&[message(1, 1), message(2, 3)], &answer(status, json));
                assert_eq!(outcomes, [Outcome::Acknowledged, Outcome::Acknowledged]);
            }
        }
    }

    #[test]
    fn failure_waits_longer_each_time_and_dies_with_the_last_attempt() {
        let messages = [message(1, 1), message(2, 2), message(3, 3)];
        for status in [199, 301, 404, 500, 503] {
            let reason = format!(
                "the handler answered {}",
                StatusCode::from_u16(status).unwrap()
            );
            let dead = Outcome::Dead {
                reason: reason.clone(),
            };
            let outcomes = outcomes(&messages, &answer(status, None));
            assert_eq!(
                outcomes,
                [again(1_000, &reason), again(2_000, &reason), dead]
            );
        }
        let reason = "the call took longer than `visibility` allows";
        assert_eq!(
            outcomes(&messages[..1], &Said::TookTooLong),
            [again(1_000, reason)]
        );
        let failed = Said::Answered(Err(CallError::Failed("the answer broke off".into())));
        assert_eq!(
            outcomes(&messages[..1], &failed),
            [again(1_000, "the answer broke off")]
        );
    }

    #[test]
    fn messages_that_a_batch_names_are_tried_again_and_the_others_are_not() {
        let messages = [message(1, 1), message(2, 1), message(3, 3)];
        let json = r#"{"failed":["mails-0000000000000002","mails-0000000000000003"]}"#;
        let reason = "the handler named it in `failed`";
        assert_eq!(
            outcomes(&messages, &answer(200, Some(json))),
            [
                Outcome::Acknowledged,
                again(1_000, reason),
                Outcome::Dead {
                    reason: reason.into()
                }
            ]
        );
    }

    #[test]
    fn names_of_other_messages_acknowledge_none() {
        for json in [
            r#"{"failed":["mails-0000000000000009"]}"#,
            r#"{"failed":["7"]}"#,
        ] {
            let outcomes = outcomes(&[message(1, 1)], &answer(200, Some(json)));
            assert!(
                matches!(&outcomes[..], [Outcome::Again { .. }]),
                "{outcomes:?}"
            );
        }
    }

    #[test]
    fn what_was_not_tried_does_not_count() {
        let said = Said::Answered(Err(CallError::NotNow));
        assert_eq!(outcomes(&[message(1, 3)], &said), [Outcome::Released]);
    }

    #[test]
    fn handler_says_when_it_wants_to_be_asked_again() {
        let said = Said::Answered(Ok(Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: Some(Duration::from_secs(30)),
            json: None,
        }));
        let outcomes = outcomes(&[message(1, 1)], &said);
        assert_eq!(
            outcomes,
            [again(
                30_000,
                "the handler answered 503 Service Unavailable"
            )]
        );
    }
}
