//! Behaviours of queues and schedules: limits, quotas, batches, removal.

use super::{
    LATER, NOW, bodies, default_queue, lease, lease_at, lease_of, message, message_at, names,
    queue, schedule, send, settle, standing,
};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::conformance::{app_name, tenant};
use crate::triggers::{
    BATCH_BYTES_MAX, BATCH_MAX, BODY_BYTES_MAX, DELAY_MS_MAX, FIELD_BYTES_MAX, KeptMessages,
    MessageId, NewMessage, Outcome, Settlement, Standing, TriggerError, TriggerQuota, Which,
};

pub(crate) async fn what_is_too_large_for_a_queue_is_refused(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let try_send = async |messages: Vec<NewMessage>| {
        triggers
            .send(&queue, messages, TriggerQuota::NONE, NOW)
            .await
    };
    let refused = try_send(vec![message(b"a"), message(&[0; BODY_BYTES_MAX + 1])]).await;
    assert!(
        matches!(refused, Err(TriggerError::BodyTooLarge { bytes }) if bytes == BODY_BYTES_MAX + 1),
        "{refused:?}"
    );
    let long = "x".repeat(FIELD_BYTES_MAX + 1);
    for is_type in [true, false] {
        let mut long_field = message(b"a");
        let field = if is_type {
            &mut long_field.content.content_type
        } else {
            &mut long_field.content.trace
        };
        *field = Some(long.clone());
        let refused = try_send(vec![message(b"a"), long_field]).await;
        assert!(
            matches!(refused, Err(TriggerError::FieldTooLong)),
            "{refused:?}"
        );
    }
    let latest = UnixMillis(NOW.0 + DELAY_MS_MAX);
    for too_late in [UnixMillis(latest.0 + 1), UnixMillis(u64::MAX)] {
        let refused = try_send(vec![message(b"a"), message_at(b"b", too_late)]).await;
        assert!(
            matches!(refused, Err(TriggerError::DelayTooLong)),
            "{refused:?}"
        );
    }
    let refused = try_send(vec![message(b"a"); BATCH_MAX + 1]).await;
    assert!(
        matches!(refused, Err(TriggerError::BatchTooLong { messages }) if messages == BATCH_MAX + 1),
        "{refused:?}"
    );
    let largest = message(&vec![0; BODY_BYTES_MAX]);
    let mut large = vec![largest; BATCH_BYTES_MAX / BODY_BYTES_MAX];
    large.push(message(b"a"));
    let refused = try_send(large.clone()).await;
    assert!(
        matches!(refused, Err(TriggerError::BatchTooLarge)),
        "{refused:?}"
    );
    assert_eq!(names(triggers, &queue, Which::Waiting).await, []);
    let settlement = Settlement {
        id: MessageId(1),
        receipt: crate::triggers::Receipt(1),
        outcome: Outcome::Acknowledged,
    };
    let too_many = vec![settlement; BATCH_MAX + 1];
    let refused = triggers.settle(&queue, too_many, NOW).await;
    assert!(
        matches!(refused, Err(TriggerError::BatchTooLong { .. })),
        "{refused:?}"
    );
    large.pop();
    try_send(large)
        .await
        .expect("as much as may be can be sent");
    try_send(vec![message_at(b"a", latest)])
        .await
        .expect("as late as may be can be sent");
}

pub(crate) async fn quotas_bound_what_all_triggers_of_an_app_keep(store: &dyn Store) {
    let triggers = store.triggers();
    let (orders, hourly) = (default_queue(), schedule("ann", "shop", "hourly"));
    let quota = TriggerQuota {
        messages_max: 3,
        bytes_max: 10,
    };
    let try_send = async |to, bodies: &[&[u8]]| {
        let messages = bodies.iter().map(|body| message(body)).collect();
        triggers.send(to, messages, quota, NOW).await
    };
    try_send(&orders, &[b"12345"]).await.expect("5 bytes fit");
    // All or none: the first would fit.
    let refused = try_send(&hourly, &[b"1", b"12345"]).await;
    assert!(
        matches!(
            refused,
            Err(TriggerError::TooManyBytes {
                kept: 5,
                more: 6,
                bytes_max: 10
            })
        ),
        "{refused:?}"
    );
    let refused = try_send(&orders, &[b"", b"", b""]).await;
    assert!(
        matches!(
            refused,
            Err(TriggerError::TooManyMessages { messages_max: 3 })
        ),
        "{refused:?}"
    );
    assert_eq!(names(triggers, &orders, Which::Waiting).await.len(), 1);
    assert_eq!(standing(triggers, &hourly, NOW).await, Standing::default());
    try_send(&hourly, &[b"", b"12345"]).await.expect("they fit");
    try_send(&orders, &[b""]).await.expect_err("it is a fourth");
    // Dead messages count until they are gone.
    let leased = lease(triggers, &orders, 1).await;
    let dead = Outcome::Dead {
        reason: String::new(),
    };
    assert_eq!(settle(triggers, &orders, &leased, dead).await, 1);
    try_send(&orders, &[b""]).await.expect_err("it is a fourth");
    let purged = triggers.purge(&orders, Which::Dead, NOW).await;
    assert_eq!(purged.expect("dead messages can be forgotten"), 1);
    try_send(&orders, &[b"12345"])
        .await
        .expect("there is room again");
    // And acknowledged ones no more.
    let leased = lease(triggers, &hourly, 10).await;
    assert_eq!(
        settle(triggers, &hourly, &leased, Outcome::Acknowledged).await,
        2
    );
    let kept = triggers.kept(&tenant("ann"), &app_name("shop")).await;
    let expected = KeptMessages {
        messages: 1,
        bytes: 5,
    };
    assert_eq!(kept.expect("what is kept"), expected);
    let other = queue("ann", "blog", "orders");
    try_send(&other, &[b"1234567890"])
        .await
        .expect("each app has its own");
    // A quota that became smaller takes nothing.
    let smaller = TriggerQuota {
        messages_max: 0,
        bytes_max: 0,
    };
    let refused = triggers
        .send(&orders, vec![message(b"")], smaller, NOW)
        .await;
    refused.expect_err("there are more already");
    assert_eq!(lease(triggers, &orders, 1).await.len(), 1);
}

pub(crate) async fn names_of_messages_only_grow(store: &dyn Store) {
    let (triggers, queue) = (store.triggers(), default_queue());
    let mut last = MessageId(0);
    for round in 0..4 {
        let sent = send(triggers, &queue, &["a", "b"]).await;
        assert!(last < sent[0] && sent[0] < sent[1]);
        last = sent[1];
        if round % 2 == 0 {
            let leased = lease(triggers, &queue, 10).await;
            settle(triggers, &queue, &leased, Outcome::Acknowledged).await;
        } else {
            let purged = triggers.purge(&queue, Which::Waiting, NOW).await;
            purged.expect("messages can be forgotten");
        }
    }
}

pub(crate) async fn removed_app_has_no_messages_and_is_swept_part_by_part(store: &dyn Store) {
    let (triggers, orders, hourly) = (
        store.triggers(),
        default_queue(),
        schedule("ann", "shop", "hourly"),
    );
    let large = "x".repeat(5_000);
    send(triggers, &orders, &["a", "b", &large, "c"]).await;
    let fired = triggers.fire(
        &hourly,
        None,
        NOW,
        vec![message(b"r")],
        TriggerQuota::NONE,
        NOW,
    );
    assert!(fired.await.expect("a schedule can be fired"));
    let leased = lease(triggers, &orders, 2).await;
    let dead = Outcome::Dead {
        reason: String::new(),
    };
    settle(triggers, &orders, &leased[..1], dead).await;
    assert!(
        triggers
            .set_paused(&orders, true)
            .await
            .expect("it can be paused")
    );
    let neighbour = queue("ann", "blog", "orders");
    send(triggers, &neighbour, &["stays"]).await;

    let (owner, app) = (tenant("ann"), app_name("shop"));
    assert!(triggers.remove_app(&owner, &app).await.expect("a removal"));
    assert!(!triggers.remove_app(&owner, &app).await.expect("a removal"));
    let apps = triggers.apps(None, 10).await.expect("apps can be listed");
    assert_eq!(apps, [(tenant("ann"), app_name("blog"))]);
    for of in [&orders, &hourly] {
        assert_eq!(standing(triggers, of, LATER).await, Standing::default());
        for which in [Which::Waiting, Which::Dead] {
            assert_eq!(names(triggers, of, which).await, []);
        }
    }
    assert_eq!(triggers.fired(&hourly).await.expect("a moment"), None);

    // One that comes back has none of the old, and loses none of the new: neither to sweeps nor to old receipts.
    send(triggers, &orders, &["new", "new too", "new and leased"]).await;
    let new = lease(triggers, &orders, 1).await;
    assert_eq!(bodies(&new), ["new"]);
    let second = triggers.lease(&orders, lease_of(1, LATER), NOW).await;
    assert_eq!(second.expect("messages can be leased")[0].id, leased[1].id);
    assert_eq!(
        settle(triggers, &orders, &leased, Outcome::Acknowledged).await,
        0
    );
    let mut swept = 0;
    for round in 0.. {
        let one = triggers.sweep(NOW, 2).await.expect("a sweep can be made");
        assert!(one.messages <= 2);
        swept += one.messages;
        if !one.more {
            break;
        }
        assert!(round < 10, "sweeps come to an end");
    }
    assert_eq!(swept, 5);
    assert_eq!(standing(triggers, &orders, NOW).await.leased, 2);
    let rest = lease_at(triggers, &orders, 10, LATER, NOW).await;
    assert_eq!(bodies(&rest), ["new and leased"]);
    assert_eq!(bodies(&lease(triggers, &neighbour, 10).await), ["stays"]);
}
