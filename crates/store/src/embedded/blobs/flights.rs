//! What is being written and read: how much of it an app may have at once, and which files are nobody's yet. In memory
//! alone: what was under way when a process ends is nobody's.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use everwarm_manifest::{AppName, TenantId};
use tokio::sync::Semaphore;

use super::bucket::PLACES_OF_PART;
use crate::blobs::{BlobError, BlobQuota, Container};

/// Blobs of one app that are being written at once.
const UPLOADS_OF_APP_MAX: usize = 32;
/// Blobs of all apps that are being written at once. Each has a file open.
const UPLOADS_MAX: usize = 128;
/// Blobs of one app that are being read at once.
const DOWNLOADS_OF_APP_MAX: usize = 64;
/// Blobs of all apps that are being read at once. Each has a file open.
const DOWNLOADS_MAX: usize = 256;

/// Full parts of one app's blobs that are on their way to a bucket at once.
const PARTS_OF_APP_MAX: usize = 3;

type AppKey = (TenantId, AppName);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Sky>);

#[derive(Debug, Default)]
struct Sky {
    apps: HashMap<AppKey, OfApp>,
    uploads: usize,
    downloads: usize,
    /// The files that are being written.
    files: HashSet<String>,
    /// The objects that are being read.
    read: HashMap<String, Readers>,
}

#[derive(Debug)]
struct OfApp {
    uploads: usize,
    downloads: usize,
    /// Of all uploads.
    bytes: u64,
    /// For parts that are on their way.
    turns: Arc<Semaphore>,
}

impl Default for OfApp {
    fn default() -> Self {
        Self {
            uploads: 0,
            downloads: 0,
            bytes: 0,
            turns: Arc::new(Semaphore::new(PARTS_OF_APP_MAX * PLACES_OF_PART)),
        }
    }
}

/// Of one object.
#[derive(Debug, Default)]
struct Readers {
    count: usize,
    /// Whether no blob is in it any more.
    is_nobodys: bool,
}

/// A blob that is being written, or read.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Arc<Flights>,
    app: AppKey,
    /// Of an upload.
    file: Option<String>,
    /// Of a download.
    object: Option<String>,
    bytes: u64,
}

impl Flights {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn upload(
        self: &Arc<Self>,
        container: &Container,
        file: &str,
    ) -> Result<Flight, BlobError> {
        let app = (container.tenant.clone(), container.app.clone());
        let mut sky = self.sky();
        let of_app = sky.apps.get(&app).map_or(0, |app| app.uploads);
        for (count, max) in [(of_app, UPLOADS_OF_APP_MAX), (sky.uploads, UPLOADS_MAX)] {
            if count >= max {
                return Err(BlobError::TooManyUploads { max });
            }
        }
        sky.uploads += 1;
        sky.apps.entry(app.clone()).or_default().uploads += 1;
        sky.files.insert(file.to_owned());
        Ok(Flight {
            flights: Arc::clone(self),
            app,
            file: Some(file.to_owned()),
            object: None,
            bytes: 0,
        })
    }

    /// An object that is read stays until [`Flight::end`] has said that it is nobody's; a file needs no such care.
    pub(super) fn download(
        self: &Arc<Self>,
        container: &Container,
        object: Option<&str>,
    ) -> Result<Flight, BlobError> {
        let app = (container.tenant.clone(), container.app.clone());
        let mut sky = self.sky();
        let of_app = sky.apps.get(&app).map_or(0, |app| app.downloads);
        for (count, max) in [
            (of_app, DOWNLOADS_OF_APP_MAX),
            (sky.downloads, DOWNLOADS_MAX),
        ] {
            if count >= max {
                return Err(BlobError::TooManyDownloads { max });
            }
        }
        sky.downloads += 1;
        sky.apps.entry(app.clone()).or_default().downloads += 1;
        if let Some(object) = object {
            sky.read.entry(object.to_owned()).or_default().count += 1;
        }
        Ok(Flight {
            flights: Arc::clone(self),
            app,
            file: None,
            object: object.map(ToOwned::to_owned),
            bytes: 0,
        })
    }

    /// Whether a file is being written.
    pub(super) fn has(&self, file: &str) -> bool {
        self.sky().files.contains(file)
    }

    /// An object is nobody's. Says whether somebody reads it still, who then has to let it go.
    pub(super) fn is_read(&self, object: &str) -> bool {
        let mut sky = self.sky();
        let readers = sky.read.get_mut(object);
        readers.is_some_and(|readers| {
            readers.is_nobodys = true;
            true
        })
    }
}

impl Flight {
    /// Ends it. Says which object is nobody's any more.
    pub(super) fn end(mut self) -> Option<String> {
        let object = self.object.take()?;
        self.flights.land(&object).then_some(object)
    }

    /// Its app's places for what is on its way to a bucket.
    pub(super) fn turns(&self) -> Arc<Semaphore> {
        let mut sky = self.flights.sky();
        Arc::clone(&sky.apps.entry(self.app.clone()).or_default().turns)
    }

    /// So many bytes more are written.
    pub(super) fn grow(&mut self, more: u64, quota: BlobQuota) -> Result<(), BlobError> {
        let mut sky = self.flights.sky();
        let Some(of_app) = sky.apps.get_mut(&self.app) else {
            return Ok(());
        };
        if of_app.bytes.saturating_add(more) > quota.bytes_max {
            return Err(BlobError::TooManyBytes {
                kept: of_app.bytes,
                more,
                bytes_max: quota.bytes_max,
            });
        }
        of_app.bytes += more;
        self.bytes += more;
        Ok(())
    }
}

impl Flights {
    /// One reader less. Says whether the object is nobody's any more.
    fn land(&self, object: &str) -> bool {
        let mut sky = self.sky();
        let Some(readers) = sky.read.get_mut(object) else {
            return false;
        };
        readers.count -= 1;
        if readers.count > 0 {
            return false;
        }
        sky.read
            .remove(object)
            .is_some_and(|readers| readers.is_nobodys)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            // Without its end, a walk finds what is nobody's.
            self.flights.land(&object);
        }
        let mut sky = self.flights.sky();
        let is_upload = self.file.is_some();
        if let Some(file) = &self.file {
            sky.files.remove(file);
            sky.uploads -= 1;
        } else {
            sky.downloads -= 1;
        }
        if let Some(of_app) = sky.apps.get_mut(&self.app) {
            of_app.bytes -= self.bytes;
            if is_upload {
                of_app.uploads -= 1;
            } else {
                of_app.downloads -= 1;
            }
            if of_app.uploads + of_app.downloads == 0 {
                sky.apps.remove(&self.app);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_has_so_many_at_once_and_what_ends_makes_room() {
        let flights = Arc::new(Flights::default());
        let container = |app: &str| Container {
            tenant: TenantId::default_tenant(),
            app: AppName::new(app).unwrap(),
            name: "photos".parse().unwrap(),
        };
        let (shop, blog) = (container("shop"), container("blog"));
        let mut uploads: Vec<_> = (0..UPLOADS_OF_APP_MAX)
            .map(|number| flights.upload(&shop, &number.to_string()).unwrap())
            .collect();
        let refused = flights.upload(&shop, "more").unwrap_err();
        assert!(matches!(refused, BlobError::TooManyUploads { max: 32 }));
        assert!(!flights.has("more") && flights.has("0"));
        let other = flights.upload(&blog, "other").unwrap();
        let read = flights.download(&shop, None).unwrap();

        let quota = BlobQuota {
            bytes_max: 10,
            ..BlobQuota::NONE
        };
        uploads[0].grow(6, quota).unwrap();
        assert!(uploads[1].grow(5, quota).is_err());
        drop(uploads.remove(0));
        assert!(!flights.has("0"));
        uploads[0].grow(10, quota).unwrap();
        let _more = flights.upload(&shop, "more").unwrap();
        drop((uploads, other, read));
        assert_eq!(flights.sky().apps.len(), 1);
    }

    #[test]
    fn object_that_is_read_is_let_go_by_the_last_reader() {
        let flights = Arc::new(Flights::default());
        let container = Container {
            tenant: TenantId::default_tenant(),
            app: "shop".parse().unwrap(),
            name: "photos".parse().unwrap(),
        };
        let read = || flights.download(&container, Some("a")).unwrap();
        let (first, second, third) = (read(), read(), read());
        assert_eq!(first.end(), None);
        assert!(flights.is_read("a") && !flights.is_read("b"));
        drop(second);
        assert_eq!(third.end().as_deref(), Some("a"));
        assert!(!flights.is_read("a"));
        assert_eq!(read().end(), None, "nobody said that it is nobody's");
    }
}
