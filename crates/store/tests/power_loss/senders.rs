//! Senders and handlers of messages that come together, power cuts among them, and a disk that is full.
//!
//! Owns the stories with many callers of a queue at a time. Knows nothing of how the store groups them.

use std::collections::BTreeSet;

use everwarm_manifest::ScheduleName;
use everwarm_store::Store as _;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::embedded::Embedded;
use everwarm_store::triggers::{
    Lease, Leased, MessageId, Outcome, Settlement, Trigger, TriggerError, TriggerId, TriggerQuota,
    Which,
};

use crate::Place;
use crate::simulated::{Lies, SimulatedDisk, Survives};
use crate::story::{NOW, QUEUE_STORY, messages, queue};
use crate::values::{MORE_THAN_ROOM, together};

const CALLERS: usize = 32;
const LEASE: Lease = Lease {
    count_max: 1,
    bytes_max: usize::MAX,
    until: UnixMillis(1_000),
};

fn new_place() -> (Place, SimulatedDisk, Embedded) {
    let place = Place::of(QUEUE_STORY, true, Lies::Never);
    let disk = place.new_disk();
    let store = place.open(&disk).unwrap();
    (place, disk, store)
}

fn schedule() -> TriggerId {
    TriggerId {
        trigger: Trigger::Schedule(ScheduleName::new("hourly").unwrap()),
        ..queue()
    }
}

/// Each sends a message.
fn send_together(
    place: &Place,
    disk: &SimulatedDisk,
    store: &Embedded,
    len: usize,
) -> Vec<Result<Vec<MessageId>, TriggerError>> {
    let queue = queue();
    let sends = (0..CALLERS).map(|_| {
        let messages = messages(1, len);
        let triggers = store.triggers();
        triggers.send(&queue, messages, TriggerQuota::NONE, NOW)
    });
    together(place, disk, sends)
}

/// Each leases a message, one after another.
fn lease_all(place: &Place, store: &Embedded) -> Vec<Leased> {
    let queue = queue();
    let lease = || {
        place
            .runtime
            .block_on(store.triggers().lease(&queue, LEASE, NOW))
            .unwrap()
    };
    (0..CALLERS).flat_map(|_| lease()).collect()
}

fn names(place: &Place, store: &Embedded, of: &TriggerId) -> BTreeSet<MessageId> {
    let listed = store.triggers().list(of, Which::Waiting, None, 100);
    let listed = place.runtime.block_on(listed).unwrap();
    listed.messages.iter().map(|kept| kept.id).collect()
}

#[test]
fn senders_that_come_together_wait_for_the_disk_together() {
    let (place, disk, store) = new_place();
    // The first of all syncs the log's head as well.
    let queue = queue();
    let first = store
        .triggers()
        .send(&queue, messages(1, 1), TriggerQuota::NONE, NOW);
    place.runtime.block_on(first).unwrap();
    let before = disk.syncs();
    for sent in send_together(&place, &disk, &store, 100) {
        sent.unwrap();
    }
    let syncs = disk.syncs() - before;
    // The first may have been begun before the second was there.
    assert!((1..=2).contains(&syncs), "{syncs} syncs");
}

#[test]
fn what_callers_of_queues_were_told_holds_whenever_the_power_ends() {
    let mut cuts = 0;
    for operation in 0.. {
        let (place, disk, store) = new_place();
        for sent in send_together(&place, &disk, &store, 100) {
            sent.unwrap();
        }
        let leased = lease_all(&place, &store);
        assert_eq!(leased.len(), CALLERS);
        disk.end_power_at(disk.operations() + operation);
        // One acknowledges, one sends, one fires a schedule, and so on.
        let (queue, schedule, triggers) = (queue(), schedule(), store.triggers());
        let settles = leased.iter().map(|leased| {
            let settlement = Settlement {
                id: leased.id,
                receipt: leased.receipt,
                outcome: Outcome::Acknowledged,
            };
            let settle = triggers.settle(&queue, vec![settlement], NOW);
            let send = triggers.send(&queue, messages(2, 50), TriggerQuota::NONE, NOW);
            let (none, up_to) = (TriggerQuota::NONE, UnixMillis(leased.id.0));
            let fire = triggers.fire(&schedule, None, up_to, messages(3, 5), none, NOW);
            futures_util::future::join3(settle, send, fire)
        });
        let told = together(&place, &disk, settles);
        let is_over = told
            .iter()
            .all(|(settled, sent, fired)| settled.is_ok() && sent.is_ok() && fired.is_ok());
        drop(store);

        let disk = disk.after_power_cut(Survives::Some(operation));
        let store = place.open(&disk).unwrap();
        let there = names(&place, &store, &queue);
        for (leased, (settled, sent, _)) in leased.iter().zip(&told) {
            if let Ok(count) = settled {
                assert_eq!(*count, 1);
                assert!(!there.contains(&leased.id), "it came back: {:?}", leased.id);
            }
            for id in sent.iter().flatten() {
                assert!(there.contains(id), "{id:?} was acknowledged and is gone");
            }
        }
        let fired = place.runtime.block_on(store.triggers().fired(&schedule));
        let fired = fired.unwrap();
        let said = told.iter().zip(&leased).filter_map(|((.., said), leased)| {
            let is_mine = *said.as_ref().ok()?;
            is_mine.then_some(UnixMillis(leased.id.0))
        });
        let said: Vec<_> = said.collect();
        assert!(said.len() <= 1, "{said:?}");
        assert!(
            said.is_empty() || fired == Some(said[0]),
            "{said:?} {fired:?}"
        );
        let runs = names(&place, &store, &schedule).len();
        assert_eq!(runs, if fired.is_some() { 3 } else { 0 });
        cuts += 1;
        if is_over {
            break;
        }
    }
    assert!(cuts > 3, "{cuts} cuts are no test");
}

#[test]
fn full_disk_is_told_to_all_whose_message_is_lost_and_what_is_kept_is_listed() {
    let (place, disk, store) = new_place();
    for sent in send_together(&place, &disk, &store, 100) {
        sent.unwrap();
    }
    disk.set_capacity(disk.used() + 4_096);
    let queue = queue();
    let before = names(&place, &store, &queue);
    let sends = send_together(&place, &disk, &store, MORE_THAN_ROOM / CALLERS);
    let kept: BTreeSet<_> = sends.iter().flatten().flatten().copied().collect();
    assert!(kept.len() < CALLERS, "all fit into what is left");
    for sent in sends {
        assert!(
            matches!(sent, Ok(_) | Err(TriggerError::DiskFull)),
            "{sent:?}"
        );
    }
    let there = names(&place, &store, &queue);
    assert_eq!(there, before.union(&kept).copied().collect());
    // None is leased that couldn't be counted as tried.
    let lease = Lease {
        count_max: 100,
        ..LEASE
    };
    let leased = place
        .runtime
        .block_on(store.triggers().lease(&queue, lease, NOW));
    if let Err(error) = &leased {
        assert!(matches!(error, TriggerError::DiskFull), "{error:?}");
        let stands = store.triggers().standing(&queue, NOW);
        assert_eq!(place.runtime.block_on(stands).unwrap().leased, 0);
    }
    disk.set_capacity(usize::MAX);
    for sent in send_together(&place, &disk, &store, 3_000) {
        sent.unwrap();
    }
    assert_eq!(names(&place, &store, &queue).len(), there.len() + CALLERS);
}
