//! The real binary, killed at any moment of its deploys.
//!
//! A kill says nothing of power loss: what was written and not synced is still there. It shows that every moment
//! between two writes is one to start again from.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everwarm_api::client::Client;
use everwarm_e2e::{DataFolder, NewApp, eventually};
use rustix::process::Signal;

/// Deploys that are asked for in all.
const DEPLOYS: u32 = 200;
/// The longest life of a process, from its first deploy.
const LIFE_MS_MAX: u64 = 50;

/// Numbers that differ from run to run; a failed run says how it began.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's constants, "The Art of Computer Programming", volume 2, section 3.3.4.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Deploys one version after another, until the node is gone. Each answers one path of its own: `/<number>`.
struct Deployer {
    next: u32,
    /// What was acknowledged last.
    acknowledged: Option<u32>,
    /// What was asked for, and never answered.
    in_doubt: Option<u32>,
}

impl Deployer {
    async fn run(&mut self, client: &Client) {
        while self.next < DEPLOYS {
            let number = self.next;
            self.next += 1;
            self.in_doubt = Some(number);
            let app = NewApp::new("shop", "hello", &[&format!("/{number}")]);
            if app.deploy(client).await.is_err() {
                return;
            }
            self.acknowledged = Some(number);
            self.in_doubt = None;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deploy_that_was_acknowledged_serves_whenever_the_node_was_killed() {
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    let seed = u64::try_from(seed & u128::from(u64::MAX)).unwrap();
    println!("seed {seed}");
    let mut random = Random(seed);
    let data = DataFolder::new();
    let mut deployer = Deployer {
        next: 0,
        acknowledged: None,
        in_doubt: None,
    };
    let mut kills = 0;
    // The process before, whose output is shown with that of the next when a test fails.
    let mut before = None;
    while deployer.next < DEPLOYS {
        let server = data.start().await;
        let client = server.client();
        let life = Duration::from_millis(random.below(LIFE_MS_MAX));
        // The fault is to come at no particular moment: what a test waits for elsewhere would be one.
        let _ = tokio::time::timeout(life, deployer.run(&client)).await;
        before.replace(server.node.stop(Signal::KILL).await);
        kills += 1;

        let server = data.start().await;
        let mut expected = vec![deployer.acknowledged, deployer.in_doubt];
        expected.retain(Option::is_some);
        let mut answering = Vec::new();
        for number in expected.iter().flatten() {
            let reply = server.get("shop.example.com", &format!("/{number}")).await;
            answering.extend((reply.status() == 200).then_some(*number));
        }
        // Of a first deploy that wasn't acknowledged, nothing has to be there.
        let may_be_none = deployer.acknowledged.is_none();
        assert!(
            answering.len() == 1 || may_be_none && answering.is_empty(),
            "of {expected:?} {answering:?} answer, after {kills} kills"
        );
        // What was in doubt and has arrived counts from now on.
        deployer.acknowledged = answering.first().copied();
        deployer.in_doubt = None;
        before.replace(server.node.stop(Signal::KILL).await);
    }
    assert!(kills > 10, "{kills} kills");
    // Nothing is left half-way: the node goes on as if nothing had been.
    let server = data.start().await;
    NewApp::new("shop", "hello", &["/last"])
        .deploy(&server.client())
        .await
        .unwrap();
    server.get("shop.example.com", "/last").await.ok();
    eventually("usage can be asked for", async || {
        server.client().usage(false, None, None).await.ok()
    })
    .await;
}
