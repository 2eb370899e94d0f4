//! Hosts with what is routed at each, in shards that tables share: another table with a change at one host copies one
//! shard of references, and nothing else.
//!
//! Knows names as keys; doesn't know patterns or paths.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use everwarm_manifest::Hostname;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Hosts of a shard, on average, beyond which there are more shards.
const HOSTS_PER_SHARD_MAX: usize = 256;
/// The most shards, as a power of two: each is a pointer that every change copies.
const SHARDS_MAX_LOG2: u32 = 10;

/// A map from host to value whose copies share what they have in common.
#[derive(Debug)]
pub(super) struct Hosts<V> {
    /// As many as a power of two; none for no hosts.
    shards: Vec<Arc<Shard<V>>>,
    hasher: DefaultHashBuilder,
    len: usize,
}

type Shard<V> = HashTable<(Hostname, Arc<V>)>;

impl<V> Default for Hosts<V> {
    fn default() -> Self {
        Self {
            shards: Vec::new(),
            hasher: DefaultHashBuilder::default(),
            len: 0,
        }
    }
}

impl<V> Clone for Hosts<V> {
    fn clone(&self) -> Self {
        Self {
            shards: self.shards.clone(),
            hasher: self.hasher.clone(),
            len: self.len,
        }
    }
}

impl<V> Hosts<V> {
    /// A map with room for so many hosts.
    pub(super) fn with_capacity(hosts: usize) -> Self {
        let mut map = Self::default();
        map.grow(hosts);
        map
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn get(&self, host: &str) -> Option<&Arc<V>> {
        let hash = self.hasher.hash_one(host);
        let shard = self.shards.get(self.place(hash))?;
        let found = shard.find(hash, |(name, _)| name.as_str() == host);
        found.map(|(_, value)| value)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<V>> {
        let entries = self.shards.iter().flat_map(|shard| shard.iter());
        entries.map(|(_, value)| value)
    }

    /// Puts a value at a host, in the place of the one that is there; with `None` the host is forgotten.
    pub(super) fn set(&mut self, host: &Hostname, value: Option<Arc<V>>) {
        if value.is_some() {
            self.grow(self.len + 1);
        }
        let hash = self.hash(host);
        let place = self.place(hash);
        let hasher = self.hasher.clone();
        let Some(shard) = self.shards.get_mut(place) else {
            // No shards: nothing is there that could be forgotten.
            return;
        };
        // Copies it if another table has it too.
        let shard = Arc::make_mut(shard);
        let entry = shard.find_entry(hash, |(name, _)| name == host);
        match (entry, value) {
            (Ok(mut entry), Some(value)) => entry.get_mut().1 = value,
            (Ok(entry), None) => {
                entry.remove();
                self.len -= 1;
            }
            (Err(_), Some(value)) => {
                let rehash = |(name, _): &(Hostname, Arc<V>)| hasher.hash_one(name.as_str());
                shard.insert_unique(hash, (host.clone(), value), rehash);
                self.len += 1;
            }
            (Err(_), None) => {}
        }
    }

    fn hash(&self, host: &Hostname) -> u64 {
        self.hasher.hash_one(host.as_str())
    }

    /// The table inside a shard goes by the hash's lowest and highest seven bits; this goes by others.
    fn place(&self, hash: u64) -> usize {
        let mask = self.shards.len().saturating_sub(1);
        usize::try_from(hash >> 32).unwrap_or(0) & mask
    }

    /// Makes more shards when there are too few for so many hosts.
    fn grow(&mut self, hosts: usize) {
        let wanted = hosts.div_ceil(HOSTS_PER_SHARD_MAX).next_power_of_two();
        let wanted = wanted.min(1 << SHARDS_MAX_LOG2);
        if wanted <= self.shards.len() || hosts == 0 {
            return;
        }
        let old = std::mem::take(&mut self.shards);
        let mut shards: Vec<Shard<V>> = (0..wanted).map(|_| Shard::new()).collect();
        let rehash = |(name, _): &(Hostname, Arc<V>)| self.hasher.hash_one(name.as_str());
        for entry in old.iter().flat_map(|shard| shard.iter()) {
            let hash = rehash(entry);
            let place = usize::try_from(hash >> 32).unwrap_or(0) & (wanted - 1);
            shards[place].insert_unique(hash, entry.clone(), rehash);
        }
        self.shards = shards.into_iter().map(Arc::new).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn name(index: usize) -> Hostname {
        Hostname::parse(&format!("h{index}.example.com")).unwrap()
    }

    #[test]
    fn map_is_as_any_other_and_its_copies_stay_as_they_were() {
        let mut map = Hosts::default();
        let mut model = BTreeMap::new();
        let mut copies = Vec::new();
        for step in 0..5_000_usize {
            let index = step.wrapping_mul(7_919) % 1_500;
            if step % 3 == 2 {
                map.set(&name(index), None);
                model.remove(&index);
            } else {
                map.set(&name(index), Some(Arc::new(step)));
                model.insert(index, step);
            }
            if step % 1_000 == 0 {
                copies.push((map.clone(), model.clone()));
            }
        }
        copies.push((map, model));
        for (map, model) in copies {
            assert_eq!(map.values().count(), model.len());
            assert_eq!(map.is_empty(), model.is_empty());
            for index in 0..1_500 {
                let found = map.get(name(index).as_str()).map(|value| **value);
                assert_eq!(found, model.get(&index).copied());
            }
        }
    }

    #[test]
    fn change_at_one_host_copies_one_shard() {
        let mut map = Hosts::with_capacity(10_000);
        for index in 0..10_000 {
            map.set(&name(index), Some(Arc::new(index)));
        }
        let before = map.clone();
        map.set(&name(7), Some(Arc::new(0)));
        let shards = map.shards.iter().zip(&before.shards);
        let copied = shards.filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(copied.count(), 1);
        assert!(map.shards.len() > 16, "{} shards", map.shards.len());
    }
}
