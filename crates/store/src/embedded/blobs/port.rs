//! The port: what reads the index does so on the caller's thread, what changes it is a job of its writer's, what blocks on a
//! file is a job of `hands`, and what waits for a server is a task of the bucket's.

use std::ops::Range;
use std::sync::Arc;

use everwarm_manifest::{AppName, TenantId};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::bucket::{BucketFault, Reading, Writing};
use super::download::{self, KeptDownload, Source};
use super::files::failed;
use super::flights::Flight;
use super::look::KeptFile;
use super::sweep::Unheard;
use super::upload::{self, Fate, KeptUpload, Sink};
use super::{BlobStore, Inner, KeptAt, Place, index, look};
use crate::StoreFuture;
use crate::blobs::{
    Blob, BlobError, BlobId, BlobName, BlobPage, BlobQuota, Blobs, Condition, Container,
    ContentType, Download, KeptBlobs, PAGE_MAX, Part, SWEEP_MAX, Upload,
};
use crate::catalog::UnixMillis;

/// How often a blob is looked for again whose file went meanwhile: it was replaced then.
const TRIES_MAX: usize = 10;

impl Blobs for BlobStore {
    fn put<'a>(
        &'a self,
        blob: &'a BlobId,
        content_type: Option<ContentType>,
        quota: BlobQuota,
    ) -> StoreFuture<'a, Result<Box<dyn Upload>, BlobError>> {
        Box::pin(async move {
            let inner = &self.0;
            let kept = inner.new_place();
            let flight = inner.flights.upload(&blob.container, &kept.name)?;
            let mut upload = Box::new(KeptUpload {
                inner: Arc::clone(inner),
                blob: blob.clone(),
                content_type,
                quota,
                fate: match kept.place {
                    Place::Folder => Fate::Begun,
                    Place::Bucket => Fate::Nothing,
                },
                kept,
                flight: Some(flight),
                size: 0,
                open: None,
                stops: inner.stops(),
            });
            let turns = upload.flight.as_ref().map(Flight::turns);
            let sink = inner.begin(blob.container.clone(), upload.kept.name.clone(), turns);
            let sink = sink.await?;
            if upload.kept.place == Place::Folder {
                upload.fate = Fate::Written;
            }
            upload.open = Some(upload::Open {
                sink,
                hasher: Sha256::new(),
            });
            Ok(upload as Box<dyn Upload>)
        })
    }

    fn get<'a>(
        &'a self,
        blob: &'a BlobId,
        part: Part,
    ) -> StoreFuture<'a, Result<Option<Box<dyn Download>>, BlobError>> {
        Box::pin(async move {
            let inner = &self.0;
            let container = &blob.container;
            for _ in 0..TRIES_MAX {
                let found = inner
                    .index
                    .read(|connection| look::file(connection, blob))?;
                let Some(found) = found else {
                    return Ok(None);
                };
                let range = part.of(found.blob.size)?;
                let object = (found.file.place == Place::Bucket).then_some(&found.file.name[..]);
                let flight = inner.flights.download(container, object)?;
                // It counts as read from here on, whoever lets it go.
                let mut download = Box::new(KeptDownload {
                    inner: Arc::clone(inner),
                    blob: found.blob.clone(),
                    left: range.end - range.start,
                    range: range.clone(),
                    open: None,
                    container: container.clone(),
                    flight: Some(flight),
                });
                let Some(source) = inner.open(container, &found, range.clone()).await? else {
                    continue;
                };
                let is_whole = range == (0..found.blob.size);
                download.open = Some(download::Open {
                    source,
                    check: is_whole.then(|| (found.digest, Sha256::new())),
                });
                return Ok(Some(download as Box<dyn Download>));
            }
            Err(BlobError::Damaged {
                reason: format!("the bytes of the blob `{}` aren't there", blob.name),
            })
        })
    }

    fn head<'a>(&'a self, blob: &'a BlobId) -> StoreFuture<'a, Result<Option<Blob>, BlobError>> {
        Box::pin(async move {
            let found = self.0.index.read(|connection| look::file(connection, blob));
            found.map(|found| found.map(|found| found.blob))
        })
    }

    fn list<'a>(
        &'a self,
        container: &'a Container,
        prefix: &'a str,
        after: Option<&'a BlobName>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<BlobPage, BlobError>> {
        let count_max = count_max.clamp(1, PAGE_MAX);
        Box::pin(async move {
            // One more tells whether there is a next page.
            let found = self.0.index.read(|connection| {
                look::files(connection, container, prefix, after, count_max + 1)
            })?;
            let mut blobs: Vec<_> = found.into_iter().map(|found| found.blob).collect();
            let has_more = blobs.len() > count_max as usize;
            blobs.truncate(count_max as usize);
            let last = blobs.last().map(|blob| blob.name.clone());
            Ok(BlobPage {
                next: last.filter(|_| has_more),
                blobs,
            })
        })
    }

    fn delete<'a>(
        &'a self,
        blob: &'a BlobId,
        condition: Condition,
    ) -> StoreFuture<'a, Result<bool, BlobError>> {
        Box::pin(async move {
            let id = blob.clone();
            let unheard = Unheard::new(&self.0);
            let deleted = self.0.index.write(0, move |connection| {
                index::delete(connection, &id, &condition)
            });
            let file = deleted.await?;
            unheard.hear();
            let was_there = file.is_some();
            self.0.let_go_of(&blob.container, file);
            Ok(was_there)
        })
    }

    fn rename<'a>(
        &'a self,
        from: &'a BlobId,
        to: &'a BlobId,
    ) -> StoreFuture<'a, Result<bool, BlobError>> {
        Box::pin(async move {
            let app = |blob: &BlobId| (blob.container.tenant.clone(), blob.container.app.clone());
            if app(from) != app(to) {
                return Err(BlobError::OtherApp);
            }
            let (old, new) = (from.clone(), to.clone());
            let unheard = Unheard::new(&self.0);
            let renamed = self.0.index.write(0, move |connection| {
                index::rename(connection, &old, &new, UnixMillis::now())
            });
            let (was_there, replaced) = renamed.await?;
            unheard.hear();
            self.0.let_go_of(&to.container, replaced);
            Ok(was_there)
        })
    }

    fn clear<'a>(&'a self, container: &'a Container) -> StoreFuture<'a, Result<u64, BlobError>> {
        Box::pin(async move {
            let mut count = 0;
            loop {
                let of = container.clone();
                let unheard = Unheard::new(&self.0);
                let cleared = self.0.index.write(0, move |connection| {
                    index::clear(connection, &of, SWEEP_MAX)
                });
                let files = cleared.await?;
                unheard.hear();
                if files.is_empty() {
                    return Ok(count);
                }
                count += files.len() as u64;
                self.0.let_go(&container.tenant, &container.app, files);
            }
        })
    }

    fn created<'a>(
        &'a self,
        container: &'a Container,
    ) -> StoreFuture<'a, Result<Option<UnixMillis>, BlobError>> {
        Box::pin(async move {
            self.0
                .index
                .read(|connection| look::created(connection, container))
        })
    }

    fn kept<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<KeptBlobs, BlobError>> {
        Box::pin(async move {
            self.0
                .index
                .read(|connection| look::kept(connection, tenant, app))
        })
    }

    fn apps<'a>(
        &'a self,
        after: Option<(&'a TenantId, &'a AppName)>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<(TenantId, AppName)>, BlobError>> {
        let count_max = count_max.min(PAGE_MAX);
        Box::pin(async move { self.0.index.apps(after, count_max) })
    }

    fn remove_app<'a>(
        &'a self,
        tenant: &'a TenantId,
        app: &'a AppName,
    ) -> StoreFuture<'a, Result<bool, BlobError>> {
        let (tenant, app) = (tenant.clone(), app.clone());
        Box::pin(self.0.index.write(0, move |connection| {
            index::remove_app(connection, &tenant, &app)
        }))
    }

    fn sweep(&self) -> StoreFuture<'_, Result<bool, BlobError>> {
        Box::pin(self.0.sweep())
    }
}

impl Inner {
    /// Where a new blob goes.
    fn new_place(&self) -> KeptAt {
        KeptAt {
            place: if self.bucket.is_some() {
                Place::Bucket
            } else {
                Place::Folder
            },
            name: self.new_name(),
        }
    }

    /// Makes what the bytes of a blob go to.
    async fn begin(
        &self,
        container: Container,
        name: String,
        turns: Option<Arc<Semaphore>>,
    ) -> Result<Sink, BlobError> {
        let Container { tenant, app, .. } = container;
        if let (Some(bucket), Some(turns)) = (self.bucket.clone(), turns) {
            let begun = self.on_disk("make a blob's part", move || {
                let object = Writing::new(&bucket, &tenant, &app, &name, turns);
                let object = object.map_err(failed("make a blob's part"))?;
                Ok(Sink::Object(Box::new(object)))
            });
            return begun.await;
        }
        let files = self.files.clone();
        let path = files.path(&tenant, &app, &name);
        let begun = self.on_disk("make a blob's file", move || {
            let file = files.create(&path).map_err(failed("make a blob's file"))?;
            Ok(Sink::File(file, path))
        });
        begun.await
    }

    /// Opens what the bytes of a blob are in; `None` when it isn't there.
    async fn open(
        &self,
        container: &Container,
        found: &KeptFile,
        range: Range<u64>,
    ) -> Result<Option<Source>, BlobError> {
        let Container { tenant, app, .. } = container;
        let name = &found.file.name[..];
        if found.file.place == Place::Bucket {
            let Some(bucket) = &self.bucket else {
                return Err(BlobError::Damaged {
                    reason: "a blob is in a bucket that the node isn't told of".to_owned(),
                });
            };
            let object = (tenant, app, name);
            let opened = Reading::open(bucket, object, range, found.blob.size).await;
            let opened = opened.map_err(BucketFault::into_error)?;
            return Ok(opened.map(|object| Source::Object(Box::new(object))));
        }
        let path = self.files.path(tenant, app, name);
        let (files, start) = (self.files.clone(), range.start);
        let opened = self.on_disk("open a blob", move || Ok(files.open(&path, start)));
        match opened.await? {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            opened => opened
                .map(|file| Some(Source::File(file)))
                .map_err(failed("open a blob")),
        }
    }
}
