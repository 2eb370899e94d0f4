//! What a node asks of its queues and schedules, and what can be seen of them.

use everwarm_manifest::{AppName, QueueName, ScheduleName};
use everwarm_store::artifacts::digest_of;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers as port;
use everwarm_store::triggers::{
    Content, Lease, NewMessage, Settlement, State, Trigger, TriggerId, TriggerQuota, Triggers,
    Which,
};

use super::{NOW, Outcome, Step, tenant};

/// One call of the port, or two.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    /// So many messages of so many bytes.
    Send(usize, usize),
    /// A message that is due then.
    SendLater(u64),
    /// Leases so many and settles them, at a time. It must come before a message is due that isn't due at once: a lease
    /// that isn't settled leaves no trace of when.
    Handle(u32, Came, u64),
    /// From and up to a moment, with so many runs.
    Fire(Option<u64>, u64, usize),
    Pause(bool),
    Revive,
    Purge(Which),
    Sweep(u64),
    Remove,
}

/// What comes of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Came {
    Well,
    Again(u64),
    Dead,
    Back,
}

const fn ask(ask: Ask) -> Step {
    Step::Queue(ask)
}

/// A queue and a schedule of an app: messages of one page and of several, all that can come of them, runs, removal.
pub(crate) const QUEUE_STORY: &[Step] = &[
    ask(Ask::Send(1, 10)),
    ask(Ask::Fire(None, 60, 0)),
    ask(Ask::Send(4, 900)),
    ask(Ask::Handle(2, Came::Well, 70)),
    ask(Ask::Fire(Some(60), 70, 2)),
    ask(Ask::Handle(1, Came::Dead, 70)),
    ask(Ask::Send(2, 6_000)),
    ask(Ask::Handle(1, Came::Again(85), 70)),
    ask(Ask::SendLater(80)),
    ask(Ask::Handle(1, Came::Back, 70)),
    ask(Ask::Pause(true)),
    ask(Ask::Pause(false)),
    // The store is opened again here.
    ask(Ask::Handle(100, Came::Dead, 75)),
    ask(Ask::Revive),
    ask(Ask::Handle(2, Came::Dead, 75)),
    ask(Ask::Sweep(100)),
    ask(Ask::Purge(Which::Waiting)),
    ask(Ask::Send(3, 1_000)),
    ask(Ask::Remove),
    ask(Ask::Send(1, 10)),
    ask(Ask::Sweep(0)),
];

pub(crate) fn queue() -> TriggerId {
    let name = QueueName::new("orders").expect("a valid name");
    of(Trigger::Queue(name))
}

fn schedule() -> TriggerId {
    let name = ScheduleName::new("hourly").expect("a valid name");
    of(Trigger::Schedule(name))
}

fn of(trigger: Trigger) -> TriggerId {
    TriggerId {
        tenant: tenant(),
        app: AppName::new("shop").expect("a valid name"),
        trigger,
    }
}

pub(crate) fn messages(count: usize, len: usize) -> Vec<NewMessage> {
    let message = |number: usize| NewMessage {
        content: Content {
            body: (0_u8..=250).cycle().skip(number).take(len).collect(),
            ..Content::default()
        },
        due: NOW,
    };
    (0..count).map(message).collect()
}

/// Does a step. `Ok` is an acknowledgement.
pub(super) async fn run(ask: Ask, triggers: &dyn Triggers) -> Outcome {
    let (queue, schedule, none) = (queue(), schedule(), TriggerQuota::NONE);
    match ask {
        Ask::Send(count, len) => {
            triggers
                .send(&queue, messages(count, len), none, NOW)
                .await?;
        }
        Ask::SendLater(due) => {
            let mut messages = messages(1, 20);
            messages[0].due = UnixMillis(due);
            triggers.send(&queue, messages, none, NOW).await?;
        }
        Ask::Handle(count, came, now) => handle(triggers, count, came, UnixMillis(now)).await?,
        Ask::Fire(from, up_to, runs) => {
            let runs = messages(runs, 5);
            let (from, up_to) = (from.map(UnixMillis), UnixMillis(up_to));
            let fired = triggers.fire(&schedule, from, up_to, runs, none, NOW);
            if !fired.await? {
                return Err("the schedule isn't where it was left".into());
            }
        }
        Ask::Pause(is_paused) => {
            triggers.set_paused(&queue, is_paused).await?;
        }
        Ask::Revive => {
            triggers.revive(&queue, None, NOW).await?;
        }
        Ask::Purge(which) => {
            triggers.purge(&queue, which, NOW).await?;
        }
        Ask::Sweep(before) => {
            triggers.sweep(UnixMillis(before), 100).await?;
        }
        Ask::Remove => {
            triggers.remove_app(&queue.tenant, &queue.app).await?;
        }
    }
    Ok(())
}

async fn handle(triggers: &dyn Triggers, count_max: u32, came: Came, now: UnixMillis) -> Outcome {
    let lease = Lease {
        count_max,
        bytes_max: usize::MAX,
        until: UnixMillis(1_000),
    };
    let queue = queue();
    let leased = triggers.lease(&queue, lease, now).await?;
    let reason = || "a story".to_owned();
    let outcome = match came {
        Came::Well => port::Outcome::Acknowledged,
        Came::Again(due) => port::Outcome::Again {
            due: UnixMillis(due),
            reason: reason(),
        },
        Came::Dead => port::Outcome::Dead { reason: reason() },
        Came::Back => port::Outcome::Released,
    };
    let settlements = leased.iter().map(|leased| Settlement {
        id: leased.id,
        receipt: leased.receipt,
        outcome: outcome.clone(),
    });
    let settled = triggers.settle(&queue, settlements.collect(), now).await?;
    if settled as usize != leased.len() {
        return Err("what was leased isn't settled".into());
    }
    Ok(())
}

/// All that is in all triggers. A lease ends with the process that took it, so a message that is leased looks like one
/// that is due; how often it was tried isn't looked at, for a lease may be of a step that wasn't acknowledged.
pub(super) async fn seen(triggers: &dyn Triggers, seen: &mut Vec<String>) -> Outcome {
    let id = queue();
    let kept = triggers.kept(&id.tenant, &id.app).await?;
    seen.push(format!("{kept:?} {:?}", triggers.apps(None, 10).await?));
    for of in [id, schedule()] {
        let stands = triggers.standing(&of, NOW).await?;
        let wait = stands.due + stands.delayed + stands.leased;
        let fired = triggers.fired(&of).await?;
        seen.push(format!(
            "{} {wait} {} {} {:?} {} {fired:?}",
            of.trigger, stands.dead, stands.bytes, stands.oldest, stands.is_paused
        ));
        for which in [Which::Waiting, Which::Dead] {
            for kept in triggers.list(&of, which, None, 100).await?.messages {
                let digest = digest_of(&kept.content.body);
                let state = match kept.state {
                    State::Leased(_) => State::Waits(kept.sent),
                    other => other,
                };
                let (sent, reason) = (kept.sent, kept.reason);
                seen.push(format!(
                    "{:?} {sent:?} {state:?} {reason:?} {digest}",
                    kept.id
                ));
            }
        }
    }
    Ok(())
}
