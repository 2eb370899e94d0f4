//! Files that are served without a function.
//!
//! Owns what a path leads to, and what a response is made of. Reading bundles, and what is kept of them in memory, is
//! `everwarm_bundle`'s. What comes before and after (admission, books) is `dispatch`'s.

mod answer;
mod conditions;
mod file;
mod index;

use std::sync::Arc;

use arc_swap::Guard;
use everwarm_bundle::{FilesError, Held, Kept, Library, Rest};
use everwarm_manifest::route::RequestPath;
use everwarm_manifest::{Assets, Digest};

use crate::admission::Gates;
use crate::dispatch::Target;
use crate::meter::{Answerer, SiteName};
use crate::router::RouteTable;
use crate::tally::Tally;

pub(crate) use answer::{Content, Reply, redirect, reply};
pub use conditions::{Range, range};
pub(crate) use conditions::{accepts_html, has_already};
pub(crate) use index::Found;
use index::Index;

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
    index: Arc<Kept<Index>>,
    rest: Arc<Rest>,
}

impl Site {
    /// Files that were not read yet.
    pub fn new(spec: SiteSpec, gates: Gates, library: &Arc<Library>) -> Arc<Self> {
        Arc::new(Self {
            answerer: Answerer::Assets(Arc::clone(&spec.name)),
            spec,
            gates,
            tally: Tally::default(),
            library: Arc::clone(library),
            index: Arc::default(),
            rest: Arc::default(),
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

    fn opened(&self) -> Option<Guard<Option<Arc<Held<Index>>>>> {
        self.index.get()
    }

    /// However many ask, it is read once.
    async fn opened_once(&self) -> Result<Arc<Held<Index>>, FilesError> {
        let (spec, rest) = (self.spec.clone(), Arc::clone(&self.rest));
        let library = Arc::clone(&self.library);
        let read = async move {
            rest.is_over()?;
            Index::open(&library, &spec).await.inspect_err(|error| {
                let name = &spec.name;
                tracing::error!(app = %name.app, version = %name.version, %error, "an app's files can't be served");
                rest.begin(error);
            })
        };
        self.index.get_or_make(&self.library, read).await
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
