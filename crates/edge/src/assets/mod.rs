//! Files that are served without a function.
//!
//! Owns what a path leads to, and what is kept of files in memory. Knows bundles as files on this machine that are read as if
//! a stranger had made them; where they come from is behind [`Bundles`]. What comes before and after (admission, books) is
//! `dispatch`'s.

mod answer;
mod body;
mod conditions;
mod file;
mod index;
mod library;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use everwarm_bundle::BundleError;
use everwarm_engine::fault::is_limit;
use everwarm_manifest::route::RequestPath;
use everwarm_manifest::{Assets, Digest, TenantId};
use parking_lot::Mutex;

use crate::admission::Gates;
use crate::dispatch::Target;
use crate::meter::{Answerer, SiteName};
use crate::router::RouteTable;
use crate::tally::Tally;

pub(crate) use answer::{Content, Reply, redirect, reply};
pub use body::FileBody;
pub use conditions::{Range, range};
pub(crate) use conditions::{accepts_html, has_already};
pub(crate) use index::Found;
use index::Index;
use library::Shelved;
pub use library::{Library, Stock};

/// How long files that couldn't be read aren't looked at again: it costs reading all of them.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Where bundles are.
pub trait Bundles: Send + Sync + 'static {
    /// The file of a bundle on this machine, if it is there. Its reader checks that it is the one.
    fn local_file(&self, tenant: &TenantId, bundle: Digest) -> PathBuf;
}

/// Why files can't be served.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FilesError {
    /// The bundle isn't there, or can't be read.
    #[error("the assets in {} can't be read: {reason}", path.display())]
    Unreadable {
        /// The bundle.
        path: PathBuf,
        /// Why.
        reason: Arc<str>,
    },
    /// It isn't what was deployed.
    #[error("the assets in {} are damaged ({reason}): deploy the app again", path.display())]
    Damaged {
        /// The bundle.
        path: PathBuf,
        /// How that is known.
        reason: Arc<str>,
    },
    /// The operating system gives no file or memory.
    #[error("the operating system gave no file or memory for the assets: {0}")]
    Machine(Arc<str>),
}

impl FilesError {
    fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        if is_limit(error) {
            return Self::Machine(error.to_string().into());
        }
        Self::Unreadable {
            path: path.to_owned(),
            reason: error.to_string().into(),
        }
    }

    fn damaged(path: &std::path::Path, reason: &str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    fn bundle(path: &std::path::Path, error: &BundleError) -> Self {
        match error {
            BundleError::Io(error) => Self::io(path, error),
            error => Self::damaged(path, &error.to_string()),
        }
    }
}

/// What a version's files are.
#[derive(Debug, Clone)]
pub struct SiteSpec {
    /// Whose they are.
    pub name: Arc<SiteName>,
    /// The bundle that they are in.
    pub bundle: Digest,
    /// The manifest's `[[assets]]`.
    pub assets: Vec<Assets>,
}

/// The files of a version.
#[derive(Debug)]
pub struct Site {
    answerer: Answerer,
    spec: SiteSpec,
    /// Bounds on their requests.
    pub gates: Gates,
    /// What their requests used.
    pub tally: Tally,
    library: Arc<Library>,
    /// Only read on the way of a request.
    index: ArcSwapOption<Index>,
    used: AtomicBool,
    opening: tokio::sync::Mutex<()>,
    failed: Mutex<Option<(Instant, FilesError)>>,
    this: Weak<Self>,
}

impl Site {
    /// Files that were not read yet.
    pub fn new(spec: SiteSpec, gates: Gates, library: &Arc<Library>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            answerer: Answerer::Assets(Arc::clone(&spec.name)),
            spec,
            gates,
            tally: Tally::default(),
            library: Arc::clone(library),
            index: ArcSwapOption::empty(),
            used: AtomicBool::new(true),
            opening: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            this: this.clone(),
        })
    }

    /// Who answers their requests.
    pub fn answerer(&self) -> &Answerer {
        &self.answerer
    }

    /// What they are.
    pub fn spec(&self) -> &SiteSpec {
        &self.spec
    }

    /// Reads where each file is, so that no request waits for it.
    ///
    /// # Errors
    ///
    /// [`FilesError`] when they can't be read, or aren't what was deployed.
    pub async fn open(&self) -> Result<(), FilesError> {
        if self.opened().is_none() {
            self.opened_once().await?;
        }
        Ok(())
    }

    fn opened(&self) -> Option<Guard<Option<Arc<Index>>>> {
        let index = self.index.load();
        index.as_ref()?;
        mark(&self.used);
        Some(index)
    }

    /// However many ask, it is read once.
    async fn opened_once(&self) -> Result<Arc<Index>, FilesError> {
        let _only_one = self.opening.lock().await;
        if let Some(index) = self.index.load_full() {
            return Ok(index);
        }
        if let Some((at, error)) = &*self.failed.lock()
            && at.elapsed() < REST_AFTER_FAILURE
        {
            return Err(error.clone());
        }
        match Index::open(&self.library, &self.spec).await {
            Ok(index) => {
                let index = Arc::new(index);
                self.used.store(true, Ordering::Relaxed);
                self.index.store(Some(Arc::clone(&index)));
                self.library.keep(self.this.clone());
                Ok(index)
            }
            Err(error) => {
                let name = &self.spec.name;
                tracing::error!(app = %name.app, version = %name.version, %error, "an app's files can't be served");
                *self.failed.lock() = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    pub(crate) fn library(&self) -> &Arc<Library> {
        &self.library
    }
}

impl Shelved for Site {
    fn let_go(&self) -> bool {
        let was_used = self.used.swap(false, Ordering::Relaxed);
        if !was_used {
            self.index.store(None);
        }
        !was_used
    }
}

/// Says that something was used. Nearly always that is known: looking is cheaper than writing.
fn mark(used: &AtomicBool) {
    if !used.load(Ordering::Relaxed) {
        used.store(true, Ordering::Relaxed);
    }
}

/// A folder of files at its place among routes.
#[derive(Debug)]
pub struct Mount {
    /// The files.
    pub site: Arc<Site>,
    /// Which of the manifest's `[[assets]]`.
    folder: usize,
    /// What the paths of its requests begin with.
    prefix: String,
    /// The functions of the version: they answer what no file does.
    behind: Arc<RouteTable<Arc<Target>>>,
}

impl Mount {
    /// One of a site's folders, before these functions. `None` when there is no such folder.
    pub fn new(
        site: &Arc<Site>,
        folder: usize,
        behind: &Arc<RouteTable<Arc<Target>>>,
    ) -> Option<Self> {
        let assets = site.spec.assets.get(folder)?;
        Some(Self {
            prefix: assets.at.prefix(),
            site: Arc::clone(site),
            folder,
            behind: Arc::clone(behind),
        })
    }

    /// What is at a path, as the request has it.
    pub(crate) async fn find(&self, path: &str) -> Result<Found, FilesError> {
        if let Some(index) = self.site.opened().as_deref().and_then(Option::as_ref) {
            return Ok(self.look(index, path));
        }
        let index = self.site.opened_once().await?;
        Ok(self.look(&index, path))
    }

    fn look(&self, index: &Index, path: &str) -> Found {
        let Some(path) = RequestPath::new(path) else {
            return Found::Nothing(None);
        };
        let below = path.as_str().strip_prefix(&*self.prefix);
        below.map_or(Found::Nothing(None), |below| index.look(self.folder, below))
    }

    /// The function that would answer if there were no files.
    pub(crate) fn behind(&self, host: Option<&str>, path: &str) -> Option<&Arc<Target>> {
        Some(self.behind.lookup(host, path)?.value)
    }
}
