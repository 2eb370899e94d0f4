//! Schedules: when they are fired, and what becomes of runs that are missed or meet an earlier one.

use std::time::Duration;

use everwarm_manifest::triggers::Overlap;
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::triggers::{Trigger, TriggerId, TriggerQuota};
use everwarm_triggers::{AppTriggers, Occasion, call};
use tokio::time::timeout;

use super::{Fixture, PATIENCE, declared, is_empty, of};

fn tick() -> TriggerId {
    of(Trigger::Schedule("tick".parse().unwrap()))
}

fn schedule(lines: &str) -> AppTriggers {
    declared(&format!(
        "[[schedule]]\nname = \"tick\"\nfunction = \"f\"\nbackoff = \"1ms\"\nbackoff_max = \"1ms\"\n{lines}"
    ))
}

/// Says that the schedule was fired so long ago.
async fn fired_before(it: &Fixture, ago: Duration) -> UnixMillis {
    let now = UnixMillis::now();
    let at = UnixMillis(now.0 - u64::try_from(ago.as_millis()).unwrap());
    let (of, none) = (tick(), TriggerQuota::NONE);
    let fired = it
        .store
        .triggers()
        .fire(&of, None, at, Vec::new(), none, now);
    assert!(fired.await.unwrap());
    at
}

#[tokio::test]
async fn schedule_that_is_new_begins_now_and_misses_nothing() {
    let it = Fixture::new();
    it.set(
        schedule("cron = \"0 0 1 1 *\"\nmissed = \"all\"\n"),
        Occasion::Start,
    );
    it.send(&[]).await;
    let fired = async || it.store.triggers().fired(&tick()).await.unwrap();
    timeout(PATIENCE, async {
        while fired().await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it begins");
    // Runs are kept together with the moment until which there are any.
    assert!(is_empty(&it.standing(&tick()).await));
}

#[tokio::test]
async fn runs_that_were_missed_are_made_up_for_as_the_manifest_says() {
    for (missed, runs) in [("skip", 0), ("once", 1), ("all", 4)] {
        let mut it = Fixture::new();
        // Every fourth hour of a day: six were due while nothing ran, the last an hour ago at least.
        let ago = Duration::from_hours(4 * 4);
        let hour = (UnixMillis::now().0 / 3_600_000 + 22) % 24;
        let hours: Vec<String> = (0..6)
            .map(|step| ((hour + step * 4) % 24).to_string())
            .collect();
        let line = format!(
            "cron = \"0 {} * * *\"\nmissed = \"{missed}\"\noverlap = \"wait\"\n",
            hours.join(",")
        );
        fired_before(&it, ago).await;
        it.set(schedule(&line), Occasion::Start);
        for _ in 0..runs {
            let asked = it.asked().await;
            assert_eq!(asked.header(&call::TRIGGER), "schedule/tick");
            asked.answer(200);
        }
        it.counted(|counts| (counts.left_out, counts.acknowledged) == (4 - runs, runs))
            .await;
        it.until(&tick(), is_empty).await;
        assert!(it.nobody_asks(), "{missed}");
    }
}

#[tokio::test]
async fn schedule_whose_line_is_changed_by_a_deploy_begins_anew() {
    let it = Fixture::new();
    it.set(schedule("cron = \"0 0 1 1 *\"\n"), Occasion::Start);
    fired_before(&it, Duration::from_hours(24)).await;
    it.set(
        schedule("cron = \"0 * * * *\"\nmissed = \"all\"\n"),
        Occasion::Deploy,
    );
    let begins = async {
        let long_ago = UnixMillis::now().0 - 3_600_000;
        while it.store.triggers().fired(&tick()).await.unwrap().unwrap().0 < long_ago {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, begins).await.expect("it begins anew");
    assert!(is_empty(&it.standing(&tick()).await));
}

#[tokio::test]
async fn runs_overlap_wait_or_are_left_out() {
    for overlap in Overlap::ALL {
        let mut it = Fixture::new();
        let line = format!("cron = \"* * * * * *\"\noverlap = \"{overlap}\"\nmissed = \"skip\"\n");
        it.set(schedule(&line), Occasion::Deploy);
        let first = it.asked().await;
        match overlap {
            Overlap::Allow => it.asked().await.answer(200),
            Overlap::Wait => it.until(&tick(), |standing| standing.due >= 2).await,
            Overlap::Skip => {
                it.counted(|counts| counts.left_out >= 2).await;
            }
        }
        let moment = first.header(&call::SCHEDULED_AT);
        if overlap != Overlap::Allow {
            assert!(it.nobody_asks(), "{overlap}");
        }
        first.answer(200);
        assert_ne!(it.asked().await.header(&call::SCHEDULED_AT), moment);
    }
}

#[tokio::test]
async fn clock_that_was_wrong_once_stops_no_schedule_for_good() {
    let mut it = Fixture::new();
    let (of, now) = (tick(), UnixMillis::now());
    let ahead = UnixMillis(now.0 + 1_000 * 3_600_000);
    let fired = it
        .store
        .triggers()
        .fire(&of, None, ahead, Vec::new(), TriggerQuota::NONE, now);
    assert!(fired.await.unwrap());
    it.set(schedule("cron = \"* * * * * *\"\n"), Occasion::Start);
    it.asked().await.answer(200);
}
