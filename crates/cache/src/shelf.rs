//! Things by key, of which those go first that nobody has asked for. Owns their order; who has how much room is the store's.
//!
//! In parts, each behind a lock of its own that is held for a look-up at a time. A part's things stand in a row: whoever is
//! at its front and was used since it came there goes to the back, and otherwise it goes.

use std::hash::{BuildHasher as _, Hash};
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::{DefaultHashBuilder, Equivalent, HashTable};
use parking_lot::Mutex;
use slab::Slab;

const PARTS: usize = 16;
/// Nowhere in a row.
const NONE: usize = usize::MAX;

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
    /// Where things are, by the hashes of their keys.
    places: HashTable<usize>,
    things: Slab<Thing<K, V>>,
    /// The row's two ends.
    front: usize,
    back: usize,
}

struct Thing<K, V> {
    key: K,
    hash: u64,
    value: V,
    bytes: usize,
    count: usize,
    used: bool,
    /// Its neighbours in the row.
    before: usize,
    after: usize,
}

impl<K: Hash + Eq, V: Weighed> Shelf<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| {
                Mutex::new(Part {
                    places: HashTable::new(),
                    things: Slab::new(),
                    front: NONE,
                    back: NONE,
                })
            }),
            hasher: DefaultHashBuilder::default(),
            hand: AtomicUsize::new(0),
        }
    }

    fn part(&self, key: &(impl Hash + ?Sized)) -> (u64, &Mutex<Part<K, V>>) {
        let hash = self.hasher.hash_one(key);
        // The table goes by the low bits and the top seven.
        let part = usize::try_from(hash >> 40).unwrap_or(0) % PARTS;
        (hash, &self.parts[part])
    }

    /// Looks at what is there, which counts as use.
    pub(crate) fn look<Q, R>(&self, key: &Q, look: impl FnOnce(&V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (hash, part) = self.part(key);
        let mut part = part.lock();
        let place = part.find(hash, key)?;
        let thing = &mut part.things[place];
        // What is asked for often is only read.
        if !thing.used {
            thing.used = true;
        }
        Some(look(&thing.value))
    }

    /// Looks at what is there, which is no use of it.
    pub(crate) fn peek<R>(
        &self,
        key: &(impl Hash + Equivalent<K>),
        look: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let (hash, part) = self.part(key);
        let part = part.lock();
        let place = part.find(hash, key)?;
        Some(look(&part.things[place].value))
    }

    /// Changes what is there, or what is made there if the change wants it. Nothing stays of what is nothing then.
    pub(crate) fn change<R>(
        &self,
        key: K,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        let (hash, part) = self.part(&key);
        let mut part = part.lock();
        let place = match part.find(hash, &key) {
            Some(place) => place,
            None => part.add(hash, key, make()),
        };
        let (result, _gone) = part.change(place, change);
        // What is let go of is dropped where nobody waits for it.
        drop(part);
        result
    }

    /// Changes what is there, if anything is. Nothing stays of what is nothing then.
    pub(crate) fn change_there<Q, R>(&self, key: &Q, change: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (hash, part) = self.part(key);
        let mut part = part.lock();
        let place = part.find(hash, key)?;
        let (result, _gone) = part.change(place, change);
        drop(part);
        Some(result)
    }

    /// Removes one, after `first` was done where nobody can put it back.
    pub(crate) fn remove<Q>(&self, key: &Q, first: impl FnOnce()) -> Option<V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let (hash, part) = self.part(key);
        let mut part = part.lock();
        first();
        let place = part.find(hash, key)?;
        let thing = part.let_go(place);
        drop(part);
        Some(thing.value)
    }

    /// Goes through all of them; what is nothing afterwards goes. How many things less there are.
    pub(crate) fn each(&self, mut change: impl FnMut(&K, &mut V)) -> usize {
        let mut less = 0;
        for part in &self.parts {
            let mut part = part.lock();
            let mut nothing = Vec::new();
            for (place, thing) in &mut part.things {
                let before = thing.count;
                change(&thing.key, &mut thing.value);
                if !thing.weigh() {
                    nothing.push(place);
                }
                less += before.saturating_sub(thing.count);
            }
            let _gone: Vec<_> = nothing
                .into_iter()
                .map(|place| part.take_out(place))
                .collect();
            part.shrink();
            drop(part);
        }
        less
    }

    /// Lets one go, after a last look at it where nobody can put another there. `None` when there is none.
    pub(crate) fn let_one_go<R>(&self, last: impl Fn(&K, &V) -> R) -> Option<R> {
        let first = self.hand.fetch_add(1, Ordering::Relaxed);
        // Whoever is used goes only when all others of all parts are.
        (0..2 * PARTS).find_map(|step| {
            let mut part = self.parts[first.wrapping_add(step) % PARTS].lock();
            let (result, _gone) = part.let_one_go(&last)?;
            drop(part);
            Some(result)
        })
    }
}

impl<K: Hash + Eq, V: Weighed> Part<K, V> {
    fn find<Q: Equivalent<K> + ?Sized>(&self, hash: u64, key: &Q) -> Option<usize> {
        let is_it = |place: &usize| key.equivalent(&self.things[*place].key);
        self.places.find(hash, is_it).copied()
    }

    /// Adds what isn't there, at the back.
    fn add(&mut self, hash: u64, key: K, value: V) -> usize {
        let place = self.things.insert(Thing {
            key,
            hash,
            value,
            bytes: 0,
            count: 0,
            used: false,
            before: NONE,
            after: NONE,
        });
        let things = &self.things;
        self.places
            .insert_unique(hash, place, |place| things[*place].hash);
        self.stand_at_the_back(place);
        place
    }

    fn stand_at_the_back(&mut self, place: usize) {
        let last = std::mem::replace(&mut self.back, place);
        let thing = &mut self.things[place];
        (thing.before, thing.after) = (last, NONE);
        match self.things.get_mut(last) {
            Some(last) => last.after = place,
            None => self.front = place,
        }
    }

    fn leave_the_row(&mut self, place: usize) {
        let Thing { before, after, .. } = self.things[place];
        match self.things.get_mut(before) {
            Some(before) => before.after = after,
            None => self.front = after,
        }
        match self.things.get_mut(after) {
            Some(after) => after.before = before,
            None => self.back = before,
        }
    }

    fn take_out(&mut self, place: usize) -> Thing<K, V> {
        self.leave_the_row(place);
        let thing = self.things.remove(place);
        let is_it = |there: &usize| *there == place;
        if let Ok(entry) = self.places.find_entry(thing.hash, is_it) {
            entry.remove();
        }
        thing
    }

    /// Changes one, which is taken out if it is nothing then.
    fn change<R>(
        &mut self,
        place: usize,
        change: impl FnOnce(&mut V) -> R,
    ) -> (R, Option<Thing<K, V>>) {
        let thing = &mut self.things[place];
        let result = change(&mut thing.value);
        let is_nothing = !thing.weigh();
        (result, is_nothing.then(|| self.take_out(place)))
    }

    /// Takes one out that counts as nothing then.
    fn let_go(&mut self, place: usize) -> Thing<K, V> {
        let thing = self.take_out(place);
        thing
            .value
            .moved(difference(0, thing.bytes), difference(0, thing.count));
        thing
    }

    fn let_one_go<R>(&mut self, last: impl Fn(&K, &V) -> R) -> Option<(R, Thing<K, V>)> {
        // Each is asked once: who is used goes to the back unused.
        for _ in 0..self.things.len() {
            let place = self.front;
            if std::mem::take(&mut self.things[place].used) {
                self.leave_the_row(place);
                self.stand_at_the_back(place);
                continue;
            }
            let thing = &self.things[place];
            let result = last(&thing.key, &thing.value);
            return Some((result, self.let_go(place)));
        }
        None
    }

    /// Gives memory back that so few things don't need.
    fn shrink(&mut self) {
        if self.things.capacity() > 4 * self.things.len() {
            self.things.shrink_to_fit();
            let things = &self.things;
            self.places.shrink_to_fit(|place| things[*place].hash);
        }
    }
}

impl<K, V: Weighed> Thing<K, V> {
    /// Counts it anew. `false` when it is nothing, which counts as nothing then.
    fn weigh(&mut self) -> bool {
        let count = self.value.count();
        let bytes = if count == 0 { 0 } else { self.value.bytes() };
        self.value
            .moved(difference(bytes, self.bytes), difference(count, self.count));
        (self.bytes, self.count) = (bytes, count);
        count > 0
    }
}

fn difference(now: usize, before: usize) -> i64 {
    let signed = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    signed(now) - signed(before)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::AtomicI64;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Sums(AtomicI64, AtomicI64);

    struct Thing(usize, Arc<Sums>);

    impl Weighed for Thing {
        fn bytes(&self) -> usize {
            self.0
        }

        fn count(&self) -> usize {
            usize::from(self.0 > 0)
        }

        fn moved(&self, bytes: i64, count: i64) {
            self.1.0.fetch_add(bytes, Ordering::Relaxed);
            self.1.1.fetch_add(count, Ordering::Relaxed);
        }
    }

    #[derive(Hash, PartialEq, Eq)]
    struct Borrowed(u8);

    impl Equivalent<u8> for Borrowed {
        fn equivalent(&self, key: &u8) -> bool {
            self.0 == *key
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u8, usize),
        SetThere(u8, usize),
        Look(u8),
        Remove(u8),
        LetOneGo,
        HalveAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u8..40, 0_usize..5).prop_map(|(key, size)| Step::Set(key, size)),
            2 => (0_u8..40, 0_usize..5).prop_map(|(key, size)| Step::SetThere(key, size)),
            3 => (0_u8..40).prop_map(Step::Look),
            2 => (0_u8..40).prop_map(Step::Remove),
            3 => Just(Step::LetOneGo),
            1 => Just(Step::HalveAll),
        ]
    }

    proptest! {
        #[test]
        fn shelf_has_what_a_map_would_have(steps in prop::collection::vec(step(), 0..200)) {
            let (shelf, sums) = (Shelf::<u8, Thing>::new(), Arc::new(Sums::default()));
            let mut model = HashMap::<u8, usize>::new();
            for step in steps {
                match step {
                    Step::Set(key, size) => {
                        let make = || Thing(0, Arc::clone(&sums));
                        shelf.change(key, make, |thing| thing.0 = size);
                        model.remove(&key);
                        if size > 0 {
                            model.insert(key, size);
                        }
                    }
                    Step::SetThere(key, size) => {
                        let before = shelf.change_there(&Borrowed(key), |thing| std::mem::replace(&mut thing.0, size));
                        prop_assert_eq!(before, model.remove(&key));
                        if before.is_some() && size > 0 {
                            model.insert(key, size);
                        }
                    }
                    Step::Look(key) => {
                        let found = shelf.look(&Borrowed(key), |thing| thing.0);
                        prop_assert_eq!(found, model.get(&key).copied());
                    }
                    Step::Remove(key) => {
                        let removed = shelf.remove(&Borrowed(key), || ());
                        prop_assert_eq!(removed.map(|thing| thing.0), model.remove(&key));
                    }
                    Step::LetOneGo => {
                        let gone = shelf.let_one_go(|key, thing| (*key, thing.0));
                        // Which one is the shelf's to choose.
                        prop_assert_eq!(gone.is_none(), model.is_empty());
                        if let Some((key, size)) = gone {
                            prop_assert_eq!(model.remove(&key), Some(size));
                        }
                    }
                    Step::HalveAll => {
                        let less = shelf.each(|_, thing| thing.0 /= 2);
                        let before = model.len();
                        model.retain(|_, size| { *size /= 2; *size > 0 });
                        prop_assert_eq!(less, before - model.len());
                    }
                }
                let bytes: usize = model.values().sum();
                prop_assert_eq!(sums.0.load(Ordering::Relaxed), i64::try_from(bytes).unwrap());
                prop_assert_eq!(sums.1.load(Ordering::Relaxed), i64::try_from(model.len()).unwrap());
            }
            while shelf.let_one_go(|_, _| ()).is_some() {}
            prop_assert_eq!(sums.0.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn what_was_used_outlives_what_was_not() {
        let (shelf, sums) = (Shelf::<u8, Thing>::new(), Arc::new(Sums::default()));
        for key in 0..100 {
            shelf.change(key, || Thing(1, Arc::clone(&sums)), |_| ());
        }
        for _ in 0..99 {
            shelf.look(&Borrowed(7), |_| ()).unwrap();
            assert!(shelf.let_one_go(|_, _| ()).is_some());
        }
        assert!(shelf.peek(&Borrowed(7), |_| ()).is_some());
        assert!(shelf.let_one_go(|_, _| ()).is_some());
        assert!(shelf.let_one_go(|_, _| ()).is_none());
    }
}
