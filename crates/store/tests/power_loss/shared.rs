//! What the connections of one file share beside its bytes: who has which lock, and the index of the write-ahead log.
//!
//! Owns both for the simulated disk, in memory: neither survives a power cut on any disk. Knows nothing of what is
//! written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use sqlite_vfs::LockKind;
use sqlite_vfs::wip::{WalIndex, WalIndexLock};

const REGION_BYTES: usize = 32_768;

/// What the connections of one file share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    connections: u64,
    locks: BTreeMap<u64, Lock>,
    regions: BTreeMap<u32, Vec<u8>>,
    slots: BTreeMap<u8, Slot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    Shared,
    Reserved,
    Exclusive,
}

#[derive(Debug, Default)]
struct Slot {
    readers: BTreeSet<u64>,
    writer: Option<u64>,
}

/// One connection's part in it, which ends with this value.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Shared,
    number: u64,
    pub(crate) lock: LockKind,
}

impl Shared {
    pub(crate) fn join(&self) -> Member {
        let mut state = self.0.lock().unwrap();
        state.connections += 1;
        Member {
            shared: self.clone(),
            number: state.connections,
            lock: LockKind::None,
        }
    }
}

impl Member {
    /// Takes or lowers the file's lock; `false` when another connection's stands against it.
    pub(crate) fn lock(&mut self, kind: LockKind) -> bool {
        let mut state = self.shared.0.lock().unwrap();
        let wanted = match kind {
            LockKind::None => None,
            LockKind::Shared => Some(Lock::Shared),
            LockKind::Reserved => Some(Lock::Reserved),
            LockKind::Pending | LockKind::Exclusive => Some(Lock::Exclusive),
        };
        let others = || state.locks.iter().filter(|(of, _)| **of != self.number);
        let may = match wanted {
            None => true,
            Some(Lock::Shared) => others().all(|(_, lock)| *lock < Lock::Exclusive),
            Some(Lock::Reserved) => others().all(|(_, lock)| *lock < Lock::Reserved),
            Some(Lock::Exclusive) => others().count() == 0,
        };
        if may {
            match wanted {
                Some(lock) => state.locks.insert(self.number, lock),
                None => state.locks.remove(&self.number),
            };
            self.lock = kind;
        }
        may
    }

    pub(crate) fn is_reserved(&self) -> bool {
        let state = self.shared.0.lock().unwrap();
        state.locks.values().any(|lock| *lock > Lock::Shared)
    }

    pub(crate) fn index(&self) -> Index {
        Index {
            shared: self.shared.clone(),
            number: self.number,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.lock(LockKind::None);
        let mut state = self.shared.0.lock().unwrap();
        for slot in state.slots.values_mut() {
            slot.leave(self.number);
        }
    }
}

impl Slot {
    fn leave(&mut self, number: u64) {
        self.readers.remove(&number);
        self.writer = self.writer.filter(|writer| *writer != number);
    }
}

/// One connection's view of the log's index. SQLite works on a copy, which is fetched and written back around locks.
pub(crate) struct Index {
    shared: Shared,
    number: u64,
}

impl WalIndex for Index {
    fn map(&mut self, region: u32) -> io::Result<[u8; REGION_BYTES]> {
        let mut state = self.shared.0.lock().unwrap();
        let region = state.regions.entry(region);
        let region = region.or_insert_with(|| vec![0; REGION_BYTES]);
        Ok(region[..].try_into().expect("a region has its size"))
    }

    fn lock(&mut self, locks: Range<u8>, lock: WalIndexLock) -> io::Result<bool> {
        let mut state = self.shared.0.lock().unwrap();
        let number = self.number;
        let may = locks.clone().all(|place| {
            let Some(slot) = state.slots.get(&place) else {
                return true;
            };
            let no_writer = slot.writer.is_none_or(|writer| writer == number);
            match lock {
                WalIndexLock::None => true,
                WalIndexLock::Shared => no_writer,
                WalIndexLock::Exclusive => {
                    no_writer && slot.readers.iter().all(|reader| *reader == number)
                }
            }
        });
        if may {
            for place in locks {
                let slot = state.slots.entry(place).or_default();
                slot.leave(number);
                match lock {
                    WalIndexLock::None => {}
                    WalIndexLock::Shared => drop(slot.readers.insert(number)),
                    WalIndexLock::Exclusive => slot.writer = Some(number),
                }
            }
        }
        Ok(may)
    }

    fn delete(self) -> io::Result<()> {
        self.shared.0.lock().unwrap().regions.clear();
        Ok(())
    }

    fn pull(&mut self, region: u32, data: &mut [u8; REGION_BYTES]) -> io::Result<()> {
        if let Some(kept) = self.shared.0.lock().unwrap().regions.get(&region) {
            data.copy_from_slice(kept);
        }
        Ok(())
    }

    fn push(&mut self, region: u32, data: &[u8; REGION_BYTES]) -> io::Result<()> {
        let mut state = self.shared.0.lock().unwrap();
        state.regions.insert(region, data.to_vec());
        Ok(())
    }
}
