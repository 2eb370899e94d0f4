//! Why a node doesn't start, with the page in `docs/errors/` that says what to do.

use std::path::PathBuf;

use everwarm_edge::ingress::BindError;
use everwarm_engine::runtime::RuntimeError;
use everwarm_host::EgressError;
use everwarm_store::embedded;
use everwarm_tls::acme::AcmeError;
use everwarm_tls::server::TlsError;
use everwarm_tls::source::SourceError;

use crate::handover::HandoverError;
use crate::s3::S3Error;
use crate::secrets::KeySourceError;

/// A node that didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder can't be used.
    #[error(transparent)]
    Store(#[from] embedded::OpenError),
    /// The socket can't be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificates can't be read.
    #[error(transparent)]
    Certificates(#[from] SourceError),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Certificates can't be had by ACME.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// Functions' requests to the outside can't be set up.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The keys of secrets can't be had.
    #[error(transparent)]
    SecretsKey(#[from] KeySourceError),
    /// The bucket of blobs can't be set up.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// The engine can't be set up.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// What serves can't be read.
    #[error(
        "what served before can't be read from the data folder {}: check its disk, or restore a backup into a new \
         folder (everwarm restore)",
        .data_dir.display()
    )]
    Unreadable {
        /// The data folder.
        data_dir: PathBuf,
        /// The code of its cause.
        code: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two apps have the same route.
    #[error("what served before can't serve again: {0}")]
    Routes(String),
    /// A folder or thread was refused.
    #[error("can't {doing}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The system has no randomness.
    #[error("the operating system gave no random numbers: {0}")]
    Random(getrandom::Error),
    /// The process that has the store doesn't give it.
    #[error(
        "the process that serves from this folder didn't hand it over, and goes on serving: {0}"
    )]
    Handover(#[from] HandoverError),
}

impl StartError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Bind(error) => error.code(),
            Self::Certificates(error) => error.code(),
            Self::Unreadable { code, .. } => code,
            Self::Acme(error) => error.code(),
            Self::Egress(_) => "EW4030",
            Self::SecretsKey(error) => error.code(),
            Self::S3(error) => error.code(),
            Self::Routes(_) => "EW1005",
            Self::Handover(error) => error.code(),
            Self::Runtime(_) | Self::Tls(_) | Self::Io { .. } | Self::Random(_) => "EW4003",
        }
    }
}

/// What couldn't be done, of a folder or a thread.
pub(crate) fn io(doing: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |source| StartError::Io { doing, source }
}
