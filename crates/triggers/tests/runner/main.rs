//! Messages and runs of schedules on their way to functions that a test stands in for, with the node's own store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod queues;
mod schedules;

use std::sync::Arc;
use std::time::Duration;

use everwarm_manifest::{App, AppName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::triggers::{Content, NewMessage, Standing, Trigger, TriggerId, TriggerQuota};
use everwarm_triggers::{
    Answer, AppTriggers, Call, CallError, CallFuture, Caller, Counts, Occasion, Runner,
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
        let runner = Runner::new(Arc::clone(&store) as _, caller, |_| TriggerQuota::NONE);
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

    /// Waits until so much is counted: that is done when what came of a call is stored.
    async fn counted(&self, is_so: impl Fn(&Counts) -> bool) {
        let counts = async {
            while !is_so(&self.runner.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, counts).await.expect("it is counted");
    }

    /// Whether no call has come so far. That none comes any more is for the store to show.
    fn nobody_asks(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

fn is_empty(standing: &Standing) -> bool {
    standing.due + standing.delayed + standing.leased == 0
}
