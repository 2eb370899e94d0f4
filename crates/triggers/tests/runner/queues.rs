//! Queues: how many calls at once, what failures mean, and what happens when the runner rests or ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everwarm_store::Store as _;
use everwarm_store::embedded::Embedded;
use everwarm_store::triggers::{TriggerQuota, Which};
use everwarm_triggers::{CallError, Occasion, Runner, call};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Asked, Desk, Fixture, PATIENCE, declared, is_empty, jobs, queue, shop};

#[tokio::test]
async fn no_more_calls_than_may_be_are_under_way_and_each_that_ends_makes_room() {
    let mut it = Fixture::new();
    it.set(queue("concurrency = 2\n"), Occasion::Start);
    it.send(&["a", "b", "c", "d"]).await;
    let (first, second) = (it.asked().await, it.asked().await);
    it.until(&jobs(), |standing| standing.leased == 2).await;
    assert!(it.nobody_asks());
    first.answer(200);
    let third = it.asked().await;
    assert!(it.nobody_asks());
    second.answer(200);
    third.answer(200);
    it.asked().await.answer(204);
    it.until(&jobs(), is_empty).await;
    it.counted(|counts| counts.acknowledged == 4).await;
}

#[tokio::test]
async fn failure_is_tried_again_with_the_same_id_until_it_is_dead() {
    let mut it = Fixture::new();
    it.set(queue("attempts = 3\n"), Occasion::Start);
    it.send(&["a"]).await;
    let mut ids = Vec::new();
    for attempt in 1..=3 {
        let asked = it.asked().await;
        assert_eq!(asked.header(&call::ATTEMPT), attempt.to_string());
        ids.push(asked.header(&call::DELIVERY_ID));
        asked.answer(500);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    it.until(&jobs(), |standing| standing.dead == 1).await;
    let of = jobs();
    let page = it.store.triggers().list(&of, Which::Dead, None, 10);
    let dead = &page.await.unwrap().messages[0];
    assert_eq!(
        dead.reason.as_deref(),
        Some("the handler answered 500 Internal Server Error")
    );
    it.counted(|counts| (counts.again, counts.dead, counts.acknowledged) == (2, 1, 0))
        .await;
}

#[tokio::test]
async fn what_the_node_had_no_room_for_comes_again_and_is_not_counted() {
    let mut it = Fixture::new();
    it.set(queue("attempts = 1\nconcurrency = 1\n"), Occasion::Start);
    it.send(&["a", "b"]).await;
    for _ in 0..3 {
        let asked = it.asked().await;
        assert_eq!(asked.call.body, "a", "it isn't behind the others");
        assert_eq!(asked.header(&call::ATTEMPT), "1");
        asked.reply(Err(CallError::NotNow));
    }
    it.asked().await.answer(200);
    it.asked().await.answer(200);
    it.until(&jobs(), is_empty).await;
    it.counted(|counts| counts.released == 3).await;
}

#[tokio::test]
async fn handler_that_never_answers_is_given_up() {
    let mut it = Fixture::new();
    it.set(
        queue("visibility = \"1s\"\nattempts = 1\n"),
        Occasion::Start,
    );
    it.send(&["a"]).await;
    let asked = it.asked().await;
    it.until(&jobs(), |standing| standing.dead == 1).await;
    assert!(asked.reply.is_closed(), "the call was dropped");
}

#[tokio::test]
async fn rest_takes_nothing_more_and_waits_for_what_is_under_way() {
    let mut it = Fixture::new();
    it.set(queue("concurrency = 1\n"), Occasion::Start);
    it.send(&["a", "b"]).await;
    let asked = it.asked().await;
    assert!(
        !it.runner.rest(Duration::from_millis(20)).await,
        "one is under way"
    );
    asked.answer(200);
    assert!(it.runner.rest(PATIENCE).await);
    assert!(it.nobody_asks());
    let standing = it.standing(&jobs()).await;
    assert_eq!(
        (standing.due, standing.leased),
        (1, 0),
        "what came of it is stored"
    );
    it.runner.go_on();
    it.asked().await.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn queue_that_is_gone_delivers_nothing_and_goes_on_when_it_is_back() {
    let mut it = Fixture::new();
    it.set(queue(""), Occasion::Start);
    it.set(
        declared("[[queue]]\nname = \"other\"\nfunction = \"f\""),
        Occasion::Deploy,
    );
    it.send(&["a"]).await;
    assert!(
        it.runner.rest(PATIENCE).await,
        "nobody has anything in hand"
    );
    assert!(it.nobody_asks());
    it.runner.go_on();
    it.set(queue("path = \"/again\"\n"), Occasion::Deploy);
    let asked = it.asked().await;
    assert_eq!(asked.call.path.as_str(), "/again");
    asked.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn call_that_is_under_way_ends_although_its_queue_is_gone() {
    let mut it = Fixture::new();
    it.set(queue(""), Occasion::Start);
    it.send(&["a"]).await;
    let asked = it.asked().await;
    let (tenant, app) = shop();
    it.runner.remove(&tenant, &app);
    asked.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn change_of_a_queue_holds_from_the_next_call_on() {
    let mut it = Fixture::new();
    it.set(queue("concurrency = 1\n"), Occasion::Start);
    it.send(&["a", "b", "c"]).await;
    let first = it.asked().await;
    it.set(queue("batch = 10\n"), Occasion::Deploy);
    let batch = it.asked().await;
    let body: serde_json::Value = serde_json::from_slice(&batch.call.body).unwrap();
    assert_eq!(body["messages"].as_array().unwrap().len(), 2);
    first.answer(200);
    batch.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn batch_is_as_full_as_it_can_be_and_waits_no_longer_than_it_may() {
    let mut it = Fixture::new();
    it.set(
        queue("batch = 2\nbatch_wait = \"200ms\"\n"),
        Occasion::Start,
    );
    it.send(&["a", "b", "c"]).await;
    let mut sizes = HashMap::new();
    for _ in 0..2 {
        let asked = it.asked().await;
        let body: serde_json::Value = serde_json::from_slice(&asked.call.body).unwrap();
        let size = body["messages"].as_array().unwrap().len();
        *sizes.entry(size).or_insert(0) += 1;
        asked.answer(200);
    }
    assert_eq!(sizes, HashMap::from([(2, 1), (1, 1)]));
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn what_is_taken_together_is_parted_among_the_calls_that_there_is_room_for() {
    let mut it = Fixture::new();
    it.set(queue("batch = 2\nconcurrency = 3\n"), Occasion::Start);
    let sent = ["a", "b", "c", "d", "e", "f", "g"];
    it.send(&sent).await;
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(it.asked().await);
    }
    it.until(&jobs(), |standing| standing.leased == 6).await;
    assert!(it.nobody_asks());
    let mut bodies = Vec::new();
    for asked in asked {
        let body: serde_json::Value = serde_json::from_slice(&asked.call.body).unwrap();
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2);
        bodies.extend(
            messages
                .iter()
                .map(|it| it["body"].as_str().unwrap().to_owned()),
        );
        asked.answer(200);
    }
    bodies.sort();
    assert_eq!(bodies, sent[..6]);
    it.asked().await.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn what_fills_no_batch_waits_although_others_are_full() {
    let mut it = Fixture::new();
    let lines = "batch = 2\nbatch_wait = \"30s\"\nconcurrency = 4\n";
    it.set(queue(lines), Occasion::Start);
    it.send(&["a", "b", "c", "d", "e"]).await;
    let (first, second) = (it.asked().await, it.asked().await);
    it.until(&jobs(), |standing| {
        (standing.leased, standing.due) == (4, 1)
    })
    .await;
    first.answer(200);
    second.answer(200);
    it.counted(|counts| counts.acknowledged == 4).await;
    assert!(it.nobody_asks());
    // With another one it is a batch.
    it.send(&["f"]).await;
    it.asked().await.answer(200);
    it.until(&jobs(), is_empty).await;
}

#[tokio::test]
async fn what_ends_with_the_runner_is_delivered_by_the_next() {
    let mut it = Fixture::new();
    it.set(queue(""), Occasion::Start);
    it.send(&["a"]).await;
    let asked = it.asked().await;
    let Fixture {
        store,
        runner,
        _dir: dir,
        ..
    } = it;
    drop(runner);
    let mut reply = asked.reply;
    let given_up = timeout(PATIENCE, reply.closed());
    given_up.await.expect("the call ends with the runner");
    drop(store);
    // Another process: leases are gone.
    let store = Arc::new(Embedded::open(dir.path()).unwrap());
    let (desk, mut calls) = mpsc::unbounded_channel();
    let runner = Runner::new(store, Arc::new(Desk(desk)), |_| TriggerQuota::NONE);
    let (tenant, app) = shop();
    runner.set(&tenant, &app, queue(""), Occasion::Start);
    let again: Asked = timeout(PATIENCE, calls.recv())
        .await
        .expect("it comes again")
        .unwrap();
    assert_eq!(again.header(&call::ATTEMPT), "2");
    again.answer(200);
}
