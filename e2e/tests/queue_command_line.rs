//! Queues and schedules from the command line and the admin API, and what a node that is killed makes of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Output, Stdio};

use everwarm_api::messages::{MessageState, Quotas, Retry, Scope, TriggerKind};
use everwarm_e2e::deliveries::{attempts, handled, handled_until, sent};
use everwarm_e2e::node::everwarm_command;
use everwarm_e2e::server::problem;
use everwarm_e2e::values::{code, refused};
use everwarm_e2e::{App, DataFolder, NewApp, Request, Server, World, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Runs `everwarm` with these arguments, with these bytes as its standard input.
async fn everwarm(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = everwarm_command();
    command
        .args(args)
        .env("EVERWARM_NODE", server.admin())
        .env("EVERWARM_TOKEN", server.first_token().expose())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that doesn't read has gone already, or will have.
        let _ = child.stdin.take().unwrap().write_all(&input);
        child.wait_with_output().unwrap()
    });
    output.await.unwrap()
}

/// What a command printed.
async fn says(server: &Server, args: &[&str]) -> String {
    let output = everwarm(server, args, b"").await;
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// As [`says`], as JSON.
async fn says_json(server: &Server, args: &[&str]) -> Value {
    let args = [args, &["--json"]].concat();
    serde_json::from_str(&says(server, &args).await).unwrap()
}

const QUICK: &str = "backoff = \"10ms\"\nbackoff_max = \"20ms\"\nattempts = 2\n";

/// Deploys the app `shop` with a queue `jobs` and a schedule `yearly`.
async fn deploy(server: &Server) {
    let queue = format!("[[queue]]\nname = \"jobs\"\nfunction = \"f\"\n{QUICK}");
    let schedule = "[[schedule]]\nname = \"yearly\"\nfunction = \"f\"\ncron = \"0 0 1 1 *\"\nzone = \"Europe/Vienna\"\n";
    let app = NewApp::new("shop", "queue", &["/*"])
        .line("[function.limits]\ncpu_time = \"10s\"")
        .line("[function.grants]\nkv = [\"default\"]\nqueues = [\"jobs\"]")
        .line(&queue)
        .line(schedule);
    app.deploy(&server.client()).await.unwrap();
}

/// What was delivered to the app `shop`.
async fn handled_by(server: &Server) -> BTreeMap<String, Value> {
    let reply = server.get("shop.example.com", "/handled").await;
    reply.ok();
    serde_json::from_value(reply.json()).unwrap()
}

async fn until(server: &Server, what: &str, count: usize) -> BTreeMap<String, Value> {
    eventually(what, async || {
        let handled = handled_by(server).await;
        (handled.len() == count).then_some(handled)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_sent_shown_retried_and_removed() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let sent = says_json(&server, &["queue", "send", "shop", "jobs", "hello"]).await;
    let id = sent["id"].as_str().unwrap();
    let handled = until(&server, "it is handled", 1).await;
    let said = handled[&format!("{id}/1")].as_str().unwrap();
    assert!(
        said.contains("hello") && said.contains("text/plain"),
        "{said}"
    );

    // Bytes from a pipe, and later.
    let args = ["queue", "send", "shop", "jobs", "--delay", "1h"];
    let piped = everwarm(&server, &args, b"piped").await;
    assert!(piped.status.success(), "{piped:?}");
    says(&server, &["queue", "send", "shop", "jobs", "fail"]).await;
    until(&server, "both attempts", 3).await;
    let dead = eventually("it is dead", async || {
        let dead = says_json(&server, &["queue", "show", "shop", "jobs", "--dead"]).await;
        dead.get(0).cloned()
    })
    .await;
    assert_eq!(
        (&dead["attempts"], &dead["state"]),
        (&json!(2), &json!("dead"))
    );
    assert_eq!(
        dead["reason"],
        "the handler answered 500 Internal Server Error"
    );
    let shown = says(&server, &["queue", "show", "shop", "jobs"]).await;
    assert!(
        shown.contains("waits until") && shown.contains("piped"),
        "{shown}"
    );
    let listed = says(&server, &["queue", "ls", "shop"]).await;
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["jobs", "f", "0", "1", "0", "1", "on"]);

    // Again, from the first attempt on.
    let dead = dead["id"].as_str().unwrap();
    let said = says(&server, &["queue", "retry", "shop", "jobs", dead]).await;
    assert_eq!(said, "1 message is delivered again\n");
    eventually("it is dead again", async || {
        let dead = says_json(&server, &["queue", "show", "shop", "jobs", "--dead"]).await;
        (dead.as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let said = says(
        &server,
        &["queue", "purge", "shop", "jobs", "--dead", "--yes"],
    )
    .await;
    assert_eq!(said, "1 message is removed\n");
    let said = says(&server, &["queue", "purge", "shop", "jobs", "--yes"]).await;
    assert_eq!(said, "1 message is removed\n");
    let audit = says(&server, &["audit"]).await;
    for action in ["send-messages", "retry-messages", "purge-messages"] {
        assert!(audit.contains(action), "{audit}");
    }
    assert!(
        !audit.contains("hello") && !audit.contains("piped"),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_queue_takes_messages_and_delivers_none_until_it_goes_on() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    says(&server, &["queue", "pause", "shop", "jobs"]).await;
    let client = server.client();
    let jobs = client.trigger("shop", TriggerKind::Queue, "jobs");
    jobs.send("a".into(), None, None).await.unwrap();
    says(&server, &["queue", "send", "shop", "jobs", "b"]).await;
    let listed = says_json(&server, &["queue", "ls", "shop"]).await;
    assert_eq!(
        (&listed[0]["due"], &listed[0]["paused"]),
        (&json!(2), &json!(true))
    );
    // A restart doesn't make it go on.
    let server = server.kill_and_restart(&data).await;
    assert!(handled_by(&server).await.is_empty());
    says(&server, &["queue", "resume", "shop", "jobs"]).await;
    until(&server, "both are handled", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedule_is_run_by_hand_and_listed_with_its_next_moment() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let listed = says_json(&server, &["schedule", "ls", "shop"]).await;
    assert_eq!(
        (&listed[0]["name"], &listed[0]["zone"]),
        (&json!("yearly"), &json!("Europe/Vienna"))
    );
    // The year begins at 23:00 UTC in Vienna.
    assert_eq!(
        listed[0]["next_ms"].as_u64().unwrap() % 86_400_000,
        82_800_000
    );
    let run = says_json(&server, &["schedule", "trigger", "shop", "yearly"]).await;
    let handled = until(&server, "it runs", 1).await;
    let key = format!("{}/1", run["id"].as_str().unwrap());
    assert!(
        handled[&key].as_str().unwrap().contains("schedule/yearly"),
        "{handled:?}"
    );
    says(&server, &["schedule", "pause", "shop", "yearly"]).await;
    let listed = says(&server, &["schedule", "ls", "shop"]).await;
    assert!(listed.contains("paused"), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_declared_is_not_there_and_strangers_see_nothing() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let client = server.client();
    let trigger = |kind, name| client.trigger("shop", kind, name);
    for (kind, name) in [
        (TriggerKind::Queue, "yearly"),
        (TriggerKind::Schedule, "jobs"),
        (TriggerKind::Queue, "No_Name"),
    ] {
        let messages = trigger(kind, name).messages(false, None, None).await;
        assert_eq!(refused(messages), code(404, "EW5005"));
        let paused = trigger(kind, name).set_paused(true).await;
        assert_eq!(refused(paused), code(404, "EW5005"));
    }
    let jobs = trigger(TriggerKind::Queue, "jobs");
    let other = Retry {
        ids: Some(vec!["other-0000000000000001".to_owned()]),
    };
    assert_eq!(refused(jobs.retry(&other).await), code(400, "EW5009"));
    let large = jobs.send(vec![0; (256 << 10) + 1].into(), None, None).await;
    assert_eq!(refused(large), code(413, "EW5021"));
    for delay_s in [366 * 24 * 3_600 + 1, u64::MAX] {
        let late = jobs.send("late".into(), None, Some(delay_s)).await;
        assert_eq!(refused(late), code(400, "EW5009"));
    }
    let none = trigger(TriggerKind::Queue, "none");
    let told = problem(none.send("x".into(), None, None).await).detail;
    assert!(told.contains("declare it in [[queue]]"), "{told}");
    // What is refused so is in no log.
    let entries = client.audit(false, None).await.unwrap().items;
    let mut actions = entries.iter().map(|entry| &*entry.action);
    assert!(!actions.any(|action| action == "send-messages"));
    let stranger = server
        .tenant("stranger", Quotas::default(), Scope::Deploy)
        .await;
    let messages = stranger
        .trigger("shop", TriggerKind::Queue, "jobs")
        .messages(false, None, None)
        .await;
    assert_eq!(refused(messages), code(404, "EW5005"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_with_their_app_and_come_to_the_version_that_serves() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let client = server.client();
    let jobs = client.trigger("shop", TriggerKind::Queue, "jobs");
    jobs.send("later".into(), None, Some(3_600)).await.unwrap();
    let waiting = jobs.messages(false, None, None).await.unwrap();
    assert_eq!(waiting.items[0].state, MessageState::Waits);
    client.remove_app("shop").await.unwrap();
    assert_eq!(
        refused(jobs.messages(false, None, None).await),
        code(404, "EW5005")
    );
    deploy(&server).await;
    assert!(
        jobs.messages(false, None, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_of_a_tenant_bounds_the_messages_of_each_of_its_apps() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let set = ["tenant", "set", "default", "--queue-messages", "2"];
    let told = says(&server, &set).await;
    assert!(told.contains("default in 2"), "{told}");
    let client = server.client();
    let jobs = client.trigger("shop", TriggerKind::Queue, "jobs");
    let later = async || jobs.send("later".into(), None, Some(3_600)).await;
    later().await.unwrap();
    later().await.unwrap();
    assert_eq!(refused(later().await), code(403, "EW5008"));
    // Functions too.
    let one = json!([{"body": "a"}]).to_string();
    let request = Request::post("/send?jobs", one).header("host", "shop.example.com");
    let answered = server
        .node
        .send(request.header("content-type", "application/json"));
    assert_eq!(answered.await.json()["error"], "full");
    says(
        &server,
        &["tenant", "set", "default", "--queue-bytes", "12B"],
    )
    .await;
    assert_eq!(refused(later().await), code(403, "EW5008"));
    says(&server, &["tenant", "set", "default"]).await;
    later().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_queue_that_is_not_declared_any_more_are_seen_and_removed() {
    let data = DataFolder::new();
    let server = data.start().await;
    deploy(&server).await;
    let args = ["queue", "send", "shop", "jobs", "later", "--delay", "1h"];
    says(&server, &args).await;
    let without = || NewApp::new("shop", "queue", &["/*"]);
    without().deploy(&server.client()).await.unwrap();
    let listed = says(&server, &["queue", "ls", "shop"]).await;
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["jobs", "0", "1", "0", "0", "undeclared"]);
    let shown = says(&server, &["queue", "show", "shop", "jobs"]).await;
    assert!(shown.contains("later"), "{shown}");
    // Nobody would handle another one.
    let refused = everwarm(&server, &["queue", "send", "shop", "jobs", "no"], b"").await;
    assert!(!refused.status.success(), "{refused:?}");

    deploy(&server).await;
    let listed = says_json(&server, &["queue", "ls", "shop"]).await;
    assert_eq!(
        (&listed[0]["delayed"], listed[0].get("undeclared")),
        (&json!(1), None)
    );
    without().deploy(&server.client()).await.unwrap();
    let said = says(&server, &["queue", "purge", "shop", "jobs", "--yes"]).await;
    assert_eq!(said, "1 message is removed\n");
    let listed = says_json(&server, &["queue", "ls", "shop"]).await;
    assert_eq!(listed, json!([]), "nothing is left of it");
}

/// Each message that was acknowledged as sent is handled, and none that was handled is delivered again once the node knows:
/// what was under way when it died is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_sent_is_lost_however_often_the_node_is_killed() {
    let folder = App::new("queue", World::Wasi02)
        .limit("cpu_time", "10s")
        .grant("kv = [\"default\"]\nqueues = [\"jobs\"]")
        .table("[[queue]]\nname = \"jobs\"\nfunction = \"queue\"\nconcurrency = 2\nattempts = 50\nbackoff = \"1ms\"\nbackoff_max = \"5ms\"")
        .write();
    let mut told: Vec<String> = Vec::new();
    for round in 0..6 {
        let node = folder.start().await;
        for _ in 0..10 {
            told.extend(
                sent(
                    &node,
                    "jobs",
                    &json!([{ "body": "a" }, { "body": "fail-until-3" }]),
                )
                .await,
            );
        }
        let before = handled(&node).await.len();
        // It dies in the middle of deliveries.
        handled_until(&node, "some more", |handled| handled.len() > before + round).await;
        drop(node.stop(Signal::KILL).await);
    }
    let node = folder.start().await;
    // Whether the third attempt was written down, which is the first that is acknowledged; those before it may have been
    // cut short before they were.
    let is_through = |handled: &BTreeMap<String, Value>, id: &str| {
        let of = handled.iter().filter(|(key, _)| key.starts_with(id));
        let mut of = of.map(|(key, said)| {
            let attempt: u32 = key[id.len() + 1..].parse().unwrap();
            attempt >= 3 || said["body"] == "a"
        });
        of.any(|is_through| is_through)
    };
    let handled_all = handled_until(&node, "all are handled", |handled| {
        told.iter().all(|id| is_through(handled, id))
    });
    let attempts = attempts(&handled_all.await).len();
    assert_eq!(attempts, told.len(), "nothing else was delivered");
    // It comes after all that wait. A drain waits for what is under way and stores what came of it.
    sent(&node, "jobs", &json!([{ "body": "last" }])).await;
    let has =
        |handled: &BTreeMap<String, Value>, body| handled.values().any(|said| said["body"] == body);
    handled_until(&node, "the last one", |handled| has(handled, "last")).await;
    drop(node.stop(Signal::TERM).await);
    // Nothing of it comes again.
    let node = folder.start().await;
    let before = handled(&node).await.len();
    sent(&node, "jobs", &json!([{ "body": "after the end" }])).await;
    let after = handled_until(&node, "the one after", |handled| {
        has(handled, "after the end")
    });
    assert_eq!(after.await.len(), before + 1);
}
