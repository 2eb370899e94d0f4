//! The bytes of blobs as objects in a bucket of an S3 server.
//!
//! Owns what the server is asked, each call within bounds on its time and on how many there are at once, and the objects'
//! names: those of files, below a prefix. Which blob is in which object is the index's. HTTP and TLS are the node's
//! ([`HttpClient`]): this only says what is asked over them. What goes wrong is said in `fault`, whose bucket it is in
//! `owner`.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use everwarm_manifest::{AppName, TenantId};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _,
    PutPayload, RetryConfig,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::files::{is_name, path_of};

mod fault;
mod owner;
mod reading;
mod spool;
mod writing;

pub(super) use fault::BucketFault;
pub(super) use reading::Reading;
pub(super) use writing::Writing;

use fault::Health;
use owner::Owner;

/// Bytes of a part of an object. The server takes none that is smaller but the last, and 10,000 of them.
const PART_BYTES: usize = 8 << 20;
/// Bytes that one place has of what is in memory on its way to the server. A small part takes one, a full one as many as it fills.
const PLACE_BYTES: usize = 1 << 20;
/// Places of a full part.
pub(super) const PLACES_OF_PART: usize = PART_BYTES / PLACE_BYTES;
/// Full parts that are in memory, on their way to the server; whoever has the next one waits.
const PARTS_MAX: usize = 8;
/// Calls that are under way, but for the blobs that are being read, of which there is a bound too.
const CALLS_MAX: usize = 64;
/// How often a call is tried again that failed, and within which time, as a multiple of the server's patience.
const RETRIES_MAX: usize = 2;
const PATIENCES_MAX: u32 = 3;
/// How slowly bytes may be taken, a second.
const PACE: u64 = 256 << 10;
/// How long is waited before the first retry, and before the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Objects that are removed at once.
const REMOVED_AT_ONCE: usize = 8;
/// Removals that nobody waits for; the objects of others are found by a walk.
const LEFT_MAX: usize = 64;
/// Objects of one page of a list.
const PAGE_MAX: usize = 1_000;

/// Where the bucket is, and how it is reached.
#[derive(Clone)]
pub struct BucketConfig {
    /// The server, as in `https://s3.eu-central-1.amazonaws.com`: a scheme, a host and perhaps a port.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with, without `/` at its ends; may be empty. Nobody else's objects are below it.
    pub prefix: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket's name is in the host instead of the path.
    pub virtual_host: bool,
    /// Whose key signs requests.
    pub access_key: String,
    /// The key.
    pub secret_key: SecretString,
    /// Goes along with keys that are valid for a time.
    pub session_token: Option<SecretString>,
    /// How long the server may be silent.
    pub patience: Duration,
    /// Carries requests out.
    pub http: HttpClient,
    /// Where what is asked of the server runs.
    pub runtime: Handle,
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketConfig")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Gives `object_store` the node's HTTP.
#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Bucket {
    client: Arc<AmazonS3>,
    prefix: String,
    patience: Duration,
    runtime: Handle,
    calls: Arc<Semaphore>,
    places: Arc<Semaphore>,
    leaving: Arc<Semaphore>,
    health: Arc<Health>,
    owner: Owner,
    /// Where parts are until they are sent.
    spools: PathBuf,
}

/// Some objects below the prefix.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The engine's own names, each with that of its object.
    pub(super) files: Vec<(String, Path)>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

/// An object that is being read.
type Stream = BoxStream<'static, object_store::Result<Bytes>>;

impl Bucket {
    /// Asks the server nothing yet. `owner` is this store's name in the bucket.
    pub(super) fn new(
        config: BucketConfig,
        owner: String,
        spools: PathBuf,
    ) -> Result<Self, object_store::Error> {
        let name = format!("{} at {}", config.bucket, config.endpoint);
        let endpoint = config.endpoint.trim_end_matches('/');
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if config.virtual_host => {
                format!("{scheme}://{}.{host}", config.bucket)
            }
            _ => endpoint.to_owned(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint)
            .with_bucket_name(config.bucket)
            .with_region(config.region)
            .with_virtual_hosted_style_request(config.virtual_host)
            .with_access_key_id(config.access_key)
            .with_secret_access_key(config.secret_key.expose_secret())
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: PAUSE_MIN,
                    max_backoff: PAUSE_MAX,
                    base: 2.0,
                },
                max_retries: RETRIES_MAX,
                retry_timeout: config.patience * PATIENCES_MAX,
            })
            .with_http_connector(Connector(config.http));
        if let Some(token) = &config.session_token {
            builder = builder.with_token(token.expose_secret());
        }
        Ok(Self {
            client: Arc::new(builder.build()?),
            prefix: config.prefix,
            patience: config.patience,
            runtime: config.runtime,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            places: Arc::new(Semaphore::new(PARTS_MAX * PLACES_OF_PART)),
            leaving: Arc::new(Semaphore::new(LEFT_MAX)),
            health: Arc::new(Health::new(name)),
            owner: Owner::new(owner),
            spools,
        })
    }

    /// The object that has the bytes of a file.
    fn path(&self, tenant: &TenantId, app: &AppName, file: &str) -> Path {
        let below = path_of(std::path::Path::new(&self.prefix), tenant, app, file);
        Path::from(below.to_string_lossy().as_ref())
    }

    /// Asks the server for something that isn't an object. So many bytes are sent.
    async fn ask<T: Send + 'static>(
        &self,
        bytes: usize,
        asked: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, BucketFault> {
        self.ask_for(bytes, fault::of, asked).await
    }

    /// Asks the server for an object, or to remove something: there may be [`BucketFault::NoObject`].
    async fn ask_of_object<T: Send + 'static>(
        &self,
        asked: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, BucketFault> {
        self.ask_for(0, fault::of_object, asked).await
    }

    /// Asks the server, in a task that ends with its caller.
    async fn ask_for<T: Send + 'static>(
        &self,
        bytes: usize,
        fault_of: fn(&object_store::Error) -> BucketFault,
        asked: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, BucketFault> {
        let calls = Arc::clone(&self.calls);
        let slow = Duration::from_secs(bytes as u64 / PACE);
        let time_max = self.patience * PATIENCES_MAX + slow;
        let task = self.runtime.spawn(async move {
            let done = timeout(time_max, async {
                // It is never closed.
                let _call = calls.acquire().await;
                asked.await.map_err(|error| fault_of(&error))
            });
            done.await.unwrap_or(Err(BucketFault::Slow))
        });
        let done = match AbortOnDropHandle::new(task).await {
            Ok(done) => done,
            Err(lost) if lost.is_panic() => {
                tracing::error!("a task that asked the blobs' S3 server has panicked");
                Err(BucketFault::Panicked)
            }
            Err(_) => Err(BucketFault::Stopped),
        };
        self.health.note(done.as_ref().err());
        done
    }

    /// Whether objects may be removed.
    pub(super) fn is_ours(&self) -> bool {
        self.owner.is_ours()
    }

    async fn put(&self, path: Path, bytes: Bytes) -> Result<(), BucketFault> {
        let client = Arc::clone(&self.client);
        let len = bytes.len();
        let put = async move { client.put(&path, PutPayload::from(bytes)).await };
        self.ask(len, put).await.map(drop)
    }

    async fn begin(&self, path: Path) -> Result<String, BucketFault> {
        let client = Arc::clone(&self.client);
        let begun = async move { client.create_multipart(&path).await };
        self.ask(0, begun).await
    }

    async fn put_part(
        &self,
        (path, upload): (Path, String),
        number: usize,
        bytes: Bytes,
    ) -> Result<PartId, BucketFault> {
        let client = Arc::clone(&self.client);
        let len = bytes.len();
        let put = async move {
            let payload = PutPayload::from(bytes);
            client.put_part(&path, &upload, number, payload).await
        };
        self.ask(len, put).await
    }

    async fn complete(
        &self,
        (path, upload): (Path, String),
        parts: Vec<PartId>,
    ) -> Result<(), BucketFault> {
        let client = Arc::clone(&self.client);
        // The server may take its time to put the parts together, as long as for bytes.
        let len = parts.len().saturating_mul(PART_BYTES / 16);
        let completed = async move { client.complete_multipart(&path, &upload, parts).await };
        self.ask(len, completed).await.map(drop)
    }

    /// Begins to read some bytes of an object; `None` when there is no such object. Says how many it has in all.
    async fn get(
        &self,
        path: Path,
        range: Range<u64>,
    ) -> Result<Option<(u64, Stream)>, BucketFault> {
        let client = Arc::clone(&self.client);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let got = self.ask_of_object(async move { client.get_opts(&path, options).await });
        match got.await {
            Ok(object) => Ok(Some((object.meta.size, object.into_stream()))),
            Err(BucketFault::NoObject) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The bytes of a small object; `None` when there is no such object.
    async fn read_small(&self, path: Path) -> Result<Option<Bytes>, BucketFault> {
        let client = Arc::clone(&self.client);
        let read = self.ask_of_object(async move { client.get(&path).await?.bytes().await });
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(BucketFault::NoObject) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Removes objects. Those that aren't there are removed already.
    pub(super) async fn remove(&self, paths: Vec<Path>) -> Result<(), BucketFault> {
        let mut removals = futures_util::stream::iter(paths)
            .map(|path| {
                let client = Arc::clone(&self.client);
                self.ask_of_object(async move { client.delete(&path).await })
            })
            .buffer_unordered(REMOVED_AT_ONCE);
        while let Some(removed) = removals.next().await {
            match removed {
                Ok(()) | Err(BucketFault::NoObject) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// Has objects removed without waiting for it. Says whether that is under way; what fails is found by a walk.
    pub(super) fn leave_to_remove(
        self: &Arc<Self>,
        tenant: &TenantId,
        app: &AppName,
        files: &[String],
        failed: impl FnOnce() + Send + 'static,
    ) -> bool {
        if !self.owner.is_ours() {
            return false;
        }
        let Ok(leave) = Arc::clone(&self.leaving).try_acquire_owned() else {
            return false;
        };
        let paths = self.paths(tenant, app, files);
        let bucket = Arc::clone(self);
        // It ends by itself, for each call has its time.
        self.runtime.spawn(async move {
            let _leave = leave;
            if bucket.remove(paths).await.is_err() {
                failed();
            }
        });
        true
    }

    /// Has an upload given up without waiting for it; what fails is the bucket's own rules' to clean up.
    fn leave_to_abort(self: &Arc<Self>, path: Path, upload: String) {
        let Ok(leave) = Arc::clone(&self.leaving).try_acquire_owned() else {
            return;
        };
        let bucket = Arc::clone(self);
        self.runtime.spawn(async move {
            let _leave = leave;
            let client = Arc::clone(&bucket.client);
            // One that isn't there is given up already.
            let aborted = bucket
                .ask_of_object(async move { client.abort_multipart(&path, &upload).await });
            match aborted.await {
                Ok(()) | Err(BucketFault::NoObject) => {}
                Err(fault) => {
                    tracing::debug!(%fault, "an upload to the bucket that was given up stays there for now");
                }
            }
        });
    }

    /// The names of objects.
    pub(super) fn paths(&self, tenant: &TenantId, app: &AppName, files: &[String]) -> Vec<Path> {
        let path = |file: &String| self.path(tenant, app, file);
        files.iter().map(path).collect()
    }

    /// The file whose bytes an object has. What has another form isn't ours to remove.
    fn file_of(&self, object: &Path) -> Option<String> {
        let below = match &self.prefix[..] {
            "" => object.as_ref(),
            prefix => object.as_ref().strip_prefix(prefix)?.strip_prefix('/')?,
        };
        let mut parts = below.split('/');
        let [tenant, app, _] = [parts.next()?, parts.next()?, parts.next()?];
        let (tenant, app) = (TenantId::new(tenant).ok()?, AppName::new(app).ok()?);
        let name = parts.next().filter(|name| is_name(name))?;
        (self.path(&tenant, &app, name) == *object).then(|| name.to_owned())
    }

    /// Some of the objects below the prefix, those from `from` on.
    pub(super) async fn list(&self, from: Option<String>) -> Result<Page, BucketFault> {
        let client = Arc::clone(&self.client);
        let prefix = (!self.prefix.is_empty()).then(|| format!("{}/", self.prefix));
        let options = PaginatedListOptions {
            max_keys: Some(PAGE_MAX),
            page_token: from,
            ..PaginatedListOptions::default()
        };
        let listed = self.ask(0, async move {
            client.list_paginated(prefix.as_deref(), options).await
        });
        let listed = listed.await?;
        let objects = listed.result.objects.into_iter();
        let files = objects.filter_map(|object| {
            let name = self.file_of(&object.location)?;
            Some((name, object.location))
        });
        Ok(Page {
            files: files.collect(),
            next: listed.page_token,
        })
    }
}
