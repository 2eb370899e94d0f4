//! Messages and runs of schedules on their way to functions that a test stands in for, with the node's own store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use everwarm_manifest::triggers::Overlap;
use everwarm_manifest::{App, AppName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::triggers::{
    Content, NewMessage, Standing, Trigger, TriggerId, TriggerQuota, Which,
};
use everwarm_triggers::{
    Answer, AppTriggers, Call, CallError, CallFuture, Caller, Occasion, Runner, call,
};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Functions that a test stands in for: it gets each call, and answers when it likes.
struct Desk(mpsc::UnboundedSender<Asked>);

type Reply = tokio::sync::oneshot::Sender<Result<Answer, CallError>>;

struct Asked {
    call: Call,
    reply: Reply,
}

impl Caller for Desk {
    fn call(&self, call: Call) -> CallFuture {
        let (reply, answered) = tokio::sync::oneshot::channel();
        // A test that has ended asks nothing more.
        let _ = self.0.send(Asked { call, reply });
        Box::pin(async move {
            let gone = |_| CallError::Failed("nobody answers".to_owned());
            answered.await.map_err(gone)?
        })
    }
}

impl Asked {
    fn header(&self, name: &http::HeaderName) -> String {
        self.call.headers[name].to_str().unwrap().to_owned()
    }

    fn answer(self, status: u16) {
        self.reply(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            json: None,
        }));
    }

    fn reply(self, answer: Result<Answer, CallError>) {
        self.reply.send(answer).unwrap();
    }
}

struct Fixture {
    store: Arc<Embedded>,
    runner: Runner,
    asked: mpsc::UnboundedReceiver<Asked>,
    _dir: tempfile::TempDir,
}

fn shop() -> (TenantId, AppName) {
    (TenantId::default_tenant(), "shop".parse().unwrap())
}

fn of(trigger: Trigger) -> TriggerId {
    let (tenant, app) = shop();
    TriggerId {
        tenant,
        app,
        trigger,
    }
}

fn jobs() -> TriggerId {
    of(Trigger::Queue("jobs".parse().unwrap()))
}

/// What a manifest with these tables declares.
fn declared(tables: &str) -> AppTriggers {
    let text = format!("name = \"shop\"\n{tables}\n[[function]]\nname = \"f\"\n");
    let app = App::parse(&text, "everwarm.toml").unwrap();
    AppTriggers {
        queues: app.queues,
        schedules: app.schedules,
    }
}

fn queue(lines: &str) -> AppTriggers {
    declared(&format!(
        "[[queue]]\nname = \"jobs\"\nfunction = \"f\"\nbackoff = \"1ms\"\nbackoff_max = \"1ms\"\n{lines}"
    ))
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(dir.path()).unwrap());
        let (desk, asked) = mpsc::unbounded_channel();
        let caller = Arc::new(Desk(desk));
        let runner = Runner::new(Arc::clone(&store) as _, caller, TriggerQuota::NONE);
        Self {
            store,
            runner,
            asked,
            _dir: dir,
        }
    }

    fn set(&self, triggers: AppTriggers, occasion: Occasion) {
        let (tenant, app) = shop();
        self.runner.set(&tenant, &app, triggers, occasion);
    }

    async fn send(&self, bodies: &[&'static str]) {
        let now = UnixMillis::now();
        let messages = bodies.iter().map(|body| NewMessage {
            content: Content {
                body: (*body).into(),
                ..Content::default()
            },
            due: now,
        });
        let (to, messages) = (jobs(), messages.collect());
        let triggers = self.store.triggers();
        let sent = triggers.send(&to, messages, TriggerQuota::NONE, now);
        sent.await.unwrap();
        self.runner.wake(&to);
    }

    async fn asked(&mut self) -> Asked {
        let asked = timeout(PATIENCE, self.asked.recv());
        asked.await.expect("a call comes").unwrap()
    }

    async fn standing(&self, of: &TriggerId) -> Standing {
        let standing = self.store.triggers().standing(of, UnixMillis::now());
        standing.await.unwrap()
    }

    /// Waits until a trigger stands so.
    async fn until(&self, of: &TriggerId, is_so: impl Fn(&Standing) -> bool) {
        let stands = async {
            while !is_so(&self.standing(of).await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, stands)
            .await
            .expect("it comes to stand so");
    }

    /// Whether no call is there once the worker has had its turn: another queue's message comes after.
    fn nobody_asks(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

fn is_empty(standing: &Standing) -> bool {
    standing.due + standing.delayed + standing.leased == 0
}

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
    assert_eq!(it.runner.counts().acknowledged, 4);
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
    let counts = it.runner.counts();
    assert_eq!((counts.again, counts.dead, counts.acknowledged), (2, 1, 0));
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
    assert_eq!(it.runner.counts().released, 3);
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
    let mut it = Fixture::new();
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
    assert!(it.nobody_asks());
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
        let counted = async {
            while it.runner.counts().left_out + it.runner.counts().acknowledged < 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, counted).await.expect("all are counted");
        assert_eq!(it.runner.counts().left_out, 4 - runs, "{missed}");
        it.until(&tick(), is_empty).await;
        assert!(it.nobody_asks(), "{missed}");
    }
}

#[tokio::test]
async fn schedule_whose_line_is_changed_by_a_deploy_begins_anew() {
    let mut it = Fixture::new();
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
    assert!(it.nobody_asks());
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
                let leaves_out = async {
                    while it.runner.counts().left_out < 2 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                };
                timeout(PATIENCE, leaves_out)
                    .await
                    .expect("runs are left out");
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
    let runner = Runner::new(store, Arc::new(Desk(desk)), TriggerQuota::NONE);
    let (tenant, app) = shop();
    runner.set(&tenant, &app, queue(""), Occasion::Start);
    let again: Asked = timeout(PATIENCE, calls.recv())
        .await
        .expect("it comes again")
        .unwrap();
    assert_eq!(again.header(&call::ATTEMPT), "2");
    again.answer(200);
}
