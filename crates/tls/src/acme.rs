//! Certificates from an authority that speaks ACME (RFC 8555), had and renewed for the hosts that are wanted.
//!
//! Owns when an order is made and what is kept of it. A certificate is asked for only for hosts that the node says it
//! wants, never for what a client sends. An order that fails costs nobody else anything.

mod challenges;
mod files;
mod http;
mod order;
mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

pub use self::challenges::Challenges;
use self::files::AcmeFiles;
use self::order::{Accounts, Issued, OrderError};
use self::plan::{Held, Memory, plan};
use crate::certificate::Certificate;
use crate::certificates::{Certificates, Set};

/// How long nothing is looked at when nothing happens.
const REST_MAX: Duration = Duration::from_hours(1);
/// The code that the log has for an order that failed.
const FAILED_ORDER: &str = "EW4033";

/// Whom certificates are had from.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// The address of the server's directory.
    pub directory: String,
    /// Where the authority may write to.
    pub contact: Option<String>,
    /// Who vouches for the server, besides those of the system.
    pub root: Option<PathBuf>,
}

/// ACME can't be begun.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The certificate of the server's authority can't be used.
    #[error("`acme-root`: {path} can't be used: {reason}")]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What was kept can't be read.
    #[error("what ACME keeps in {path} can't be used: {source}")]
    Files {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl AcmeError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Root { .. } => "EW4032",
            Self::Files { .. } => "EW4003",
        }
    }
}

/// The hosts that are wanted now.
pub type Wanted = Arc<dyn Fn() -> BTreeSet<String> + Send + Sync>;

/// See the module's documentation.
pub struct Acme {
    files: AcmeFiles,
    accounts: Arc<Accounts>,
    challenges: Arc<Challenges>,
    certificates: Arc<Certificates>,
    held: BTreeMap<String, (Held, Arc<Certificate>)>,
    memory: Memory,
}

impl Acme {
    /// Puts in force what was had before; `folder` keeps what is had from now on. Asks nobody for anything yet.
    ///
    /// # Errors
    /// When the folder or the authority of the server can't be used.
    pub fn open(
        config: AcmeConfig,
        folder: &Path,
        certificates: Arc<Certificates>,
    ) -> Result<Self, AcmeError> {
        let client = http::client(config.root.as_deref())?;
        let failed = |source| AcmeError::Files {
            path: folder.to_owned(),
            source,
        };
        let files = AcmeFiles::open(folder, &config.directory).map_err(failed)?;
        let held = files.certificates().map_err(failed)?;
        let acme = Self {
            memory: files.memory(),
            accounts: Arc::new(Accounts::new(config, client, files.clone())),
            files,
            challenges: Arc::default(),
            certificates,
            held,
        };
        acme.put_in_force();
        Ok(acme)
    }

    /// The answers to challenges of orders that are under way.
    pub fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Gets and renews certificates for ever. Looks at what is wanted when `changed` is told. Whoever starts it ends
    /// it, and the orders with it.
    pub async fn keep(mut self, wanted: Wanted, changed: Arc<Notify>) {
        let mut orders = JoinSet::new();
        let mut running: HashMap<Id, String> = HashMap::new();
        loop {
            let now = unix_now();
            let hosts = self.lacking(&wanted());
            let held = self.held.iter().map(|(host, (held, _))| (&**host, held));
            let under_way: BTreeSet<&str> = running.values().map(String::as_str).collect();
            self.memory.forget(now, &hosts);
            let plan = plan(now, &hosts, &held.collect(), &under_way, &self.memory);
            for host in &plan.due {
                self.memory.begin(now, host);
            }
            // An order that isn't noted could be made again and again.
            if plan.due.is_empty() || self.remember().await {
                for host in plan.due {
                    let order = order::place(
                        Arc::clone(&self.accounts),
                        host.clone(),
                        Arc::clone(&self.challenges),
                    );
                    tracing::info!(%host, "a certificate is ordered");
                    running.insert(orders.spawn(order).id(), host);
                }
            }
            let rest = Duration::from_secs(plan.wake_at_s.saturating_sub(now)).min(REST_MAX);
            tokio::select! {
                () = changed.notified() => {}
                () = tokio::time::sleep(rest) => {}
                Some(ended) = orders.join_next_with_id() => {
                    let (id, result) = result_of(ended);
                    if let Some(host) = running.remove(&id) {
                        self.end(&host, result).await;
                    }
                }
            }
        }
    }

    /// Of the hosts that are wanted, those that an authority can vouch for and that no file is for.
    fn lacking(&self, wanted: &BTreeSet<String>) -> BTreeSet<String> {
        let lacking = wanted
            .iter()
            .filter(|host| plan::is_public_name(host) && !self.certificates.is_in_files(host));
        lacking.cloned().collect()
    }

    async fn end(&mut self, host: &str, result: Result<Issued, OrderError>) {
        match result {
            Ok(issued) => {
                self.memory.succeed(host);
                let (files, pem, name) = (self.files.clone(), issued.pem, host.to_owned());
                let written = blocking(move || files.keep_certificate(&name, &pem)).await;
                if let Err(error) = written {
                    tracing::error!(%host, %error, "a new certificate is in force, but can't be kept: it is lost with the process");
                }
                let held = Held::new(&issued.certificate, SystemTime::now());
                let entry = (held, Arc::new(issued.certificate));
                self.held.insert(host.to_owned(), entry);
                self.put_in_force();
                tracing::info!(%host, "a new certificate is in force");
            }
            Err(error) => {
                let now = unix_now();
                let retry_at_s = self.memory.fail(now, host);
                tracing::error!(
                    code = FAILED_ORDER,
                    %host,
                    %error,
                    retry_in_s = retry_at_s.saturating_sub(now),
                    "a certificate couldn't be had"
                );
            }
        }
        self.remember().await;
    }

    fn put_in_force(&self) {
        let all = self.held.iter();
        let all = all.map(|(host, (_, certificate))| (host.clone(), Arc::clone(certificate)));
        self.certificates.set_acme(Set::new(all.collect(), None));
    }

    /// Keeps what restarts have to know. Says whether it is kept.
    async fn remember(&self) -> bool {
        let (files, memory) = (self.files.clone(), self.memory.clone());
        let kept = blocking(move || files.keep_memory(&memory)).await;
        if let Err(error) = &kept {
            tracing::error!(%error, "what ACME has to remember can't be kept: no certificate is ordered");
        }
        kept.is_ok()
    }
}

fn result_of(
    ended: Result<(Id, Result<Issued, OrderError>), JoinError>,
) -> (Id, Result<Issued, OrderError>) {
    match ended {
        Ok(ended) => ended,
        Err(error) => (error.id(), Err(OrderError::Broken)),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

fn unix_now() -> u64 {
    unix_s(SystemTime::now())
}

fn unix_s(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
