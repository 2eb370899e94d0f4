//! What a service manager is told (sd_notify(3)): that the node is ready, that it ends, and, as long as every lane of
//! the data plane turns, that it lives.

use std::sync::Arc;
use std::time::Duration;

use everwarm_node::Node;
pub(super) use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The service manager that started this process, if it wants to hear anything.
pub(super) struct Supervisor {
    watchdog: Option<Duration>,
}

impl Supervisor {
    pub(super) fn of_process() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// Says something. Where nobody listens it is nothing.
    #[allow(
        clippy::unused_self,
        reason = "there is one service manager, and this is it"
    )]
    pub(super) fn say(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::debug!(%error, "the service manager can't be told");
        }
    }

    /// Says that requests are answered, by which process: one that took over is not the one that was started.
    pub(super) fn say_ready(&self, status: &str) {
        self.say(&[
            NotifyState::Ready,
            NotifyState::MainPid(std::process::id()),
            NotifyState::Status(status),
        ]);
    }

    /// Tells it that the node lives, for as long as it does.
    pub(super) fn watch(&self, node: &Arc<Node>) -> Option<JoinHandle<()>> {
        // Half of what it waits, as sd_watchdog_enabled(3) has it; a quarter of that is left for an answer.
        let every = self.watchdog? / 2;
        let node = Arc::clone(node);
        Some(tokio::spawn(async move {
            loop {
                if node.turns(every / 2).await {
                    // One that doesn't hear it ends this process, which is its business.
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                } else {
                    tracing::error!(
                        "a lane doesn't turn: the service manager isn't told that the node lives"
                    );
                }
                tokio::time::sleep(every / 2).await;
            }
        }))
    }
}
