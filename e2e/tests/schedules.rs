//! Schedules: called by the clock, as their manifest says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::deliveries::{app, attempts, handled_until, schedule};
use everwarm_e2e::{World, both_worlds};

both_worlds! {
    async fn schedule_calls_its_function_for_each_second_that_its_line_names(world: World) {
        let node = app(world).table(&schedule("tick", "cron = \"* * * * * *\"\n")).start().await;
        let handled = handled_until(&node, "three runs", |handled| handled.len() >= 3).await;
        let mut moments = Vec::new();
        for (key, said) in &handled {
            assert!(key.starts_with("tick-") && key.ends_with("/1"), "{key}");
            assert_eq!(said["path"], "/schedules/tick");
            assert_eq!(said["trigger"], "schedule/tick");
            assert_eq!(said["body"], "");
            let moment: u64 = said["scheduled"].as_str().unwrap().parse().unwrap();
            assert_eq!(moment % 1_000, 0, "runs are for whole seconds");
            moments.push(moment);
        }
        moments.dedup();
        assert_eq!(moments.len(), handled.len(), "each run is for a moment of its own");
        assert!(moments.is_sorted());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_that_fails_is_tried_again_as_a_message_is() {
    let lines = "cron = \"* * * * * *\"\nattempts = 3\nbackoff = \"10ms\"\nbackoff_max = \"10ms\"\noverlap = \"allow\"\npath = \"/fail\"";
    let app = app(World::Wasi02).table(&schedule("tick", lines));
    let node = app.start().await;
    let handled = handled_until(&node, "three attempts of one run", |handled| {
        attempts(handled).values().any(|attempts| *attempts == 3)
    });
    handled.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn run_is_left_out_while_an_earlier_one_has_not_ended() {
    let lines = "cron = \"* * * * * *\"\npath = \"/slow\"\n";
    let app = app(World::Wasi02)
        .table(&schedule("tick", lines))
        .env("STALL_MS", "3500");
    let node = app.start().await;
    let handled = handled_until(&node, "two runs", |handled| handled.len() >= 2).await;
    let moments: Vec<u64> = handled
        .values()
        .map(|said| said["scheduled"].as_str().unwrap().parse().unwrap())
        .collect();
    // Whatever the machine does meanwhile: the second run isn't for the second after the first.
    assert!(moments[1] - moments[0] >= 3_000, "{moments:?}");
    assert!(attempts(&handled).values().all(|attempts| *attempts == 1));
    node.log().line("runs of a schedule are left out").await;
}
