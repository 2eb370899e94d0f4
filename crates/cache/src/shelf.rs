//! Things by key, of which those go first that nobody has asked for. Owns their order; who has how much room is the store's.
//!
//! In parts, each behind a lock of its own that is held for a look-up at a time. A part's things stand in a row: whoever is
//! at its front and was used since it came there goes to the back, and otherwise it goes.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, Equivalent, HashMap};
use parking_lot::Mutex;

const PARTS: usize = 16;

/// Something that takes room, and counts it where it belongs.
pub(crate) trait Weighed {
    /// How much it takes.
    fn bytes(&self) -> usize;
    /// How many things it is.
    fn count(&self) -> usize;
    /// It takes so much more, or less.
    fn moved(&self, bytes: i64, count: i64);
}

pub(crate) struct Shelf<K, V> {
    parts: [Mutex<Part<K, V>>; PARTS],
    hasher: DefaultHashBuilder,
    hand: AtomicUsize,
}

struct Part<K, V> {
    things: HashMap<K, Thing<V>>,
    row: VecDeque<K>,
}

struct Thing<V> {
    value: V,
    bytes: usize,
    count: usize,
    used: bool,
}

impl<K: Hash + Eq + Clone, V: Weighed> Shelf<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| {
                Mutex::new(Part {
                    things: HashMap::new(),
                    row: VecDeque::new(),
                })
            }),
            hasher: DefaultHashBuilder::default(),
            hand: AtomicUsize::new(0),
        }
    }

    fn part(&self, key: &(impl Hash + ?Sized)) -> &Mutex<Part<K, V>> {
        // The map goes by the low bits and the top seven.
        let hash = self.hasher.hash_one(key) >> 40;
        &self.parts[usize::try_from(hash).unwrap_or(0) % PARTS]
    }

    /// Looks at what is there, which counts as use.
    pub(crate) fn look<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut part = self.part(key).lock();
        let thing = part.things.get_mut(key)?;
        thing.used = true;
        Some(look(&thing.value))
    }

    /// Whether there is one, which is no use of it.
    #[cfg(test)]
    pub(crate) fn peek(&self, key: &(impl Hash + Equivalent<K>)) -> bool {
        self.part(key).lock().things.contains_key(key)
    }

    /// Changes what is there, or what is made there if the change wants it. Nothing stays of what is nothing then.
    pub(crate) fn change<R>(
        &self,
        key: K,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut part = self.part(&key).lock();
        let Part { things, row } = &mut *part;
        let is_new = !things.contains_key(&key);
        let thing = things.entry(key.clone()).or_insert_with(|| Thing {
            value: make(),
            bytes: 0,
            count: 0,
            used: false,
        });
        let result = change(&mut thing.value);
        if !thing.weigh() {
            things.remove(&key);
        } else if is_new {
            row.push_back(key);
            // Those that were removed stand in the row until their turn comes: not too many of them.
            if row.len() > 2 * things.len() + 64 {
                tidy(things, row);
            }
        }
        result
    }

    /// Removes one, after `first` was done where nobody can put it back. How many things it was.
    pub(crate) fn remove<Q>(&self, key: &Q, first: impl FnOnce()) -> usize
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut part = self.part(key).lock();
        first();
        let thing = part.things.remove(key);
        thing.map_or(0, |thing| {
            let count = thing.count;
            thing.leave();
            count
        })
    }

    /// Goes through all of them; what is nothing afterwards goes. How many things less there are.
    pub(crate) fn each(&self, mut change: impl FnMut(&K, &mut V)) -> usize {
        let mut less = 0;
        for part in &self.parts {
            let mut part = part.lock();
            part.things.retain(|key, thing| {
                let before = thing.count;
                change(key, &mut thing.value);
                let stays = thing.weigh();
                less += before.saturating_sub(thing.count);
                stays
            });
        }
        less
    }

    /// Lets one go. `false` when there is none.
    pub(crate) fn let_one_go(&self) -> bool {
        let first = self.hand.fetch_add(1, Ordering::Relaxed);
        // Whoever is used goes only when all others of all parts are.
        (0..2 * PARTS).any(|step| {
            let mut part = self.parts[first.wrapping_add(step) % PARTS].lock();
            part.let_one_go()
        })
    }
}

impl<K: Hash + Eq + Clone, V: Weighed> Part<K, V> {
    fn let_one_go(&mut self) -> bool {
        // Each is asked once: who is used goes to the back unused.
        for _ in 0..self.row.len() {
            let Some(key) = self.row.pop_front() else {
                return false;
            };
            let Some(thing) = self.things.get_mut(&key) else {
                continue;
            };
            if std::mem::take(&mut thing.used) {
                self.row.push_back(key);
                continue;
            }
            if let Some(thing) = self.things.remove(&key) {
                thing.leave();
                return true;
            }
        }
        false
    }
}

/// Leaves in a row each of the things that are there, once.
fn tidy<K: Hash + Eq + Clone, V>(things: &HashMap<K, Thing<V>>, row: &mut VecDeque<K>) {
    let mut seen = hashbrown::HashSet::with_capacity(things.len());
    row.retain(|key| things.contains_key(key) && seen.insert(key.clone()));
}

impl<V: Weighed> Thing<V> {
    /// Counts it anew. `false` when it is nothing, which counts as nothing then.
    fn weigh(&mut self) -> bool {
        let count = self.value.count();
        let bytes = if count == 0 { 0 } else { self.value.bytes() };
        self.value
            .moved(difference(bytes, self.bytes), difference(count, self.count));
        (self.bytes, self.count) = (bytes, count);
        count > 0
    }

    fn leave(self) {
        self.value
            .moved(difference(0, self.bytes), difference(0, self.count));
    }
}

fn difference(now: usize, before: usize) -> i64 {
    let signed = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    signed(now) - signed(before)
}
