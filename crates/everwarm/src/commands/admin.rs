//! The admin API beside a node, until it is told to end.

use std::sync::Arc;
use std::time::Duration;

use everwarm_node::admin::{self, AdminTls};
use everwarm_node::{Listener, Node};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The admin API on its socket.
pub(crate) struct Admin {
    end: watch::Sender<bool>,
    /// Until it has ended.
    task: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves it from now on.
    pub(crate) fn start(listener: Listener, tls: Option<AdminTls>, node: &Arc<Node>) -> Self {
        let (end, ended) = watch::channel(false);
        let task = tokio::spawn(admin::serve(listener, tls, Arc::clone(node), ended));
        Self {
            end,
            task: Some(task),
        }
    }

    /// Ends it; what it is asked already is answered.
    pub(crate) async fn end(&mut self, limit: Duration) {
        self.end.send_replace(true);
        let Some(mut task) = self.task.take() else {
            return;
        };
        // A panic in it was logged.
        if tokio::time::timeout(limit, &mut task).await.is_err() {
            task.abort();
        }
    }
}
