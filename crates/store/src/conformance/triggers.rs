//! Behaviours of queues and schedules: what is sent, leased and settled. Those of bounds are in `bounds`, of messages
//! that failed too often and of lists in `dead`, of schedules in `schedules`.

mod bounds;
mod dead;
mod schedules;

use bytes::Bytes;
use everwarm_manifest::{QueueName, ScheduleName};

use super::{all, app_name, tenant};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::triggers::{
    BATCH_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, Content, DELAY_MS_MAX, Lease, Leased, MessageId,
    NewMessage, Outcome, Receipt, Settlement, Standing, State, Trigger, TriggerId, TriggerQuota,
    Triggers, Which,
};

pub(super) use bounds::*;
pub(super) use dead::*;
pub(super) use schedules::*;

const NOW: UnixMillis = UnixMillis(1_000);
/// When leases of the suite are over.
const OVER: UnixMillis = UnixMillis(1_500);
const LATER: UnixMillis = UnixMillis(2_000);

fn queue(owner: &str, app: &str, name: &str) -> TriggerId {
    let name = QueueName::new(name).expect("the suite's queues have valid names");
    TriggerId {
        tenant: tenant(owner),
        app: app_name(app),
        trigger: Trigger::Queue(name),
    }
}

fn schedule(owner: &str, app: &str, name: &str) -> TriggerId {
    let name = ScheduleName::new(name).expect("the suite's schedules have valid names");
    TriggerId {
        tenant: tenant(owner),
        app: app_name(app),
        trigger: Trigger::Schedule(name),
    }
}

fn default_queue() -> TriggerId {
    queue("ann", "shop", "orders")
}

/// A message that is due at once.
fn message(body: &[u8]) -> NewMessage {
    message_at(body, UnixMillis(0))
}

fn message_at(body: &[u8], due: UnixMillis) -> NewMessage {
    let content = Content {
        body: Bytes::copy_from_slice(body),
        ..Content::default()
    };
    NewMessage { content, due }
}

/// Sends a message with each of the bodies.
async fn send(triggers: &dyn Triggers, to: &TriggerId, bodies: &[&str]) -> Vec<MessageId> {
    let messages = bodies.iter().map(|body| message(body.as_bytes())).collect();
    let sent = triggers.send(to, messages, TriggerQuota::NONE, NOW).await;
    sent.expect("messages can be sent")
}

fn lease_of(count_max: u32, until: UnixMillis) -> Lease {
    Lease {
        count_max,
        bytes_max: usize::MAX,
        until,
    }
}

async fn lease_at(
    triggers: &dyn Triggers,
    of: &TriggerId,
    count_max: u32,
    until: UnixMillis,
    now: UnixMillis,
) -> Vec<Leased> {
    let leased = triggers.lease(of, lease_of(count_max, until), now).await;
    leased.expect("messages can be leased")
}

async fn lease(triggers: &dyn Triggers, of: &TriggerId, count_max: u32) -> Vec<Leased> {
    lease_at(triggers, of, count_max, OVER, NOW).await
}

async fn lease_one(triggers: &dyn Triggers, of: &TriggerId) -> Leased {
    let leased = lease(triggers, of, 1).await;
    leased.into_iter().next().expect("a message is due")
}

fn bodies(messages: &[Leased]) -> Vec<&str> {
    let bodies = messages.iter().map(|leased| &leased.content.body[..]);
    let texts = bodies.map(|body| std::str::from_utf8(body).expect("the suite sends texts"));
    texts.collect()
}

async fn settle_at(
    triggers: &dyn Triggers,
    of: &TriggerId,
    leased: &[Leased],
    outcome: Outcome,
    now: UnixMillis,
) -> u32 {
    let settlements = leased.iter().map(|leased| Settlement {
        id: leased.id,
        receipt: leased.receipt,
        outcome: outcome.clone(),
    });
    let settled = triggers.settle(of, settlements.collect(), now).await;
    settled.expect("messages can be settled")
}

async fn settle(
    triggers: &dyn Triggers,
    of: &TriggerId,
    leased: &[Leased],
    outcome: Outcome,
) -> u32 {
    settle_at(triggers, of, leased, outcome, NOW).await
}

async fn next_due(triggers: &dyn Triggers, of: &TriggerId, now: UnixMillis) -> Option<UnixMillis> {
    let due = triggers.next_due(of, now).await;
    due.expect("when the next message is due can be read")
}

async fn standing(triggers: &dyn Triggers, of: &TriggerId, now: UnixMillis) -> Standing {
    let standing = triggers.standing(of, now).await;
    standing.expect("how a trigger stands can be read")
}

/// The names of all messages that wait or are leased, or of the dead.
async fn names(triggers: &dyn Triggers, of: &TriggerId, which: Which) -> Vec<MessageId> {
    let page = triggers.list(of, which, None, u32::MAX).await;
    let page = page.expect("messages can be listed");
    page.messages.iter().map(|kept| kept.id).collect()
}

pub(super) async fn messages_are_leased_as_they_were_sent(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    assert!(lease(triggers, &queue, 10).await.is_empty());
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let contents = [
        Content::default(),
        Content {
            body: Bytes::from(all_bytes),
            content_type: Some("application/json; charset=utf-8".to_owned()),
            trace: None,
            scheduled: None,
        },
        Content {
            body: Bytes::from(vec![7; BODY_BYTES_MAX]),
            content_type: None,
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            scheduled: Some(LATER),
        },
        Content {
            body: Bytes::from(vec![8; 1_000]),
            content_type: Some(String::new()),
            ..Content::default()
        },
    ];
    let messages = contents.iter().map(|content| NewMessage {
        content: content.clone(),
        due: NOW,
    });
    let sent = triggers
        .send(&queue, messages.collect(), TriggerQuota::NONE, NOW)
        .await;
    let sent = sent.expect("messages can be sent");
    assert!(sent.is_sorted_by(|one, next| one < next), "{sent:?}");
    let leased = lease(triggers, &queue, 10).await;
    assert_eq!(leased.len(), contents.len());
    for ((leased, content), id) in leased.iter().zip(&contents).zip(sent) {
        assert_eq!((leased.id, &leased.content), (id, content));
        assert_eq!((leased.sent, leased.attempt), (NOW, 1));
    }
    let empty = triggers
        .send(&queue, Vec::new(), TriggerQuota::NONE, NOW)
        .await;
    assert_eq!(empty.expect("a batch may be empty"), []);
}

pub(super) async fn message_is_not_given_out_before_it_is_due(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    assert_eq!(next_due(triggers, &queue, NOW).await, None);
    let messages = vec![
        message_at(b"late", LATER),
        message_at(b"later", UnixMillis(NOW.0 + DELAY_MS_MAX)),
    ];
    let sent = triggers
        .send(&queue, messages, TriggerQuota::NONE, NOW)
        .await;
    sent.expect("messages can be sent");
    let before = UnixMillis(LATER.0 - 1);
    assert!(
        lease_at(triggers, &queue, 10, OVER, before)
            .await
            .is_empty()
    );
    assert_eq!(next_due(triggers, &queue, before).await, Some(LATER));
    let leased = lease_at(triggers, &queue, 10, UnixMillis(3_000), LATER).await;
    assert_eq!(bodies(&leased), ["late"]);
    // The lease may be over before anything else is due.
    assert_eq!(
        next_due(triggers, &queue, LATER).await,
        Some(UnixMillis(3_000))
    );
}

pub(super) async fn what_is_due_for_longest_is_given_out_first(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let messages = [(3, "c"), (1, "a"), (2, "b"), (1, "a too")];
    let messages = messages.map(|(due, body)| message_at(body.as_bytes(), UnixMillis(due)));
    let sent = triggers
        .send(&queue, messages.to_vec(), TriggerQuota::NONE, NOW)
        .await;
    sent.expect("messages can be sent");
    let first = lease_at(triggers, &queue, 1, UnixMillis(2), NOW).await;
    assert_eq!(bodies(&first), ["a"]);
    assert_eq!(next_due(triggers, &queue, NOW).await, Some(UnixMillis(1)));
    // The lease was over at 2: that counts as when it is due.
    let rest = lease(triggers, &queue, 10).await;
    assert_eq!(bodies(&rest), ["a too", "a", "b", "c"]);
}

pub(super) async fn leased_message_is_nobody_elses_until_the_lease_is_over(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    send(triggers, &queue, &["a"]).await;
    let first = lease_one(triggers, &queue).await;
    let before = UnixMillis(OVER.0 - 1);
    assert!(
        lease_at(triggers, &queue, 10, LATER, before)
            .await
            .is_empty()
    );
    assert_eq!(next_due(triggers, &queue, before).await, Some(OVER));

    let second = lease_at(triggers, &queue, 10, LATER, OVER).await;
    assert_eq!(bodies(&second), ["a"]);
    assert_eq!((second[0].id, second[0].attempt), (first.id, 2));
    assert_ne!(second[0].receipt, first.receipt);
    // Whoever had it before has no say any more.
    for outcome in [
        Outcome::Acknowledged,
        Outcome::Dead {
            reason: String::new(),
        },
        Outcome::Released,
    ] {
        let stale = std::slice::from_ref(&first);
        assert_eq!(settle_at(triggers, &queue, stale, outcome, OVER).await, 0);
    }
    let acknowledged = settle_at(triggers, &queue, &second, Outcome::Acknowledged, OVER).await;
    assert_eq!(acknowledged, 1);
    assert!(
        lease_at(triggers, &queue, 10, LATER, LATER)
            .await
            .is_empty()
    );
}

pub(super) async fn late_settlement_counts_until_somebody_else_has_the_message(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    send(triggers, &queue, &["a"]).await;
    let leased = lease(triggers, &queue, 1).await;
    let settled = settle_at(triggers, &queue, &leased, Outcome::Acknowledged, LATER).await;
    assert_eq!(settled, 1);
    assert!(lease_at(triggers, &queue, 1, LATER, LATER).await.is_empty());
}

pub(super) async fn leases_that_come_together_share_no_message(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let texts: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sent = send(triggers, &queue, &texts).await;
    let asked = (0..25).map(|_| triggers.lease(&queue, lease_of(3, OVER), NOW));
    let leased: Vec<Leased> = all(asked)
        .await
        .into_iter()
        .flat_map(|leased| leased.expect("messages can be leased"))
        .collect();
    let mut names: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    names.sort_unstable();
    assert_eq!(names, sent);
    let mut receipts: Vec<_> = leased.iter().map(|leased| leased.receipt.0).collect();
    receipts.sort_unstable();
    receipts.dedup();
    assert_eq!(receipts.len(), sent.len());
}

pub(super) async fn acknowledged_message_never_comes_again(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let large = "x".repeat(10_000);
    send(triggers, &queue, &["a", &large, "b"]).await;
    let leased = lease(triggers, &queue, 2).await;
    assert_eq!(
        settle(triggers, &queue, &leased, Outcome::Acknowledged).await,
        2
    );
    // Nor is it settled twice.
    assert_eq!(
        settle(triggers, &queue, &leased, Outcome::Acknowledged).await,
        0
    );
    let rest = lease_at(triggers, &queue, 10, LATER, LATER).await;
    assert_eq!(bodies(&rest), ["b"]);
    let twice = [rest[0].clone(), rest[0].clone()];
    assert_eq!(
        settle(triggers, &queue, &twice, Outcome::Acknowledged).await,
        1
    );
    assert_eq!(next_due(triggers, &queue, NOW).await, None);
    assert_eq!(standing(triggers, &queue, NOW).await, Standing::default());
}

pub(super) async fn message_that_failed_is_tried_again_from_when_it_was_said(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    send(triggers, &queue, &["a"]).await;
    let leased = lease(triggers, &queue, 1).await;
    let again = Outcome::Again {
        due: LATER,
        reason: "it said 500".to_owned(),
    };
    assert_eq!(settle(triggers, &queue, &leased, again).await, 1);
    assert_eq!(next_due(triggers, &queue, NOW).await, Some(LATER));
    let before = UnixMillis(LATER.0 - 1);
    assert!(
        lease_at(triggers, &queue, 1, LATER, before)
            .await
            .is_empty()
    );
    let page = triggers.list(&queue, Which::Waiting, None, 10).await;
    let page = page.expect("messages can be listed");
    assert_eq!(page.messages[0].reason.as_deref(), Some("it said 500"));
    assert_eq!(page.messages[0].state, State::Waits(LATER));
    assert_eq!(page.messages[0].attempts, 1);
    let leased = lease_at(triggers, &queue, 1, UnixMillis(3_000), LATER).await;
    assert_eq!((bodies(&leased), leased[0].attempt), (vec!["a"], 2));
}

pub(super) async fn released_message_counts_no_attempt_and_is_not_put_back(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let messages = vec![
        message_at(b"a", NOW),
        message_at(b"b", UnixMillis(NOW.0 + 1)),
    ];
    let sent = triggers
        .send(&queue, messages, TriggerQuota::NONE, NOW)
        .await;
    sent.expect("messages can be sent");
    let leased = lease(triggers, &queue, 1).await;
    let later = UnixMillis(NOW.0 + 10);
    assert_eq!(
        settle_at(triggers, &queue, &leased, Outcome::Released, later).await,
        1
    );
    let leased = lease_at(triggers, &queue, 2, LATER, later).await;
    assert_eq!(bodies(&leased), ["a", "b"]);
    assert_eq!(leased[0].attempt, 1);
    // At once means at once, whatever the clock said when it was sent.
    let earlier = UnixMillis(NOW.0 - 10);
    assert_eq!(
        settle_at(triggers, &queue, &leased, Outcome::Released, earlier).await,
        2
    );
    assert_eq!(lease_at(triggers, &queue, 2, LATER, earlier).await.len(), 2);
}

pub(super) async fn leases_are_bounded_by_messages_and_bytes(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let many = vec!["x"; BATCH_MAX];
    for _ in 0..2 {
        send(triggers, &queue, &many).await;
    }
    assert!(lease(triggers, &queue, 0).await.is_empty());
    assert_eq!(lease(triggers, &queue, u32::MAX).await.len(), BATCH_MAX);
    assert_eq!(lease(triggers, &queue, 7).await.len(), 7);

    let queue = super::triggers::queue("ann", "shop", "large");
    let large = "x".repeat(BODY_BYTES_MAX);
    let count = BATCH_BYTES_MAX / BODY_BYTES_MAX;
    send(triggers, &queue, &vec![&large[..]; count]).await;
    send(triggers, &queue, &[&large, "small", &large, &large]).await;
    let bounded = async |bytes_max| {
        let lease = Lease {
            bytes_max,
            ..lease_of(100, OVER)
        };
        let leased = triggers.lease(&queue, lease, NOW).await;
        leased.expect("messages can be leased")
    };
    // One at least, however large.
    assert_eq!(bounded(0).await.len(), 1);
    assert_eq!(bounded(2 * BODY_BYTES_MAX).await.len(), 2);
    // Large ones that make all but one of the bytes, and the small one.
    assert_eq!(bounded(usize::MAX).await.len(), count);
    assert_eq!(bounded(usize::MAX).await.len(), 1);
}

pub(super) async fn paused_trigger_takes_messages_and_gives_none_out(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let set = async |is_paused| {
        let set = triggers.set_paused(&queue, is_paused).await;
        set.expect("a trigger can be paused")
    };
    assert!(!set(false).await);
    assert!(set(true).await);
    assert!(!set(true).await);
    send(triggers, &queue, &["a"]).await;
    assert!(lease(triggers, &queue, 10).await.is_empty());
    assert_eq!(next_due(triggers, &queue, NOW).await, None);
    let stands = standing(triggers, &queue, NOW).await;
    assert!(stands.is_paused && stands.due == 1, "{stands:?}");
    assert!(set(false).await);
    let leased = lease(triggers, &queue, 10).await;
    // What somebody has may be settled while it is paused.
    assert!(set(true).await);
    assert_eq!(
        settle(triggers, &queue, &leased, Outcome::Acknowledged).await,
        1
    );
}

pub(super) async fn triggers_apps_and_tenants_have_only_their_own(store: &dyn Store) {
    let triggers = store.triggers();
    let ids = [
        queue("ann", "shop", "orders"),
        queue("ann", "shop", "mails"),
        schedule("ann", "shop", "orders"),
        queue("ann", "blog", "orders"),
        queue("bob", "shop", "orders"),
    ];
    for id in &ids {
        assert_eq!(next_due(triggers, id, NOW).await, None);
        let text = format!("{id:?}");
        send(triggers, id, &[&text]).await;
    }
    let first = lease_one(triggers, &ids[0]).await;
    for id in &ids[1..] {
        // The names are each trigger's own, the receipts nobody's but whose they are.
        let stolen = std::slice::from_ref(&first);
        assert_eq!(settle(triggers, id, stolen, Outcome::Acknowledged).await, 0);
        let leased = lease(triggers, id, 10).await;
        assert_eq!(bodies(&leased), [format!("{id:?}")]);
        assert_eq!(
            settle(triggers, id, &leased, Outcome::Acknowledged).await,
            1
        );
    }
    assert_eq!(standing(triggers, &ids[0], NOW).await.leased, 1);
    let kept = async |owner: &str, app: &str| {
        let kept = triggers.kept(&tenant(owner), &app_name(app)).await;
        kept.expect("what an app keeps can be read").messages
    };
    assert_eq!(kept("ann", "shop").await, 1);
    assert_eq!(kept("bob", "shop").await, 0);
    let apps = triggers.apps(None, 1).await.expect("apps can be listed");
    assert_eq!(apps, [(tenant("ann"), app_name("blog"))]);
    let (owner, app) = &apps[0];
    let rest = triggers.apps(Some((owner, app)), 10).await;
    let expected = ["ann", "bob"].map(|owner| (tenant(owner), app_name("shop")));
    assert_eq!(rest.expect("apps can be listed"), expected);
}

pub(super) async fn receipts_that_were_never_given_settle_nothing(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let sent = send(triggers, &queue, &["a"]).await;
    let guess = |id, receipt| {
        vec![Settlement {
            id,
            receipt: Receipt(receipt),
            outcome: Outcome::Acknowledged,
        }]
    };
    for (id, receipt) in [(sent[0], 0), (sent[0], u64::MAX), (MessageId(u64::MAX), 0)] {
        let settled = triggers.settle(&queue, guess(id, receipt), NOW).await;
        assert_eq!(settled.expect("what isn't leased is passed over"), 0);
    }
    assert_eq!(lease(triggers, &queue, 10).await.len(), 1);
}
