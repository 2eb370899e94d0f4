//! The store's bounds and purges, whatever is kept and asked for in which order.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use everwarm_manifest::FunctionName;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::control::Directives;
use crate::entry::Coded;
use crate::freshness::{Freshness, Times};

const BOUNDS: Bounds = Bounds {
    bytes: 60_000,
    bytes_of_tenant: 40_000,
    bytes_of_entry: 10_000,
    disk_bytes: 0,
    disk_bytes_of_tenant: 0,
    disk_bytes_of_entry: 0,
};

fn entry(version: &str, size: usize, tags: &[&str]) -> Arc<Entry> {
    let now = Instant::now();
    let headers = HeaderMap::new();
    let times = Times {
        asked: now,
        received: now,
        received_at: SystemTime::now(),
    };
    Arc::new(Entry {
        variant: Variant {
            function: function(version),
            values: Values::default(),
        },
        status: StatusCode::OK,
        freshness: Freshness::of(&headers, &Directives::default(), None, times),
        headers,
        body: Bytes::from(vec![0; size]),
        coded: Coded::default(),
        filed: None,
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
    })
}

fn function(version: &str) -> Id {
    Id::of_function(version, &FunctionName::new("f").expect("a name"))
}

fn place(store: &Store, tenant: &str, app: &str) -> Place {
    let tenant = tenant.parse().expect("a tenant");
    let app = AppName::new(app).expect("a name");
    store.place(&store.app(&tenant, &app))
}

fn url(place: &Place, target: &'static str) -> UrlRef<'static> {
    UrlRef {
        app: place.app.id(),
        https: false,
        host: "a.example",
        target,
    }
}

fn keep(
    store: &Store,
    place: &Place,
    target: &'static str,
    entry: Arc<Entry>,
) -> Result<(), NotKept> {
    let url = url(place, target);
    let since = place.app.since(url);
    store.keep(place, url, since, entry).map(|_| ())
}

fn is_kept(place: &Place, target: &'static str, version: &str) -> bool {
    let values = Values::default();
    place
        .find(url(place, target), function(version), &values)
        .is_some()
}

#[test]
fn tenants_apps_and_versions_have_answers_of_their_own() {
    let store = Store::new(BOUNDS);
    let one = place(&store, "one", "shop");
    keep(&store, &one, "/", entry("v1", 10, &[])).expect("it fits");
    assert!(is_kept(&one, "/", "v1"));
    assert!(!is_kept(&one, "/", "v2"));
    for (tenant, app) in [("one", "other"), ("two", "shop")] {
        assert!(!is_kept(&place(&store, tenant, app), "/", "v1"));
    }
}

#[test]
fn what_was_used_stays_and_what_was_not_goes() {
    let store = Store::new(BOUNDS);
    let one = place(&store, "one", "shop");
    keep(&store, &one, "/used", entry("v", 1_000, &[])).expect("it fits");
    keep(&store, &one, "/unused", entry("v", 1_000, &[])).expect("it fits");
    for number in 0..200 {
        assert!(is_kept(&one, "/used", "v"), "{number}");
        let target: &'static str = Box::leak(format!("/{number}").into());
        keep(&store, &one, target, entry("v", 1_000, &[])).expect("it fits");
    }
    assert!(!is_kept(&one, "/unused", "v"));
    let too_large = entry("v", 10_001, &[]);
    assert_eq!(keep(&store, &one, "/", too_large), Err(NotKept::TooLarge));
}

#[test]
fn purge_is_of_what_was_asked_for_before_it_too() {
    let store = Store::new(BOUNDS);
    let one = place(&store, "one", "shop");
    let at = url(&one, "/");
    for what in [
        Purge::All,
        Purge::Tag("t"),
        Purge::Url {
            host: "a.example",
            target: "/",
        },
    ] {
        keep(&store, &one, "/", entry("v1", 10, &["t"])).expect("it fits");
        keep(&store, &one, "/", entry("v2", 10, &["t", "u"])).expect("it fits");
        let since = one.app.since(at);
        assert_eq!(store.purge(&one.app, &what).0, 2);
        let late = store.keep(&one, at, since, entry("v1", 10, &["t"]));
        assert_eq!(late.err(), Some(NotKept::Purged));
        assert!(!is_kept(&one, "/", "v1"));
        assert_eq!(one.app.usage().bytes, 0);
    }
    let since = one.app.since(at);
    assert!(store.invalidate(&one, at).wait());
    let late = store.keep(&one, at, since, entry("v1", 10, &[]));
    assert_eq!(late.err(), Some(NotKept::Purged));
}

#[test]
fn answer_that_was_asked_for_earlier_does_not_take_the_place_of_a_later_one() {
    let store = Store::new(BOUNDS);
    let one = place(&store, "one", "shop");
    let at = url(&one, "/");
    let asked = |tag: &str| entry("v", 10, &[tag]);
    let (earlier, later) = (asked("earlier"), asked("later"));
    let since = one.app.since(at);
    let tag_of = |entry: Result<Arc<Entry>, NotKept>| entry.expect("it fits").tags[0].clone();
    assert_eq!(&*tag_of(store.keep(&one, at, since, later)), "later");
    assert_eq!(&*tag_of(store.keep(&one, at, since, earlier)), "later");
    assert_eq!(
        &*tag_of(store.keep(&one, at, since, asked("latest"))),
        "latest"
    );
}

#[test]
fn answers_in_pieces_have_room_together_up_to_a_bound() {
    let store = Store::new(BOUNDS);
    let mut rooms: Vec<Room> = (0..4).map(|_| store.room()).collect();
    let taken = rooms.iter_mut().map(|room| room.take(5_000));
    assert_eq!(taken.collect::<Vec<_>>(), [true, true, true, false]);
    drop(rooms);
    let mut room = store.room();
    assert!(room.take(10_000) && !room.take(1));
}

#[test]
fn values_are_kept_for_their_time_and_within_the_same_bounds() {
    let store = Store::new(BOUNDS);
    let (one, other) = (place(&store, "one", "shop"), place(&store, "one", "other"));
    let now = Instant::now();
    let second = Duration::from_secs(1);
    one.set_value(&store, "k", Bytes::from_static(b"v"), second, now);
    assert_eq!(one.value("k", now).as_deref(), Some(b"v".as_slice()));
    assert_eq!(other.value("k", now), None);
    assert_eq!(one.value("k", now + second), None);
    one.remove_value("k");
    assert_eq!((one.value("k", now), one.app.usage().bytes), (None, 0));
    for number in 0..100 {
        let value = Bytes::from(vec![0; 1_000]);
        one.set_value(&store, &number.to_string(), value, second, now);
        assert!(store.bytes() <= BOUNDS.bytes_of_tenant);
    }
    // Which of the others go depends on the parts that they are in, which is chance.
    let is_kept = |number: &i32| one.value(&number.to_string(), now).is_some();
    assert!(is_kept(&99) && !(0..100).all(|number| is_kept(&number)));
    let (tenant, app) = (
        "one".parse().expect("a tenant"),
        AppName::new("shop").expect("a name"),
    );
    assert!(store.forget_app(&tenant, &app).wait());
    assert_eq!((one.value("99", now), store.bytes()), (None, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Keep(usize, usize, usize),
    Look(usize, usize),
    PurgeTag(usize),
    PurgeUrl(usize, usize),
    Forget(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..3, 0_usize..20, 0_usize..9_000).prop_map(|(app, url, size)| Step::Keep(app, url, size)),
        4 => (0_usize..3, 0_usize..20).prop_map(|(app, url)| Step::Look(app, url)),
        1 => (0_usize..3).prop_map(Step::PurgeTag),
        1 => (0_usize..3, 0_usize..20).prop_map(|(app, url)| Step::PurgeUrl(app, url)),
        1 => (0_usize..3).prop_map(Step::Forget),
    ]
}

proptest! {
    #[test]
    fn nothing_exceeds_its_bound_and_all_is_counted(steps in prop::collection::vec(step(), 0..200)) {
        const TARGETS: [&str; 20] = [
            "/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", "/j", "/k", "/l", "/m", "/n", "/o", "/p", "/q", "/r",
            "/s", "/t",
        ];
        const APPS: [(&str, &str); 3] = [("one", "a"), ("one", "b"), ("two", "c")];
        let store = Store::new(BOUNDS);
        let app = |number: usize| place(&store, APPS[number].0, APPS[number].1);
        for step in steps {
            match step {
                Step::Keep(number, url, size) => {
                    let tag = ["even", "odd"][url % 2];
                    keep(&store, &app(number), TARGETS[url], entry("v", size, &[tag])).expect("it fits");
                }
                Step::Look(number, url) => {
                    is_kept(&app(number), TARGETS[url], "v");
                }
                Step::PurgeTag(number) => {
                    let place = app(number);
                    prop_assert!(store.purge(&place.app, &Purge::Tag("odd")).1.wait());
                    for (index, target) in TARGETS.iter().enumerate() {
                        prop_assert!(index % 2 == 0 || !is_kept(&place, target, "v"));
                    }
                }
                Step::PurgeUrl(number, url) => {
                    let place = app(number);
                    let what = Purge::Url { host: "a.example", target: TARGETS[url] };
                    prop_assert!(store.purge(&place.app, &what).1.wait());
                    prop_assert!(!is_kept(&place, TARGETS[url], "v"));
                }
                Step::Forget(number) => {
                    let (tenant, name) = APPS[number];
                    let (tenant, name) = (tenant.parse().expect("a tenant"), AppName::new(name).expect("a name"));
                    prop_assert!(store.forget_app(&tenant, &name).wait());
                }
            }
            prop_assert!(store.bytes() <= BOUNDS.bytes);
            let (mut all, mut of_one) = (0, 0);
            for (number, (tenant, _)) in APPS.iter().enumerate() {
                let place = app(number);
                let there = TARGETS.iter().filter(|target| {
                    let at = url(&place, target);
                    // Looking in another way counts as no use.
                    place.share.answers.peek(&at, |_| ()).is_some()
                });
                let usage = place.app.usage();
                prop_assert_eq!(there.count() as u64, usage.entries);
                all += usage.bytes;
                if *tenant == "one" {
                    of_one += usage.bytes;
                }
            }
            prop_assert!(of_one <= BOUNDS.bytes_of_tenant);
            prop_assert_eq!(all, store.bytes());
        }
    }
}
