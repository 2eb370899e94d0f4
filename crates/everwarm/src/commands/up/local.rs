//! The admin API of `up`, so that an app is looked at as on a node: `everwarm --node up` in the app's folder. On loopback
//! alone, at any free port, with a token that only the user can read.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use everwarm_node::admin::token_at_hand;
use everwarm_node::{Listener, Node};

use crate::commands::admin::Admin;
use crate::credentials;
use crate::exit::{Exit, Failure, told};

/// How long what was asked last may take.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(super) struct LocalAdmin {
    admin: Admin,
    file: PathBuf,
}

impl LocalAdmin {
    /// Serves it, and says in the data folder where.
    pub(super) async fn start(node: &Arc<Node>, data_dir: &Path) -> Result<Self, Failure> {
        let failed = |error: &(dyn std::error::Error + 'static), code| {
            Failure::new(Exit::Node, code, told(error))
        };
        let token = token_at_hand(node).await;
        let token = token.map_err(|error| failed(&error, error.code()))?;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(any_port).await;
        let listener = listener.map_err(|error| failed(&error, error.code()))?;
        let url = format!("http://{}", listener.address());
        let file = credentials::keep_local(data_dir, &url, &token)?;
        Ok(Self {
            admin: Admin::start(listener, None, node),
            file,
        })
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        // What isn't there any more is found out by whoever asks.
        let _ = fs::remove_file(&self.file);
        self.admin.end(END_TIME_MAX).await;
    }
}
