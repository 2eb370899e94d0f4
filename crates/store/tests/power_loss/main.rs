//! Power loss: the embedded store on a disk that forgets what wasn't synced, cut at every operation.
//!
//! Owns where the power ends and what must hold then: everything that was acknowledged is there, what wasn't is there
//! whole or not at all, and the story goes on from there to the same end. Killing a process shows none of this: what it
//! wrote is in the system's memory and survives it.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

mod change;
mod full;
mod senders;
mod shared;
mod simulated;
mod story;
mod together;
mod values;
mod vfs;

use std::path::Path;
use std::sync::Arc;

use everwarm_store::embedded::Embedded;
use everwarm_store::embedded::disk::Medium;

use simulated::{Lies, SimulatedDisk, Survives};
use story::{BLOB_STORY, KV_STORY, QUEUE_STORY, SQL_STORY, STORY, Step, seen};

/// After so many steps the store is closed and opened again, which writes the log back into the catalog.
const RESTART_AFTER: usize = 12;

/// What survives each cut, all in turn: the chances differ by the place of the cut.
const SURVIVES: [Survives; 4] = [
    Survives::Nothing,
    Survives::Everything,
    Survives::Some(1),
    Survives::Some(2),
];

/// A store that doesn't hold what it promised.
#[derive(Debug)]
struct Broken(String);

/// One place for stores; the disk in it changes.
struct Place {
    root: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    story: &'static [Step],
    synchronous: bool,
    lies: Lies,
}

impl Place {
    fn new(synchronous: bool, lies: Lies) -> Self {
        Self::of(STORY, synchronous, lies)
    }

    fn of(story: &'static [Step], synchronous: bool, lies: Lies) -> Self {
        Self {
            story,
            root: tempfile::tempdir().unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
            synchronous,
            lies,
        }
    }

    fn root(&self) -> &Path {
        self.root.path()
    }

    fn new_disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new(self.root());
        disk.lie(self.lies);
        disk
    }

    fn open(&self, disk: &SimulatedDisk) -> Result<Embedded, Broken> {
        vfs::mount(self.root(), disk);
        let medium = Medium {
            disk: Arc::new(disk.clone()),
            vfs: Some(vfs::NAME.to_owned()),
            synchronous: self.synchronous,
        };
        Embedded::open_on(self.root(), medium).map_err(|error| Broken(format!("{error:?}")))
    }

    /// What is seen after each step when nothing fails, the empty store first, and the operations that it all took.
    fn undisturbed(&self) -> (Vec<String>, u64) {
        let disk = self.new_disk();
        let mut store = self.open(&disk).unwrap();
        let mut after = vec![self.see(&store).unwrap()];
        for (index, step) in self.story.iter().enumerate() {
            if index == RESTART_AFTER {
                drop(store);
                store = self.open(&disk).unwrap();
            }
            self.runtime.block_on(step.run(&store)).unwrap();
            after.push(self.see(&store).unwrap());
        }
        drop(store);
        (after, disk.operations())
    }

    fn see(&self, store: &Embedded) -> Result<String, Broken> {
        let seen = self.runtime.block_on(seen(store));
        seen.map_err(|error| Broken(format!("what is there can't be read: {error:?}")))
    }

    /// Runs the story until the power ends, and returns how many steps were acknowledged.
    fn run_until_cut(&self, disk: &SimulatedDisk) -> usize {
        let Ok(mut store) = self.open(disk) else {
            return 0;
        };
        for (index, step) in self.story.iter().enumerate() {
            if index == RESTART_AFTER {
                drop(store);
                let Ok(opened) = self.open(disk) else {
                    return index;
                };
                store = opened;
            }
            if self.runtime.block_on(step.run(&store)).is_err() {
                return index;
            }
        }
        self.story.len()
    }

    /// Checks what is there when the power is back, and goes on from there.
    fn go_on(
        &self,
        disk: &SimulatedDisk,
        acknowledged: usize,
        after: &[String],
    ) -> Result<(), Broken> {
        let store = self.open(disk)?;
        let seen = self.see(&store)?;
        let next = after.get(acknowledged + 1);
        let done = if seen == after[acknowledged] {
            acknowledged
        } else if Some(&seen) == next {
            acknowledged + 1
        } else {
            return Err(Broken(format!(
                "after {acknowledged} acknowledged steps there is neither what they left nor what the next leaves: \
                 {seen}\nwhat they left: {}\nwhat the next leaves: {next:?}",
                after[acknowledged]
            )));
        };
        // Its sender doesn't know whether it arrived.
        let usage = self.story.get(acknowledged).copied();
        if let Some(step @ Step::Usage(_)) = usage {
            self.runtime
                .block_on(step.run(&store))
                .map_err(|error| Broken(format!("{step:?} again: {error:?}")))?;
        }
        for step in &self.story[done..] {
            self.runtime
                .block_on(step.run(&store))
                .map_err(|error| Broken(format!("{step:?} afterwards: {error:?}")))?;
        }
        let end = self.see(&store)?;
        if Some(&end) != after.last() {
            return Err(Broken(format!("the story has another end: {end}")));
        }
        Ok(())
    }

    /// The first cut that breaks the store.
    fn first_broken(&self, survives: &[Survives]) -> Option<(u64, Survives, Broken)> {
        self.first_broken_from(0, survives)
    }

    /// As [`Self::first_broken`], from an operation on.
    fn first_broken_from(
        &self,
        first: u64,
        survives: &[Survives],
    ) -> Option<(u64, Survives, Broken)> {
        let (after, operations) = self.undisturbed();
        assert!(operations > 100, "{operations} operations are no story");
        println!("{operations} places to cut");
        for operation in first..=operations {
            let disk = self.new_disk();
            disk.end_power_at(operation);
            // The same whatever survives.
            let acknowledged = self.run_until_cut(&disk);
            for survives in survives {
                let survives = match *survives {
                    Survives::Some(number) => Survives::Some(number ^ (operation << 8)),
                    other => other,
                };
                let disk = disk.after_power_cut(survives);
                if let Err(broken) = self.go_on(&disk, acknowledged, &after) {
                    return Some((operation, survives, broken));
                }
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        vfs::unmount(self.root());
    }
}

#[test]
fn what_was_acknowledged_survives_power_loss_at_every_operation() {
    let broken = Place::new(true, Lies::Never).first_broken(&SURVIVES);
    assert!(broken.is_none(), "{broken:?}");
}

#[test]
fn values_that_were_acknowledged_survive_power_loss_at_every_operation() {
    survives_once_open(KV_STORY, &SURVIVES);
}

#[test]
fn rows_that_were_acknowledged_survive_power_loss_at_every_operation() {
    survives_once_open(SQL_STORY, &SURVIVES[..3]);
}

#[test]
fn messages_that_were_acknowledged_survive_power_loss_at_every_operation() {
    survives_once_open(QUEUE_STORY, &SURVIVES[..3]);
}

#[test]
fn blobs_that_were_acknowledged_survive_power_loss_at_every_operation() {
    survives_once_open(BLOB_STORY, &SURVIVES[..3]);
}

/// The first of the stories is of what is done until the store is open, too.
fn survives_once_open(story: &'static [Step], survives: &[Survives]) {
    let place = Place::of(story, true, Lies::Never);
    let disk = place.new_disk();
    drop(place.open(&disk).unwrap());
    let broken = place.first_broken_from(disk.operations(), survives);
    assert!(broken.is_none(), "{broken:?}");
}

/// Without these the tests above would pass on any store.
fn is_found_out(place: &Place) {
    let broken = place.first_broken(&[Survives::Nothing]);
    let (operation, _, Broken(why)) = broken.expect("a store on this disk breaks its promise");
    println!("the power ended at operation {operation}: {why}");
}

#[test]
fn store_that_does_not_wait_for_the_disk_is_found_out() {
    is_found_out(&Place::new(false, Lies::Never));
}

#[test]
fn values_that_do_not_wait_for_the_disk_are_found_out() {
    is_found_out(&Place::of(KV_STORY, false, Lies::Never));
}

#[test]
fn rows_that_do_not_wait_for_the_disk_are_found_out() {
    is_found_out(&Place::of(SQL_STORY, false, Lies::Never));
}

#[test]
fn messages_that_do_not_wait_for_the_disk_are_found_out() {
    is_found_out(&Place::of(QUEUE_STORY, false, Lies::Never));
}

#[test]
fn blobs_that_do_not_wait_for_the_disk_are_found_out() {
    is_found_out(&Place::of(BLOB_STORY, false, Lies::Never));
    is_found_out(&Place::of(BLOB_STORY, true, Lies::AboutArtifacts));
    is_found_out(&Place::of(BLOB_STORY, true, Lies::AboutFolders));
}

#[test]
fn artifacts_that_are_not_synced_are_found_out() {
    is_found_out(&Place::new(true, Lies::AboutArtifacts));
}

#[test]
fn folders_that_are_not_synced_are_found_out() {
    is_found_out(&Place::new(true, Lies::AboutFolders));
}
