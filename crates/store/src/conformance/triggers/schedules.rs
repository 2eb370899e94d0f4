//! Behaviours of schedules: a moment is fired once, whoever asks, and its runs with it.

use super::{LATER, NOW, OVER, lease, message_at, next_due, schedule, send, standing};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::conformance::all;
use crate::triggers::{
    BODY_BYTES_MAX, Content, NewMessage, Standing, TriggerError, TriggerId, TriggerQuota, Triggers,
};

fn hourly() -> TriggerId {
    schedule("ann", "shop", "hourly")
}

fn run(scheduled: UnixMillis) -> NewMessage {
    let content = Content {
        scheduled: Some(scheduled),
        ..Content::default()
    };
    NewMessage {
        content,
        due: scheduled,
    }
}

async fn fire(
    triggers: &dyn Triggers,
    from: Option<UnixMillis>,
    up_to: UnixMillis,
    runs: Vec<NewMessage>,
) -> bool {
    let of = hourly();
    let fired = triggers.fire(&of, from, up_to, runs, TriggerQuota::NONE, NOW);
    fired.await.expect("a schedule can be fired")
}

async fn fired(triggers: &dyn Triggers) -> Option<UnixMillis> {
    let fired = triggers.fired(&hourly()).await;
    fired.expect("when a schedule was fired can be read")
}

pub(crate) async fn schedule_is_fired_from_where_it_is_and_not_twice(store: &dyn Store) {
    let triggers = store.triggers();
    assert_eq!(fired(triggers).await, None);
    assert!(!fire(triggers, Some(NOW), OVER, vec![run(NOW)]).await);
    assert_eq!(fired(triggers).await, None);
    let apps = triggers.apps(None, 10).await.expect("apps can be listed");
    assert_eq!(apps, [], "what wasn't done leaves nothing");

    assert!(fire(triggers, None, NOW, vec![run(NOW)]).await);
    assert!(!fire(triggers, None, NOW, vec![run(NOW)]).await);
    assert_eq!(fired(triggers).await, Some(NOW));
    // None of its moments may be worth a run.
    assert!(fire(triggers, Some(NOW), OVER, Vec::new()).await);
    assert!(!fire(triggers, Some(NOW), LATER, vec![run(LATER)]).await);
    assert_eq!(fired(triggers).await, Some(OVER));
    let runs = lease(triggers, &hourly(), 10).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].content.scheduled, Some(NOW));
    // What is sent by hand is no run of its clock.
    send(triggers, &hourly(), &["now"]).await;
    assert_eq!(fired(triggers).await, Some(OVER));
    assert_eq!(lease(triggers, &hourly(), 10).await.len(), 1);
}

pub(crate) async fn one_of_those_who_fire_together_does(store: &dyn Store) {
    let (triggers, of) = (store.triggers(), hourly());
    assert!(fire(triggers, None, NOW, Vec::new()).await);
    let asked = (0..20).map(|_| {
        let runs = vec![run(OVER), run(LATER)];
        triggers.fire(&of, Some(NOW), LATER, runs, TriggerQuota::NONE, NOW)
    });
    let fired = all(asked).await.into_iter();
    let fired = fired.filter(|fired| *fired.as_ref().expect("a schedule can be fired"));
    assert_eq!(fired.count(), 1);
    assert_eq!(standing(triggers, &of, LATER).await.due, 2);
    assert_eq!(next_due(triggers, &of, NOW).await, Some(OVER));
}

pub(crate) async fn runs_that_do_not_fit_leave_the_schedule_where_it_is(store: &dyn Store) {
    let (triggers, of) = (store.triggers(), hourly());
    assert!(fire(triggers, None, NOW, Vec::new()).await);
    let quota = TriggerQuota {
        messages_max: 1,
        ..TriggerQuota::NONE
    };
    let runs = vec![run(OVER), run(LATER)];
    let refused = triggers.fire(&of, Some(NOW), LATER, runs, quota, NOW).await;
    assert!(
        matches!(
            refused,
            Err(TriggerError::TooManyMessages { messages_max: 1 })
        ),
        "{refused:?}"
    );
    let runs = vec![message_at(&[0; BODY_BYTES_MAX + 1], NOW)];
    let refused = triggers
        .fire(&of, Some(NOW), LATER, runs, TriggerQuota::NONE, NOW)
        .await;
    assert!(
        matches!(refused, Err(TriggerError::BodyTooLarge { .. })),
        "{refused:?}"
    );
    assert_eq!(fired(triggers).await, Some(NOW));
    assert_eq!(standing(triggers, &of, LATER).await, Standing::default());
}

pub(crate) async fn paused_schedule_is_not_fired(store: &dyn Store) {
    let (triggers, of) = (store.triggers(), hourly());
    assert!(fire(triggers, None, NOW, vec![run(NOW)]).await);
    assert!(
        triggers
            .set_paused(&of, true)
            .await
            .expect("it can be paused")
    );
    assert!(!fire(triggers, Some(NOW), LATER, vec![run(LATER)]).await);
    assert_eq!(fired(triggers).await, Some(NOW));
    assert!(triggers.set_paused(&of, false).await.expect("it can go on"));
    assert!(fire(triggers, Some(NOW), LATER, vec![run(LATER)]).await);
    assert_eq!(standing(triggers, &of, LATER).await.due, 2);
}
