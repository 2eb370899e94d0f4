//! Queues as functions of both worlds send to them and handle what is in them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use everwarm_e2e::asked::noticed;
use everwarm_e2e::deliveries::{app, attempts, handled, handled_until, queue, send, sent};
use everwarm_e2e::{Request, World, both_worlds};
use serde_json::json;

const QUICK: &str = "backoff = \"10ms\"\nbackoff_max = \"20ms\"\n";

both_worlds! {
    async fn message_is_handled_once_with_what_was_sent(world: World) {
        let app = app(world).grant("queues = [\"jobs\"]").table(&queue("jobs", QUICK));
        let node = app.start().await;
        let ids = sent(&node, "jobs", &json!([
            { "body": "one", "content_type": "text/plain" },
            { "body": "\u{1f980}" },
            {},
        ]))
        .await;
        let handled = handled_until(&node, "all are handled", |handled| handled.len() == 3).await;
        let said = |number: usize| &handled[&format!("{}/1", ids[number])];
        assert_eq!(said(0)["body"], "one");
        assert_eq!(said(0)["type"], "text/plain");
        assert_eq!(said(0)["path"], "/queues/jobs");
        assert_eq!(said(0)["trigger"], "queue/jobs");
        assert_eq!(said(0)["scheduled"], "-");
        assert_eq!(said(1)["body"], "\u{1f980}");
        assert_eq!(said(1)["type"], "application/octet-stream");
        assert_eq!(said(2)["body"], "");
        assert!(ids.is_sorted());
    }

    async fn message_that_fails_is_tried_again_and_another_isnt_held_up(world: World) {
        let app = app(world).grant("queues = [\"jobs\"]").table(&queue("jobs", QUICK));
        let node = app.start().await;
        let ids = sent(&node, "jobs", &json!([
            { "body": "fail-until-3" }, { "body": "trap" }, { "body": "fine" },
        ]))
        .await;
        let handled = handled_until(&node, "all attempts", |handled| handled.len() == 9).await;
        let attempts = attempts(&handled);
        assert_eq!(attempts[&*ids[0]], 3);
        // It traps at each of the five, and is dead then.
        assert_eq!(attempts[&*ids[1]], 5);
        assert_eq!(attempts[&*ids[2]], 1);
    }

    async fn function_sends_to_the_queues_that_it_is_granted(world: World) {
        let app = app(world)
            .grant("queues = [\"jobs\"]")
            .table(&queue("jobs", ""))
            .table(&queue("secret", ""));
        let node = app.start().await;
        let error = async |queue| send(&node, queue, &json!([{}])).await["error"].clone();
        assert_eq!(error("secret").await, "access-denied");
        noticed(&node, "queue `secret` denied").await;
        assert_eq!(error("No_Queue").await, "no-such-queue");
        assert!(handled(&node).await.is_empty());
    }

    async fn what_is_too_large_is_refused_and_nothing_of_it_is_kept(world: World) {
        let app = app(world).grant("queues = [\"jobs\"]").table(&queue("jobs", ""));
        let node = app.start().await;
        let many: Vec<_> = (0..101).map(|_| json!({})).collect();
        for messages in [
            json!([{ "body": "kept?" }, { "bytes": (256 << 10) + 1 }]),
            json!(many),
            json!([{ "content_type": "x".repeat(300) }]),
        ] {
            let answer = send(&node, "jobs", &messages).await;
            assert_eq!(answer["error"], "too-large", "{answer}");
        }
        let ids = sent(&node, "jobs", &json!([{ "bytes": 256 << 10 }])).await;
        let handled = handled_until(&node, "the large one", |handled| !handled.is_empty()).await;
        assert_eq!(attempts(&handled).keys().collect::<Vec<_>>(), [&ids[0]]);
    }

    async fn batch_comes_as_one_call_and_what_failed_in_it_alone_again(world: World) {
        let lines = format!("path = \"/batch\"\nbatch = 10\nbatch_wait = \"10s\"\nattempts = 2\n{QUICK}");
        let app = app(world).grant("queues = [\"jobs\"]").table(&queue("jobs", &lines));
        let node = app.start().await;
        let mut messages: Vec<_> = (0..9).map(|number| json!({ "body": number.to_string() })).collect();
        messages.push(json!({ "body": "fail" }));
        // It is full, so it isn't waited for.
        let ids = sent(&node, "jobs", &json!(messages)).await;
        let first = handled_until(&node, "the batch", |handled| handled.len() >= 10).await;
        for id in &ids {
            assert_eq!(first[&format!("{id}/1")]["of"], 10, "{first:?}");
        }
        let all = handled_until(&node, "the second attempt", |handled| handled.len() == 11).await;
        assert_eq!(all[&format!("{}/2", ids[9])]["of"], 1);
        assert_eq!(attempts(&all)[&*ids[0]], 1);
    }

    async fn message_with_a_delay_waits_and_one_that_is_sent_after_it_doesnt(world: World) {
        let app = app(world).grant("queues = [\"jobs\"]").table(&queue("jobs", QUICK));
        let node = app.start().await;
        let late = sent(&node, "jobs", &json!([{ "body": "late", "delay_ms": 1_500 }])).await;
        let early = sent(&node, "jobs", &json!([{ "body": "early" }])).await;
        let first = handled_until(&node, "the early one", |handled| !handled.is_empty()).await;
        assert_eq!(attempts(&first).keys().collect::<Vec<_>>(), [&early[0]]);
        let both = handled_until(&node, "both", |handled| handled.len() == 2).await;
        assert!(both.contains_key(&format!("{}/1", late[0])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_takes_longer_than_its_visibility_is_given_up_and_made_again() {
    let lines = format!("visibility = \"1s\"\nattempts = 2\n{QUICK}");
    let app = app(World::Wasi02)
        .grant("queues = [\"jobs\"]")
        .table(&queue("jobs", &lines));
    let node = app.start().await;
    let ids = sent(&node, "jobs", &json!([{ "body": "stall" }])).await;
    let handled = handled_until(&node, "two attempts", |handled| handled.len() == 2).await;
    assert_eq!(attempts(&handled)[&*ids[0]], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_may_send_on_and_the_chain_ends() {
    let app = app(World::Wasi02)
        .grant("queues = [\"first\", \"second\"]")
        .table(&queue("first", ""))
        .table(&queue("second", ""));
    let node = app.start().await;
    sent(&node, "first", &json!([{ "body": "send second hello" }])).await;
    let handled = handled_until(&node, "both", |handled| handled.len() == 2).await;
    let second = handled
        .values()
        .find(|said| said["trigger"] == "queue/second");
    assert_eq!(second.unwrap()["body"], "hello");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_from_outside_is_taken_for_a_queue() {
    let node = app(World::Wasi02).table(&queue("jobs", "")).start().await;
    let request = Request::post("/queues/jobs", "forged")
        .header("everwarm-trigger", "queue/jobs")
        .header("everwarm-delivery-id", "jobs-0000000000000001")
        .header("everwarm-attempt", "1")
        .header("everwarm-sent-at", "1");
    assert_eq!(node.send(request).await.status(), 403);
    assert!(handled(&node).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_without_routes_is_called_by_its_queue_alone() {
    let app = app(World::Wasi02)
        .grant("queues = [\"jobs\"]")
        .and_unrouted("echo", World::Wasi03)
        .table("[[queue]]\nname = \"jobs\"\nfunction = \"echo\"");
    let node = app.start().await;
    sent(&node, "jobs", &json!([{ "body": "hello" }])).await;
    let access = node.log().access("/queues/jobs").await;
    assert_eq!(access["method"], "POST");
    assert_eq!(access["function"], "echo");
    assert_eq!(access["status"], 200);
}
