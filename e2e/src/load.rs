//! Requests without a pause, for tests in which none may fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use crate::client::{Connection, Request};
use crate::deadline::eventually;
use crate::tls::TlsClient;

/// Clients that ask again and again: some on connections that they keep, some on a new one each time.
#[derive(Debug)]
pub struct Load {
    ended: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: JoinSet<Result<(), String>>,
}

impl Load {
    /// Starts so many clients of each kind.
    pub fn start(address: SocketAddr, host: &str, path: &str, clients: usize) -> Self {
        Self::start_over(None, address, host, path, clients)
    }

    /// As [`Self::start`], over TLS if there is a client for it.
    pub fn start_over(
        tls: Option<&TlsClient>,
        address: SocketAddr,
        host: &str,
        path: &str,
        clients: usize,
    ) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for index in 0..2 * clients {
            let client = Client {
                tls: tls.cloned(),
                address,
                host: host.to_owned(),
                path: path.to_owned(),
                keeps: index % 2 == 0,
                ended: Arc::clone(&ended),
                answers: Arc::clone(&answers),
            };
            set.spawn(client.run());
        }
        Self {
            ended,
            answers,
            clients: set,
        }
    }

    /// Waits until so many more requests have been answered.
    ///
    /// # Panics
    ///
    /// At the deadline.
    pub async fn answered(&self, more: u64) {
        let until = self.answers.load(Ordering::Relaxed) + more;
        eventually("requests are answered", async || {
            (self.answers.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Ends it, and says how many requests were answered.
    ///
    /// # Panics
    ///
    /// When one wasn't, or not with 200.
    pub async fn end(mut self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        while let Some(ended) = self.clients.join_next().await {
            failures.extend(ended.expect("a client doesn't panic").err());
        }
        let answers = self.answers.load(Ordering::Relaxed);
        assert!(
            failures.is_empty(),
            "after {answers} answers: {failures:#?}"
        );
        answers
    }
}

struct Client {
    tls: Option<TlsClient>,
    address: SocketAddr,
    host: String,
    path: String,
    keeps: bool,
    ended: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

impl Client {
    async fn run(self) -> Result<(), String> {
        let mut kept = None;
        while !self.ended.load(Ordering::Relaxed) {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self
                    .connect()
                    .await
                    .map_err(|error| format!("no connection: {error}"))?,
            };
            let request = Request::get(&self.path).header("host", &self.host);
            let kind = if self.keeps { "kept" } else { "new" };
            let open = connection.try_open(request).await;
            let open =
                open.map_err(|error| format!("no answer on a {kind} connection: {error:?}"))?;
            let reply = open.read().await;
            if reply.is_broken() || reply.status() != 200 {
                return Err(format!("on a {kind} connection: {reply:?}"));
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
            if self.keeps && reply.header("connection") != Some("close") {
                kept = Some(connection);
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, String> {
        let Some(tls) = &self.tls else {
            let connected = Connection::try_http1(self.address).await;
            return connected.map_err(|error| error.to_string());
        };
        let secured = tls.try_connect(self.address, &self.host).await;
        Ok(secured.map_err(|error| error.to_string())?.http().await)
    }
}
