//! The restart without a gap, as the process that serves until now lives it, and what it leaves to the next one. The
//! words that the two exchange are `everwarm_node::handover`'s.

use std::sync::Arc;

use everwarm_node::handover::{HandoverError, Heir, Post, Predecessor};
use everwarm_node::sockets::SocketName;
use everwarm_node::{Listener, Node};
use serde_json::json;

use super::{ADMIN_TIME_MAX, Admin, Serving, chores};

impl Serving<'_> {
    /// Lets the other process take over. When it doesn't, everything is as before.
    pub(super) async fn hand_over(&mut self, mut heir: Heir) -> Option<Heir> {
        if let Err(error) = heir.give(&self.sockets).await {
            tracing::warn!(%error, "another process asked to take over, and didn't");
            return None;
        }
        self.printer.event(&json!({"event": "handing-over"}));
        self.printer
            .say("handing over: another process takes the store and then the requests");
        self.chores.abort();
        self.admin.end(ADMIN_TIME_MAX).await;
        let succeeded = match self.node.let_store_go().await {
            Ok(()) => {
                let succeeded = heir.succeed().await;
                if succeeded.is_err() {
                    // It goes when it hears that it isn't wanted any more, or is gone already.
                    drop(heir);
                    self.take_back().await;
                    return self.gave_up(succeeded);
                }
                succeeded
            }
            Err(error) => {
                tracing::error!(%error, "usage can't be stored: nothing is handed over");
                Err(HandoverError::Gone)
            }
        };
        if succeeded.is_err() {
            self.go_on();
            return self.gave_up(succeeded);
        }
        Some(heir)
    }

    fn gave_up(&self, failed: Result<(), HandoverError>) -> Option<Heir> {
        if let Err(error) = failed {
            tracing::error!(%error, "another process was to take over, and didn't: this one goes on");
        }
        self.printer.event(&json!({"event": "goes-on"}));
        None
    }

    async fn take_back(&mut self) {
        if let Err(error) = self.node.take_store_back().await {
            // What is resident or on disk is served all the same.
            tracing::error!(%error, "the store can't be taken back: nothing can be deployed until this process is started again");
        }
        self.post = Post::open(&self.serve.data_dir)
            .inspect_err(|error| tracing::warn!(%error, "no other process can take over"))
            .ok();
        self.go_on();
    }

    /// Does again what stopped for the other process.
    fn go_on(&mut self) {
        self.chores = chores(&self.node);
        let shared = self
            .sockets
            .get(&SocketName::Admin)
            .and_then(|socket| socket.try_clone().ok());
        match (shared.map(Listener::take), super::admin_tls(&self.serve)) {
            (Some(Ok(listener)), Ok(tls)) => self.admin = Admin::start(listener, tls, &self.node),
            _ => {
                tracing::error!("the admin API can't be served again: start this process again");
            }
        }
    }
}

/// Stores what the last requests of the process before used, until it ends.
pub(super) async fn take_last_usage(node: Arc<Node>, mut predecessor: Predecessor) {
    while let Some(rows) = predecessor.last_usage().await {
        if let Err(error) = node.add_usage(rows).await {
            tracing::error!(%error, "what the process before used last can't be stored");
        }
    }
}
