//! The embedded engine's key-value data against a model of it: a sorted map, whatever is done in whatever order.
//!
//! Owns the model. Time is an argument, so nothing waits.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use everwarm_manifest::{AppName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::embedded::disk::Medium;
use everwarm_store::kv::{Bucket, BucketName, Key, KeyValue, KvError, KvQuota, NewValue, Revision};
use proptest::prelude::*;
use tokio::runtime::Runtime;

const KEYS: [&str; 6] = ["a", "a/", "a/b", "ab", "b", "ä"];
const PREFIXES: [&str; 5] = ["", "a", "a/", "b", "c"];
const QUOTA: KvQuota = KvQuota {
    entries_max: 5,
    bytes_max: 40,
};

#[derive(Debug, Clone)]
enum Action {
    Set(Place, Value),
    SetMany(usize, Vec<(usize, Value)>),
    Delete(Place),
    DeleteMany(usize, Vec<usize>),
    Increment(Place, i64),
    /// Expects the state that was seen last of the key.
    Swap(Place, Value),
    /// Remembers a key's state.
    Look(Place),
    Pass(u64),
    Sweep(u32),
    Remove(usize),
    Reopen,
}

/// Which bucket, and which key of it.
type Place = (usize, usize);
/// The text, and after how long it expires.
type Value = (String, Option<u64>);

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[0-9]{0,4}", "-[1-9]", "[a-z]{0,12}", "9223372036854775807"];
    (text, prop::option::of(0_u64..30))
}

fn action() -> impl Strategy<Value = Action> {
    let place = || (0_usize..3, 0..KEYS.len());
    let batch = prop::collection::vec((0..KEYS.len(), value()), 0..4);
    let names = prop::collection::vec(0..KEYS.len(), 0..4);
    prop_oneof![
        6 => (place(), value()).prop_map(|(place, value)| Action::Set(place, value)),
        2 => (0_usize..3, batch).prop_map(|(bucket, values)| Action::SetMany(bucket, values)),
        2 => place().prop_map(Action::Delete),
        1 => (0_usize..3, names).prop_map(|(bucket, keys)| Action::DeleteMany(bucket, keys)),
        4 => (place(), -9_i64..10).prop_map(|(place, delta)| Action::Increment(place, delta)),
        4 => (place(), value()).prop_map(|(place, value)| Action::Swap(place, value)),
        3 => place().prop_map(Action::Look),
        3 => (0_u64..20).prop_map(Action::Pass),
        2 => (0_u32..4).prop_map(Action::Sweep),
        1 => (0_usize..2).prop_map(Action::Remove),
        1 => Just(Action::Reopen),
    ]
}

/// The first two are one app's.
fn buckets() -> [Bucket; 3] {
    [("shop", "one"), ("shop", "two"), ("blog", "one")].map(|(app, name)| Bucket {
        tenant: TenantId::default_tenant(),
        app: AppName::new(app).unwrap(),
        name: BucketName::new(name).unwrap(),
    })
}

fn key(index: usize) -> Key {
    Key::new(KEYS[index]).unwrap()
}

#[derive(Debug, Clone, PartialEq)]
struct Kept {
    text: String,
    expires: Option<u64>,
    revision: Revision,
}

#[derive(Debug, Default, Clone)]
struct Model {
    now: u64,
    /// By app, bucket and key.
    entries: BTreeMap<(String, String, String), Kept>,
    /// Of removed apps: when each entry expires.
    removed: Vec<Option<u64>>,
    seen: BTreeMap<Place, Option<Revision>>,
    /// Revisions that were handed out, by app.
    revisions: BTreeMap<String, Revision>,
}

/// What is refused, by name.
type Refused = &'static str;

impl Model {
    fn id((bucket, index): Place) -> (String, String, String) {
        let bucket = &buckets()[bucket];
        let key = KEYS[index].to_owned();
        (bucket.app.to_string(), bucket.name.to_string(), key)
    }

    fn is_live(&self, kept: &Kept) -> bool {
        kept.expires.is_none_or(|expires| expires > self.now)
    }

    fn live(&self, place: Place) -> Option<&Kept> {
        let kept = self.entries.get(&Self::id(place));
        kept.filter(|kept| self.is_live(kept))
    }

    fn sums(&self, app: &str) -> (u64, u64) {
        let of_app = self.entries.iter().filter(|((of, ..), _)| of == app);
        of_app.fold((0, 0), |(entries, bytes), ((.., key), kept)| {
            (entries + 1, bytes + (key.len() + kept.text.len()) as u64)
        })
    }

    /// What has expired goes, when a quota would refuse otherwise.
    fn put(&mut self, values: &[(Place, Value)]) -> Result<(), Refused> {
        let tried = self.try_put(values);
        if tried.is_err() && self.sweep_expired(100) > 0 {
            return self.try_put(values);
        }
        tried
    }

    fn try_put(&mut self, values: &[(Place, Value)]) -> Result<(), Refused> {
        let before = self.entries.clone();
        for (place, (text, expires)) in values {
            let id = Self::id(*place);
            let (entries, bytes) = self.sums(&id.0);
            let old = self.entries.get(&id);
            let new = (id.2.len() + text.len()) as u64;
            let old_bytes = old.map_or(0, |kept| (id.2.len() + kept.text.len()) as u64);
            let more = new.saturating_sub(old_bytes);
            let refused = if old.is_none() && entries >= QUOTA.entries_max {
                Some("entries")
            } else if more > 0 && bytes + more > QUOTA.bytes_max {
                Some("bytes")
            } else {
                None
            };
            if let Some(refused) = refused {
                self.entries = before;
                return Err(refused);
            }
            let kept = Kept {
                text: text.clone(),
                expires: expires.map(|after| self.now + after),
                // Learnt from the engine, which says it or is asked for it.
                revision: Revision(0),
            };
            self.entries.insert(id, kept);
        }
        Ok(())
    }

    fn sweep_expired(&mut self, count: usize) -> usize {
        let now = self.now;
        let is_over = |expires: Option<u64>| expires.is_some_and(|expires| expires <= now);
        // All or a few: which ones is told by when they expired, and of the same time it doesn't matter here.
        let mut over: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, kept)| is_over(kept.expires))
            .map(|(id, kept)| (kept.expires, id.clone()))
            .collect();
        over.sort();
        let mut swept = 0;
        for (_, id) in over.into_iter().take(count) {
            self.entries.remove(&id);
            swept += 1;
        }
        let before = self.removed.len();
        self.removed.retain(|expires| !is_over(*expires));
        swept + before - self.removed.len()
    }
}

fn refused(error: &KvError) -> Refused {
    match error {
        KvError::TooManyEntries { .. } => "entries",
        KvError::TooManyBytes { .. } => "bytes",
        KvError::NotANumber => "number",
        KvError::Overflow => "overflow",
        KvError::RevisionDiffers { .. } => "revision",
        other => panic!("{other:?}"),
    }
}

struct Run {
    dir: tempfile::TempDir,
    runtime: Runtime,
    store: Option<Embedded>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            dir: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            store: None,
            model: Model::default(),
        };
        run.reopen();
        run
    }

    fn reopen(&mut self) {
        self.store = None;
        // What survives power loss is another test's.
        let medium = Medium {
            synchronous: false,
            ..Medium::local()
        };
        self.store = Some(Embedded::open_on(self.dir.path(), medium).unwrap());
    }

    fn kv(&self) -> &dyn KeyValue {
        self.store.as_ref().unwrap().kv()
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.model.now)
    }

    fn new_value(&self, (text, expires): &Value) -> NewValue {
        NewValue {
            bytes: text.clone().into(),
            expires: expires.map(|after| UnixMillis(self.model.now + after)),
        }
    }

    fn act(&mut self, action: &Action) {
        let buckets = buckets();
        let (now, kv) = (self.now(), self.kv());
        match action {
            Action::Set(place, value) => {
                let (bucket, key) = (&buckets[place.0], key(place.1));
                let set = kv.set(bucket, &key, self.new_value(value), QUOTA, now);
                let set = self.runtime.block_on(set).map(|_| ());
                let expected = self.model.put(&[(*place, value.clone())]);
                assert_eq!(set.map_err(|error| refused(&error)), expected);
            }
            Action::SetMany(bucket, values) => {
                let new = values
                    .iter()
                    .map(|(index, value)| (key(*index), self.new_value(value)));
                let set = kv.set_many(&buckets[*bucket], new.collect(), QUOTA, now);
                let set = self.runtime.block_on(set);
                let values = values
                    .iter()
                    .map(|(index, value)| ((*bucket, *index), value.clone()));
                let expected = self.model.put(&values.collect::<Vec<_>>());
                assert_eq!(set.map_err(|error| refused(&error)), expected);
            }
            Action::Delete(place) => {
                let key = key(place.1);
                let deleted = kv.delete(&buckets[place.0], &key, now);
                let deleted = self.runtime.block_on(deleted).unwrap();
                assert_eq!(deleted, self.model.live(*place).is_some());
                self.model.entries.remove(&Model::id(*place));
            }
            Action::DeleteMany(bucket, indices) => {
                let keys = indices.iter().map(|index| key(*index)).collect();
                let deleted = kv.delete_many(&buckets[*bucket], keys, now);
                let deleted = self.runtime.block_on(deleted).unwrap();
                let distinct: BTreeSet<_> = indices.iter().collect();
                let live = distinct.iter().filter(|index| {
                    let place = (*bucket, ***index);
                    self.model.live(place).is_some()
                });
                assert_eq!(deleted as usize, live.count());
                for index in distinct {
                    self.model.entries.remove(&Model::id((*bucket, *index)));
                }
            }
            Action::Increment(place, delta) => {
                let key = key(place.1);
                let sum = kv.increment(&buckets[place.0], &key, *delta, QUOTA, now);
                let sum = self.runtime.block_on(sum);
                assert_eq!(
                    sum.map_err(|error| refused(&error)),
                    self.add(*place, *delta)
                );
            }
            Action::Swap(place, value) => {
                let expected = self.model.seen.get(place).copied().flatten();
                let key = key(place.1);
                let new = self.new_value(value);
                let swap = kv.swap(&buckets[place.0], &key, expected, new, QUOTA, now);
                let swap = self.runtime.block_on(swap).map(|_| ());
                let current = self.model.live(*place).map(|kept| kept.revision);
                let expected = if current == expected {
                    self.model.put(&[(*place, value.clone())])
                } else {
                    Err("revision")
                };
                assert_eq!(swap.map_err(|error| refused(&error)), expected);
            }
            Action::Look(place) => {
                let state = self.model.live(*place).map(|kept| kept.revision);
                self.model.seen.insert(*place, state);
            }
            Action::Pass(time) => self.model.now += time,
            Action::Sweep(rounds) => self.sweep(*rounds),
            Action::Remove(app) => {
                let bucket = &buckets[[0, 2][*app]];
                let removed = kv.remove_app(&bucket.tenant, &bucket.app);
                self.runtime.block_on(removed).unwrap();
                let app = bucket.app.to_string();
                let (gone, kept) = std::mem::take(&mut self.model.entries)
                    .into_iter()
                    .partition(|((of, ..), _)| *of == app);
                self.model.entries = kept;
                let gone: BTreeMap<_, Kept> = gone;
                self.model
                    .removed
                    .extend(gone.into_values().map(|kept| kept.expires));
            }
            Action::Reopen => self.reopen(),
        }
        self.learn_revisions();
    }

    fn add(&mut self, place: Place, delta: i64) -> Result<i64, Refused> {
        let live = self.model.live(place).cloned();
        let number = match &live {
            Some(kept) => kept.text.parse().map_err(|_| "number")?,
            None => 0_i64,
        };
        let sum = number.checked_add(delta).ok_or("overflow")?;
        let now = self.model.now;
        let expires = live.and_then(|kept| kept.expires).map(|at| at - now);
        self.model.put(&[(place, (sum.to_string(), expires))])?;
        Ok(sum)
    }

    /// Sweeps one by one, then all.
    fn sweep(&mut self, rounds: u32) {
        let now = self.now();
        for _ in 0..rounds {
            let swept = self.runtime.block_on(self.kv().sweep(now, 1)).unwrap();
            assert!(swept.entries <= 1);
        }
        while self.runtime.block_on(self.kv().sweep(now, 2)).unwrap().more {}
        self.model.sweep_expired(usize::MAX);
        self.model.removed.clear();
        let nothing = self.runtime.block_on(self.kv().sweep(now, 10)).unwrap();
        assert_eq!(nothing, everwarm_store::kv::Swept::default());
    }

    /// Reads the states of what is there, which must be larger than all before wherever something was written.
    fn learn_revisions(&mut self) {
        let largest = self.model.revisions.clone();
        for (bucket, of) in buckets().iter().enumerate() {
            for index in 0..KEYS.len() {
                let key = key(index);
                let state = self.kv().revision(of, &key, self.now());
                let state = self.runtime.block_on(state).unwrap();
                let (app, id) = (of.app.to_string(), Model::id((bucket, index)));
                let Some(kept) = self.model.entries.get_mut(&id) else {
                    assert_eq!(state, None);
                    continue;
                };
                let Some(state) = state else { continue };
                if kept.revision == Revision(0) {
                    assert!(largest.get(&app).is_none_or(|largest| *largest < state));
                    kept.revision = state;
                }
                assert_eq!(kept.revision, state);
                let last = self.model.revisions.entry(app).or_insert(state);
                *last = (*last).max(state);
            }
        }
    }

    /// All that can be read is what the model has.
    fn check(&self) {
        let (kv, now) = (self.kv(), self.now());
        for (number, bucket) in buckets().iter().enumerate() {
            for index in 0..KEYS.len() {
                let entry = self
                    .runtime
                    .block_on(kv.get(bucket, &key(index), now))
                    .unwrap();
                let entry = entry.map(|entry| Kept {
                    text: String::from_utf8(entry.value.to_vec()).unwrap(),
                    expires: entry.expires.map(|expires| expires.0),
                    revision: entry.revision,
                });
                assert_eq!(entry.as_ref(), self.model.live((number, index)));
            }
            for prefix in PREFIXES {
                let mut expected: Vec<_> = (0..KEYS.len())
                    .filter(|index| self.model.live((number, *index)).is_some())
                    .map(|index| KEYS[index])
                    .filter(|key| key.starts_with(prefix))
                    .collect();
                expected.sort_unstable();
                assert_eq!(self.list(bucket, prefix), expected);
            }
            let kept = self
                .runtime
                .block_on(kv.kept(&bucket.tenant, &bucket.app))
                .unwrap();
            let sums = self.model.sums(bucket.app.as_str());
            assert_eq!((kept.entries, kept.bytes), sums);
        }
    }

    fn list(&self, bucket: &Bucket, prefix: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .kv()
                .list(bucket, prefix, after.as_ref(), 2, self.now());
            let page = self.runtime.block_on(page).unwrap();
            keys.extend(page.keys.iter().map(ToString::to_string));
            match page.next {
                Some(next) => after = Some(next),
                None => return keys,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn engine_does_what_a_sorted_map_does(actions in prop::collection::vec(action(), 1..60)) {
        let mut run = Run::new();
        for action in &actions {
            run.act(action);
            run.check();
        }
    }
}
