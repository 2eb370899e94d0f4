//! Where a node is asked: its plain and its TLS listener, from their sockets to the tasks that serve them.
//!
//! Knows what each listener speaks. Certificates are `everwarm-tls`'s, and connections the data plane's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use everwarm_edge::ingress::{
    Challenges, DataPlane, Ending, Front, HandshakeFailure, Listener, Plain, Tls,
};
use everwarm_tls::acme::{Acme, AcmeConfig, AcmeError, Wanted};
use everwarm_tls::source::Files;
use everwarm_tls::{Certificates, Source, server};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::config::NodeConfig;
use crate::start_error::StartError;

/// How a node speaks TLS.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The folder of certificates.
    pub certificates: Option<PathBuf>,
    /// Whether the plain listener sends everybody here.
    pub https_only: bool,
    /// Whom certificates are had from for the hosts of apps that none of the folder is for.
    pub acme: Option<AcmeConfig>,
}

/// Bound sockets; nothing is accepted yet.
pub(crate) struct Listeners {
    plain: Option<Listener>,
    tls: Option<OpenTls>,
}

struct OpenTls {
    listener: Listener,
    front: Arc<Tls>,
    certificates: Arc<Certificates>,
    files: Option<Files>,
    https_only: bool,
    acme_config: Option<AcmeConfig>,
    acme: Option<Acme>,
}

/// Answers challenges on the plain listener.
struct Answers(Arc<everwarm_tls::acme::Challenges>);

impl Challenges for Answers {
    fn answer(&self, token: &str) -> Option<String> {
        self.0.answer(token)
    }
}

/// What runs until the node drains.
#[derive(Debug)]
pub(crate) struct Listening {
    tasks: Mutex<Vec<JoinHandle<()>>>,
    acceptors: Mutex<Vec<Acceptor>>,
    pub(crate) plain_address: Option<SocketAddr>,
    pub(crate) tls_address: Option<SocketAddr>,
    tls: Option<(Arc<Tls>, Arc<Certificates>)>,
    /// Told when names or certificates have changed.
    changed: Arc<Notify>,
}

/// Who accepts connections, and how it hears that there are to be no more.
#[derive(Debug)]
struct Acceptor {
    task: JoinHandle<()>,
    end: oneshot::Sender<Ending>,
}

impl Acceptor {
    fn start(listener: Listener, plane: &Arc<DataPlane>, front: Front) -> Self {
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(listener.accept(Arc::clone(plane), front, ended));
        Self { task, end }
    }
}

/// Sockets that are there already.
#[derive(Debug, Default)]
pub struct Bound {
    /// For functions.
    pub plain: Option<Listener>,
    /// For functions, in TLS.
    pub tls: Option<Listener>,
}

impl Listeners {
    /// Binds the sockets that aren't there, and reads the certificates.
    ///
    /// # Errors
    /// When a socket or the certificates can't be had.
    pub(crate) async fn open(config: &NodeConfig, bound: Bound) -> Result<Self, StartError> {
        let plain = match (bound.plain, config.listen) {
            (Some(listener), _) => Some(listener),
            (None, Some(address)) => Some(Listener::bind(address).await?),
            (None, None) => None,
        };
        let tls = match &config.tls {
            Some(config) => Some(OpenTls::open(config, bound.tls).await?),
            None => None,
        };
        Ok(Self { plain, tls })
    }

    /// The port that the outside reaches apps at.
    pub(crate) fn main_port(&self) -> Option<u16> {
        let tls = self.tls.as_ref().map(|tls| &tls.listener);
        let main = tls.or(self.plain.as_ref())?;
        Some(main.address().port())
    }

    /// Takes up what ACME kept in the data folder, which has to be this node's by now.
    ///
    /// # Errors
    /// When it can't be used.
    pub(crate) fn open_acme(&mut self, data_dir: &Path) -> Result<(), AcmeError> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        if let Some(config) = tls.acme_config.take() {
            let certificates = Arc::clone(&tls.certificates);
            tls.acme = Some(Acme::open(config, &data_dir.join("acme"), certificates)?);
        }
        Ok(())
    }

    /// Accepts from now on. `wanted` says for which hosts certificates are wanted.
    pub(crate) fn accept(self, plane: &Arc<DataPlane>, wanted: Wanted) -> Listening {
        let changed = Arc::new(Notify::new());
        let mut listening = Listening {
            tasks: Mutex::default(),
            acceptors: Mutex::default(),
            plain_address: self.plain.as_ref().map(Listener::address),
            tls_address: self.tls.as_ref().map(|tls| tls.listener.address()),
            tls: None,
            changed: Arc::clone(&changed),
        };
        let tasks = listening.tasks.get_mut();
        let acceptors = listening.acceptors.get_mut();
        let mut plain_front = None;
        if let Some(tls) = self.tls {
            let https_port = tls.listener.address().port();
            let challenges = tls.acme.as_ref().map(|acme| Answers(acme.challenges()));
            plain_front = Some(Plain {
                challenges: challenges.map(|answers| Arc::new(answers) as _),
                https_port: tls.https_only.then_some(https_port),
            });
            if let Some(files) = tls.files {
                let (certificates, changed) = (Arc::clone(&tls.certificates), changed.clone());
                tasks.push(tokio::spawn(files.watch(certificates, changed)));
            }
            if let Some(acme) = tls.acme {
                tasks.push(tokio::spawn(acme.keep(wanted, changed)));
            }
            let front = Front::Tls(Arc::clone(&tls.front));
            acceptors.push(Acceptor::start(tls.listener, plane, front));
            listening.tls = Some((tls.front, tls.certificates));
        }
        if let Some(plain) = self.plain {
            let answers = plain_front.filter(Plain::has_answers).map(Arc::new);
            acceptors.push(Acceptor::start(plain, plane, Front::Plain(answers)));
        }
        listening
    }
}

impl OpenTls {
    async fn open(config: &TlsConfig, bound: Option<Listener>) -> Result<Self, StartError> {
        let listener = match bound {
            Some(listener) => listener,
            None => Listener::bind(config.listen).await?,
        };
        let certificates = Arc::new(Certificates::default());
        let files = match &config.certificates {
            Some(folder) => Some(Files::open(Source::Folder(folder.clone()), &certificates)?),
            None => None,
        };
        let front = server::config(Arc::clone(&certificates) as _)?;
        Ok(Self {
            listener,
            front: Arc::new(Tls::new(front)),
            certificates,
            files,
            https_only: config.https_only,
            acme_config: config.acme.clone(),
            acme: None,
        })
    }
}

impl Listening {
    /// Whoever waits for other names is told that they may have changed.
    pub(crate) fn tell_of_change(&self) {
        self.changed.notify_one();
    }

    /// How many handshakes failed, and why.
    pub(crate) fn failed_handshakes(&self) -> Vec<(HandshakeFailure, u64)> {
        let tls = self.tls.as_ref();
        tls.map_or_else(Vec::new, |(tls, _)| tls.failures().to_vec())
    }

    /// The certificates in force.
    pub(crate) fn certificates(&self) -> Option<&Certificates> {
        let (_, certificates) = self.tls.as_ref()?;
        Some(certificates)
    }

    /// Accepts no more, and looks after certificates no more.
    pub(crate) async fn end(&self, ending: Ending) {
        let acceptors = std::mem::take(&mut *self.acceptors.lock());
        let mut ended = Vec::new();
        for Acceptor { task, end } in acceptors {
            // One that is gone has ended before.
            let _ = end.send(ending);
            ended.push(task);
        }
        for task in ended {
            // What it accepted is with a lane now. How it ended doesn't matter.
            let _ = task.await;
        }
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        for task in tasks {
            // It was told to end; how it did doesn't matter.
            let _ = task.await;
        }
    }
}
