//! Behaviours of messages that failed too often, of lists of messages, and of how a trigger stands.

use super::{
    LATER, NOW, OVER, bodies, default_queue, lease, lease_at, message_at, names, next_due, queue,
    schedule, send, settle, settle_at, standing,
};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::conformance::{app_name, tenant};
use crate::triggers::{
    BATCH_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, KeptMessages, Leased, MessageId, Outcome, Page,
    REASON_BYTES_MAX, Standing, State, SweptMessages, TriggerError, TriggerId, TriggerQuota,
    Triggers, Which,
};

fn dead() -> Outcome {
    Outcome::Dead {
        reason: "it said 500".to_owned(),
    }
}

async fn page(
    triggers: &dyn Triggers,
    of: &TriggerId,
    which: Which,
    after: Option<MessageId>,
    count_max: u32,
) -> Page {
    let page = triggers.list(of, which, after, count_max).await;
    page.expect("messages can be listed")
}

/// Sends messages and lets them die.
async fn send_dead(triggers: &dyn Triggers, to: &TriggerId, bodies: &[&str]) -> Vec<Leased> {
    send(triggers, to, bodies).await;
    let leased = lease(triggers, to, 100).await;
    let buried = settle(triggers, to, &leased, dead()).await;
    assert_eq!(buried as usize, bodies.len());
    leased
}

pub(crate) async fn dead_message_is_kept_apart_until_it_is_revived(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let large = "x".repeat(2_000);
    let buried = send_dead(triggers, &queue, &["a", &large, "b"]).await;
    assert_eq!(next_due(triggers, &queue, NOW).await, None);
    assert!(
        lease_at(triggers, &queue, 10, LATER, LATER)
            .await
            .is_empty()
    );
    assert_eq!(
        settle(triggers, &queue, &buried, Outcome::Acknowledged).await,
        0
    );
    assert_eq!(names(triggers, &queue, Which::Waiting).await, []);
    let listed = page(triggers, &queue, Which::Dead, None, 10).await;
    assert_eq!((listed.messages.len(), listed.next), (3, None));
    for (kept, leased) in listed.messages.iter().zip(&buried) {
        assert_eq!((kept.id, &kept.content), (leased.id, &leased.content));
        assert_eq!((kept.sent, kept.attempts), (NOW, 1));
        assert_eq!(kept.state, State::Dead(NOW));
        assert_eq!(kept.reason.as_deref(), Some("it said 500"));
    }

    let revive = async |which, now| {
        let revived = triggers.revive(&queue, which, now).await;
        revived.expect("messages can be revived")
    };
    let second = buried[1].id;
    let asked = vec![second, MessageId(u64::MAX), second];
    assert_eq!(revive(Some(asked), OVER).await, 1);
    assert_eq!(next_due(triggers, &queue, OVER).await, Some(OVER));
    let again = lease_at(triggers, &queue, 10, LATER, OVER).await;
    assert_eq!((again.len(), again[0].id, again[0].attempt), (1, second, 1));
    assert_eq!(again[0].content, buried[1].content);
    assert_eq!(
        settle(triggers, &queue, &again, Outcome::Acknowledged).await,
        1
    );
    // What waits or is gone isn't dead.
    assert_eq!(revive(Some(vec![second]), OVER).await, 0);
    assert_eq!(revive(None, OVER).await, 2);
    assert_eq!(revive(None, OVER).await, 0);
    let rest = lease_at(triggers, &queue, 10, LATER, OVER).await;
    assert_eq!(bodies(&rest), ["a", "b"]);
    let too_many = vec![second; BATCH_MAX + 1];
    let refused = triggers.revive(&queue, Some(too_many), NOW).await;
    assert!(
        matches!(refused, Err(TriggerError::BatchTooLong { .. })),
        "{refused:?}"
    );
}

pub(crate) async fn reasons_are_cut_where_a_letter_ends(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    send(triggers, &queue, &["a", "b"]).await;
    let reason = format!("x{}", "ä".repeat(REASON_BYTES_MAX));
    let kept = &reason[..REASON_BYTES_MAX - 1];
    let leased = lease(triggers, &queue, 2).await;
    let again = Outcome::Again {
        due: LATER,
        reason: reason.clone(),
    };
    settle(triggers, &queue, &leased[..1], again).await;
    let dead = Outcome::Dead {
        reason: reason.clone(),
    };
    settle(triggers, &queue, &leased[1..], dead).await;
    for which in [Which::Waiting, Which::Dead] {
        let listed = page(triggers, &queue, which, None, 10).await;
        assert_eq!(listed.messages[0].reason.as_deref(), Some(kept));
    }
}

pub(crate) async fn messages_are_listed_in_order_page_by_page(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    assert_eq!(
        page(triggers, &queue, Which::Waiting, None, 10).await,
        Page::default()
    );
    let mut sent = Vec::new();
    for due in [3, 1, 2] {
        let message = message_at(&[b'x'; 5], UnixMillis(due));
        let one = triggers.send(&queue, vec![message], TriggerQuota::NONE, NOW);
        sent.extend(one.await.expect("a message can be sent"));
    }
    let leased = lease(triggers, &queue, 1).await;
    assert_eq!(leased[0].id, sent[1]);
    let first = page(triggers, &queue, Which::Waiting, None, 2).await;
    let states: Vec<_> = first.messages.iter().map(|kept| kept.state).collect();
    assert_eq!(states, [State::Waits(UnixMillis(3)), State::Leased(OVER)]);
    assert_eq!(first.next, Some(sent[1]));
    let rest = page(triggers, &queue, Which::Waiting, first.next, 2).await;
    assert_eq!((rest.messages[0].id, rest.next), (sent[2], None));
    let none = page(
        triggers,
        &queue,
        Which::Waiting,
        Some(MessageId(u64::MAX)),
        2,
    )
    .await;
    assert_eq!(none, Page::default());

    // Large messages make short pages, of one at least.
    let queue = super::queue("ann", "shop", "large");
    let large = vec![7; BODY_BYTES_MAX];
    let fit = BATCH_BYTES_MAX / BODY_BYTES_MAX;
    for _ in 0..=fit {
        let messages = vec![message_at(&large, NOW)];
        let sent = triggers.send(&queue, messages, TriggerQuota::NONE, NOW);
        sent.await.expect("a message can be sent");
    }
    let first = page(triggers, &queue, Which::Waiting, None, 100).await;
    assert_eq!(first.messages.len(), fit);
    let rest = page(triggers, &queue, Which::Waiting, first.next, 100).await;
    assert_eq!((rest.messages.len(), rest.next), (1, None));
}

pub(crate) async fn purge_takes_what_nobody_has(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    send_dead(triggers, &queue, &["dead"]).await;
    let sent = send(triggers, &queue, &["a", "b", "c"]).await;
    let leased = lease(triggers, &queue, 1).await;
    let purge = async |which, now| {
        let purged = triggers.purge(&queue, which, now).await;
        purged.expect("messages can be forgotten")
    };
    assert_eq!(purge(Which::Waiting, NOW).await, 2);
    assert_eq!(names(triggers, &queue, Which::Waiting).await, sent[..1]);
    assert_eq!(names(triggers, &queue, Which::Dead).await.len(), 1);
    // With its lease over nobody has it.
    assert_eq!(purge(Which::Waiting, OVER).await, 1);
    assert_eq!(
        settle(triggers, &queue, &leased, Outcome::Acknowledged).await,
        0
    );
    assert_eq!(purge(Which::Dead, NOW).await, 1);
    assert_eq!(purge(Which::Dead, NOW).await, 0);
    assert_eq!(standing(triggers, &queue, NOW).await, Standing::default());

    // Many of them go part by part.
    let large = vec![0; BODY_BYTES_MAX];
    for _ in 0..6 {
        let messages = vec![message_at(&large, NOW); BATCH_BYTES_MAX / BODY_BYTES_MAX];
        let sent = triggers.send(&queue, messages, TriggerQuota::NONE, NOW);
        sent.await.expect("messages can be sent");
    }
    let mut purged = 0;
    loop {
        let part = purge(Which::Waiting, NOW).await;
        if part == 0 {
            break;
        }
        purged += part as usize;
    }
    assert_eq!(purged, 6 * BATCH_BYTES_MAX / BODY_BYTES_MAX);
    let kept = triggers.kept(&queue.tenant, &queue.app).await;
    assert_eq!(kept.expect("what is kept"), KeptMessages::default());
}

pub(crate) async fn sweeps_take_what_died_before(store: &dyn Store) {
    let (triggers, orders, mails) = (
        store.triggers(),
        default_queue(),
        queue("bob", "blog", "mails"),
    );
    for of in [&orders, &mails] {
        send_dead(triggers, of, &["old", "old too"]).await;
        send(triggers, of, &["new"]).await;
        let leased = lease(triggers, of, 1).await;
        settle_at(triggers, of, &leased, dead(), LATER).await;
        send(triggers, of, &["waits"]).await;
    }
    let sweep = async |before, count_max| {
        let swept = triggers.sweep(before, count_max).await;
        swept.expect("a sweep can be made")
    };
    assert_eq!(sweep(NOW, 10).await, SweptMessages::default());
    let first = sweep(LATER, 3).await;
    assert!(first.messages == 3 && first.more, "{first:?}");
    let rest = sweep(LATER, 3).await;
    assert!(rest.messages == 1 && !rest.more, "{rest:?}");
    for of in [&orders, &mails] {
        let stands = standing(triggers, of, NOW).await;
        assert_eq!((stands.due, stands.dead, stands.bytes), (1, 1, 8));
        let kept = triggers.kept(&of.tenant, &of.app).await;
        let expected = KeptMessages {
            messages: 2,
            bytes: 8,
        };
        assert_eq!(kept.expect("what is kept"), expected);
    }
}

pub(crate) async fn standing_counts_messages_by_where_they_are(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    assert_eq!(standing(triggers, &queue, NOW).await, Standing::default());
    send_dead(triggers, &queue, &["dead"]).await;
    let earlier = UnixMillis(NOW.0 - 100);
    let due = vec![message_at(b"first", NOW)];
    let sent = triggers
        .send(&queue, due, TriggerQuota::NONE, earlier)
        .await;
    sent.expect("a message can be sent");
    send(triggers, &queue, &["second", "third"]).await;
    let delayed = vec![message_at(b"delayed", LATER); 4];
    let sent = triggers
        .send(&queue, delayed, TriggerQuota::NONE, NOW)
        .await;
    sent.expect("messages can be sent");
    assert_eq!(lease(triggers, &queue, 1).await.len(), 1);
    let expected = Standing {
        due: 2,
        delayed: 4,
        leased: 1,
        dead: 1,
        bytes: 4 + 5 + 6 + 5 + 4 * 7,
        oldest: Some(earlier),
        is_paused: false,
    };
    assert_eq!(standing(triggers, &queue, NOW).await, expected);
    // With its lease over it is due again; then the others are.
    let over = Standing {
        due: 3,
        leased: 0,
        ..expected
    };
    assert_eq!(standing(triggers, &queue, OVER).await, over);
    let all = Standing {
        due: 7,
        delayed: 0,
        ..over
    };
    assert_eq!(standing(triggers, &queue, LATER).await, all);
    let kept = triggers.kept(&tenant("ann"), &app_name("shop")).await;
    let expected = KeptMessages {
        messages: 8,
        bytes: 48,
    };
    assert_eq!(kept.expect("what an app keeps can be read"), expected);
    those_that_keep_something_are_listed(triggers).await;
}

/// Of each tenant and app their own, whatever is declared: the store doesn't know.
async fn those_that_keep_something_are_listed(triggers: &dyn Triggers) {
    let [waiting, leased, dead, handled, purged, paused] =
        ["waiting", "leased", "dead", "handled", "purged", "paused"]
            .map(|name| queue("cid", "shop", name));
    let yearly = schedule("cid", "shop", "yearly");
    let of_app = async |owner: &str, app: &str| {
        let listed = triggers.of_app(&tenant(owner), &app_name(app)).await;
        listed.expect("the triggers of an app can be listed")
    };
    assert_eq!(of_app("cid", "shop").await, []);
    for of in [&waiting, &leased, &handled, &purged, &yearly] {
        send(triggers, of, &["a"]).await;
    }
    send_dead(triggers, &dead, &["a"]).await;
    assert_eq!(lease(triggers, &leased, 1).await.len(), 1);
    let taken = lease(triggers, &handled, 1).await;
    settle(triggers, &handled, &taken, Outcome::Acknowledged).await;
    let removed = triggers.purge(&purged, Which::Waiting, NOW).await;
    assert_eq!(removed.expect("messages can be forgotten"), 1);
    let set = triggers.set_paused(&paused, true).await;
    assert!(set.expect("a queue can be paused"));
    let fired = schedule("cid", "shop", "fired");
    let none = Vec::new();
    let set = triggers.fire(&fired, None, NOW, none, TriggerQuota::NONE, NOW);
    assert!(set.await.expect("a schedule can be fired"));

    let expected = [&dead, &leased, &waiting, &yearly].map(|of| of.trigger.clone());
    assert_eq!(of_app("cid", "shop").await, expected);
    for (owner, app) in [("cid", "blog"), ("dan", "shop")] {
        assert_eq!(of_app(owner, app).await, []);
    }
    let others = queue("dan", "shop", "waiting");
    send(triggers, &others, &["b"]).await;
    assert_eq!(of_app("dan", "shop").await, [others.trigger]);
    assert_eq!(of_app("cid", "shop").await, expected);
}
