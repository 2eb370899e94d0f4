//! What is on the disk: found again after memory has let go of it, gone after a purge and in the next process, never served
//! when it isn't what was written, and within its bounds.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use everwarm_manifest::{AppName, FunctionName};
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::control::Directives;
use crate::freshness::{Freshness, Times};
use crate::key::{UrlRef, Values};
use crate::store::{Bounds, Purge};

mod next_process;

const BOUNDS: Bounds = Bounds {
    bytes: 40_000,
    bytes_of_tenant: 20_000,
    bytes_of_entry: 15_000,
    disk_bytes: 1_000_000,
    disk_bytes_of_tenant: 600_000,
    disk_bytes_of_entry: 500_000,
};

fn function() -> Id {
    Id::of_function("v", &FunctionName::new("f").expect("a name"))
}

fn entry(size: usize, tag: &str) -> Entry {
    entry_asked(Instant::now(), size, tag)
}

fn entry_asked(now: Instant, size: usize, tag: &str) -> Entry {
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static("max-age=600"));
    let times = Times {
        asked: now,
        received: now,
        received_at: SystemTime::now(),
    };
    let byte = u8::try_from(size % 251).expect("it is less");
    Entry {
        variant: Variant {
            function: function(),
            values: Values::default(),
        },
        status: StatusCode::OK,
        freshness: Freshness::of(&headers, &Directives::of(&headers), None, times),
        headers,
        body: vec![byte; size].into(),
        coded: Coded::default(),
        tags: Box::new([tag.into()]),
        filed: None,
    }
}

struct Kept {
    store: Arc<Store>,
    folder: TempDir,
}

impl Kept {
    fn new() -> Self {
        let kept = Self {
            store: Store::new(BOUNDS),
            folder: tempfile::tempdir().expect("a folder"),
        };
        kept.open();
        kept
    }

    fn open(&self) {
        self.store.open_disk(self.root()).expect("a thread");
    }

    /// Another process that has the same apps.
    fn again(mut self) -> Self {
        self.store.close_disk();
        self.store = Store::new(BOUNDS);
        for (tenant, app) in APPS {
            self.place(tenant, app);
        }
        self.open();
        self.settle();
        self
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn place(&self, tenant: &str, app: &str) -> store::Place {
        let tenant = tenant.parse().expect("a tenant");
        let app = AppName::new(app).expect("a name");
        self.store.place(&self.store.app(&tenant, &app))
    }

    /// Waits until all is done that was to be done so far.
    fn settle(&self) {
        let nobody = Id::of_function("nobody", &FunctionName::new("f").expect("a name"));
        let disk = self.store.disk().expect("it is open");
        assert!(disk.forget(nobody).wait());
    }

    fn keep(&self, place: &store::Place, target: &str, entry: Entry) {
        let url = url(place, target);
        let since = place.app().since(url);
        let kept = self.store.keep(place, url, since, Arc::new(entry));
        kept.expect("it fits");
    }

    /// Has memory let go of all that it has of a tenant but what it gets here.
    fn press_out(&self, place: &store::Place, targets: &[&str]) {
        let is_in_memory = |target: &&str| {
            let found = place.find(url(place, target), function(), &Values::default());
            found.is_some()
        };
        // Which one goes depends on the parts that they are in, which is chance.
        for number in 0.. {
            assert!(number < 1_000, "memory lets nothing go");
            // To look counts as use, of which nothing goes the first time.
            if number % 8 == 7 && !targets.iter().any(is_in_memory) {
                break;
            }
            self.keep(place, &format!("/pressed-{number}"), entry(14_000, "press"));
        }
        self.settle();
    }

    fn read(&self, place: &store::Place, target: &str) -> Option<Result<Entry, Damage>> {
        let at = url(place, target);
        let filed = self
            .store
            .filed(place, at, function(), &Values::default())?;
        let variant = Variant {
            function: function(),
            values: Values::default(),
        };
        let opened = filed.open(&at.to_owned(), &variant);
        let read = opened.and_then(|opened| opened.whole(NO_ROOM));
        if read.as_ref().is_err_and(Damage::is_lasting) {
            self.store.forget_damaged(place, at, &filed);
        }
        Some(read)
    }

    fn has(&self, place: &store::Place, target: &str) -> bool {
        self.read(place, target).is_some_and(|read| read.is_ok())
    }

    /// Says which run the files are of, for the next process.
    fn run(&self) -> PathBuf {
        self.root().join("run")
    }

    fn files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.root()).expect("it is there").flatten();
        let folders = folders.filter_map(|folder| fs::read_dir(folder.path()).ok());
        folders
            .flatten()
            .flatten()
            .map(|file| file.path())
            .collect()
    }
}

const APPS: [(&str, &str); 3] = [("one", "a"), ("one", "b"), ("two", "a")];

fn url<'t>(place: &store::Place, target: &'t str) -> UrlRef<'t> {
    UrlRef {
        app: place.app().id(),
        https: true,
        host: "a.example",
        target,
    }
}

#[test]
fn what_memory_lets_go_of_is_on_the_disk_as_it_was() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    let answer = entry(12_345, "tag");
    kept.keep(&one, "/", entry(12_345, "tag"));
    kept.press_out(&one, &["/"]);
    let read = kept
        .read(&one, "/")
        .expect("it is there")
        .expect("it is right");
    assert_eq!((&read.body, &read.headers), (&answer.body, &answer.headers));
    assert_eq!((read.status, &read.tags), (answer.status, &answer.tags));
    assert!(read.filed.is_some());
    // Nobody else has it.
    assert!(!kept.has(&kept.place("one", "b"), "/"));
    assert!(!kept.has(&kept.place("two", "a"), "/"));
    let usage = one.app().usage();
    assert!(
        usage.disk_entries >= 1 && usage.disk_bytes > 12_345,
        "{usage:?}"
    );
}

#[test]
fn what_was_replaced_or_purged_is_not_on_the_disk() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    for what in [
        Purge::All,
        Purge::Tag("tag"),
        Purge::Url {
            host: "a.example",
            target: "/",
        },
    ] {
        kept.keep(&one, "/", entry(9_000, "tag"));
        kept.press_out(&one, &["/"]);
        assert!(kept.has(&one, "/"));
        let before = kept.files().len();
        let (purged, removal) = kept.store.purge(one.app(), &what);
        assert!(removal.wait() && purged > 0);
        assert!(!kept.has(&one, "/") && kept.files().len() < before);
    }
    kept.keep(&one, "/", entry(9_000, "old"));
    kept.press_out(&one, &["/"]);
    kept.keep(&one, "/", entry(9_001, "new"));
    // Memory may have let go of the new one at once.
    let read = kept.read(&one, "/");
    assert!(read.is_none_or(|read| read.is_ok_and(|read| read.body.len() == 9_001)));
    kept.press_out(&one, &["/"]);
    let read = kept
        .read(&one, "/")
        .expect("it is there")
        .expect("it is right");
    assert_eq!(read.body.len(), 9_001);
    assert!(kept.store.invalidate(&one, url(&one, "/")).wait());
    assert!(!kept.has(&one, "/"));
}

#[test]
fn what_memory_lets_go_of_is_found_on_its_way_to_the_disk() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    let targets: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
    for (count, target) in targets.iter().enumerate() {
        kept.keep(&one, target, entry(14_000, "tag"));
        for target in &targets[..=count] {
            let (url, values) = (url(&one, target), Values::default());
            let is_there = one.find(url, function(), &values).is_some()
                || kept
                    .store
                    .on_its_way(&one, url, function(), &values)
                    .is_some()
                || kept.store.filed(&one, url, function(), &values).is_some();
            assert!(is_there, "{target} of {count}");
        }
    }
    let (_, removal) = kept.store.purge(one.app(), &Purge::All);
    for target in &targets {
        let (url, values) = (url(&one, target), Values::default());
        let waits = kept.store.on_its_way(&one, url, function(), &values);
        assert!(waits.is_none() && one.find(url, function(), &values).is_none());
    }
    assert!(removal.wait());
    kept.settle();
    assert_eq!(one.app().usage().disk_entries, 0);
}

#[test]
fn what_comes_late_does_not_replace_what_was_asked_for_after_it() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    let before = Instant::now();
    kept.keep(&one, "/", entry(9_001, "later"));
    kept.press_out(&one, &["/"]);
    assert!(kept.has(&one, "/"));
    kept.keep(&one, "/", entry_asked(before, 9_000, "late"));
    kept.press_out(&one, &["/"]);
    let read = kept.read(&one, "/").expect("it is there");
    assert_eq!(read.expect("it is right").body.len(), 9_001);
}

#[test]
fn file_that_can_not_be_read_once_stays() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    kept.keep(&one, "/", entry(9_000, "tag"));
    kept.press_out(&one, &["/"]);
    let (_, removal) = kept.store.purge(one.app(), &Purge::Tag("press"));
    assert!(removal.wait());
    let [file] = &kept.files()[..] else {
        panic!("there is one file")
    };
    let beside = kept.folder.path().join("beside");
    fs::rename(file, &beside).expect("it moves");
    // One that leads to itself can't be opened.
    std::os::unix::fs::symlink(file, file).expect("it is made");
    let read = kept.read(&one, "/").expect("it is known");
    assert!(read.is_err_and(|damage| !damage.is_lasting()));
    fs::rename(&beside, file).expect("it moves");
    assert!(kept.has(&one, "/"));
    // One that isn't there is of no use any more.
    fs::remove_file(file).expect("it is there");
    let read = kept.read(&one, "/").expect("it is known");
    assert!(read.is_err_and(|damage| damage.is_lasting()));
    assert!(kept.read(&one, "/").is_none());
}

#[test]
fn answer_in_pieces_is_kept_whole_or_not_at_all() {
    let kept = Kept::new();
    let one = kept.place("one", "a");
    let url = url(&one, "/large");
    for (finishes, size) in [(false, 200_000), (true, 600_000), (true, 300_000)] {
        let since = one.app().since(url);
        let mut filing = kept.store.filing().expect("there are none yet");
        let content: Vec<u8> = (0..size)
            .map(|byte| u8::try_from(byte % 249).expect("it is less"))
            .collect();
        let taken = content
            .chunks(7_001)
            .all(|piece| filing.push(Bytes::copy_from_slice(piece)));
        assert_eq!(taken, size < 500_000);
        if !finishes || !taken {
            drop(filing);
            kept.settle();
            assert!(!kept.has(&one, "/large"));
            continue;
        }
        let head = entry(0, "tag");
        kept.store.finish(filing, &one, url.to_owned(), since, head);
        kept.settle();
        let read = kept
            .read(&one, "/large")
            .expect("it is there")
            .expect("it is right");
        assert!(read.body == content);
    }
    // What comes behind the end isn't taken, and nobody waits for it.
    let mut filing = kept.store.filing().expect("there are none yet");
    assert!(filing.push(Bytes::from_static(b"a part")));
    kept.store.close_disk();
    assert!(!filing.push(Bytes::from_static(b"another")));
    let waker = std::task::Waker::noop();
    let cx = std::task::Context::from_waker(waker);
    assert!(filing.poll_ready(&cx).is_ready());
    drop(filing);
    let left = fs::read_dir(kept.root()).expect("it is there").flatten();
    assert!(
        left.into_iter()
            .all(|entry| !entry.path().to_string_lossy().ends_with(file::HALF))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn file_that_is_not_what_was_written_is_never_served(
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<bool>(),
        survives in any::<bool>(),
    ) {
        let kept = Kept::new();
        let one = kept.place("one", "a");
        kept.keep(&one, "/", entry(9_000, "tag"));
        kept.press_out(&one, &["/"]);
        let (_, removal) = kept.store.purge(one.app(), &Purge::Tag("press"));
        prop_assert!(removal.wait());
        let [file] = &kept.files()[..] else { panic!("there is one file") };
        let mut bytes = fs::read(file).unwrap();
        let at = place.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        fs::write(file, bytes).unwrap();
        // To the process that wrote it, and to the next one.
        let kept = if survives { kept } else { kept.again() };
        let one = kept.place("one", "a");
        prop_assert!(!kept.has(&one, "/"));
        kept.settle();
        prop_assert_eq!(kept.files(), Vec::<PathBuf>::new());
        prop_assert_eq!(one.app().usage().disk_bytes, 0);
    }

    #[test]
    fn disk_never_has_more_than_its_bounds(
        steps in prop::collection::vec((0_usize..3, 0_usize..30, 0_usize..14_000, 0_u8..12), 0..120),
    ) {
        let kept = Kept::new();
        for (app, target, size, purge) in steps {
            let place = kept.place(APPS[app].0, APPS[app].1);
            kept.keep(&place, &format!("/{target}"), entry(size, ["even", "odd"][target % 2]));
            if purge == 0 {
                let (_, removal) = kept.store.purge(place.app(), &Purge::Tag("odd"));
                prop_assert!(removal.wait());
            }
        }
        kept.settle();
        let usages = APPS.map(|(tenant, app)| kept.place(tenant, app).app().usage());
        let sum = |usages: &[store::Usage]| usages.iter().map(|usage| usage.disk_bytes).sum::<u64>();
        prop_assert!(sum(&usages) <= BOUNDS.disk_bytes);
        prop_assert!(sum(&usages[..2]) <= BOUNDS.disk_bytes_of_tenant);
        let files = kept.files();
        let entries: u64 = usages.iter().map(|usage| usage.disk_entries).sum();
        prop_assert_eq!(files.len() as u64, entries);
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        prop_assert!(bytes <= sum(&usages));
    }
}
