//! Writers that come together: they share a wait for the disk, and a power cut or a full disk is told to each of them.
//!
//! Owns the stories with more than one writer at a time. Knows nothing of how the store groups them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::Poll;

use everwarm_store::accounts::{AccountError, Accounts as _, Token, TokenId};
use everwarm_store::audit::{Action, Audit as _};
use everwarm_store::embedded::Embedded;
use futures_util::future::join_all;

use crate::simulated::{Lies, SimulatedDisk, Survives};
use crate::story::{note, tenant, token};
use crate::{Place, Step};

const WRITERS: u8 = 64;
/// The writer that asks for something that can't be.
const WRONG: u8 = 7;

/// Lets all writers ask before the disk does anything for one of them.
fn ask_together(
    place: &Place,
    disk: &SimulatedDisk,
    store: &Embedded,
    tokens: Vec<Token>,
) -> Vec<Result<(), AccountError>> {
    let puts = tokens.into_iter().map(|token| {
        let note = note(Action::PutToken, &token.id.to_string());
        store.put_token(token, 1_000, note)
    });
    // Unconstrained: the runtime makes a task that asks for more than 128 things come back for the rest of them.
    let mut all = tokio::task::unconstrained(join_all(puts));
    let mut held = Some(disk.hold());
    place.runtime.block_on(std::future::poll_fn(|context| {
        let polled = Pin::new(&mut all).poll(context);
        held = None;
        match polled {
            Poll::Ready(results) => Poll::Ready(results),
            Poll::Pending => Poll::Pending,
        }
    }))
}

fn writers() -> Vec<Token> {
    (0..WRITERS).map(token).collect()
}

fn ids(place: &Place, store: &Embedded) -> BTreeSet<TokenId> {
    let owner = tenant();
    let tokens = store.tokens(Some(&owner));
    let tokens = place.runtime.block_on(tokens).unwrap();
    tokens.into_iter().map(|token| token.id).collect()
}

fn place_with_tenant() -> (Place, SimulatedDisk, Embedded) {
    let place = Place::new(true, Lies::Never);
    let disk = place.new_disk();
    let store = place.open(&disk).unwrap();
    let made = place.runtime.block_on(Step::Tenant.run(&store));
    made.unwrap();
    (place, disk, store)
}

#[test]
fn writers_that_come_together_wait_for_the_disk_together() {
    let (place, disk, store) = place_with_tenant();
    let before = disk.syncs();
    for put in ask_together(&place, &disk, &store, writers()) {
        put.unwrap();
    }
    let syncs = disk.syncs() - before;
    // The first may have been begun before the second was there.
    assert!((1..=2).contains(&syncs), "{syncs} syncs");
    assert_eq!(ids(&place, &store).len(), usize::from(WRITERS));
}

#[test]
fn one_that_is_refused_takes_nothing_of_its_neighbours_with_it() {
    let (place, disk, store) = place_with_tenant();
    let mut tokens = writers();
    tokens[usize::from(WRONG)].tenant = Some(everwarm_manifest::TenantId::new("nobody").unwrap());
    let puts = ask_together(&place, &disk, &store, tokens);
    for (marker, put) in (0..).zip(&puts) {
        if marker == WRONG {
            assert!(matches!(put, Err(AccountError::NoTenant { .. })), "{put:?}");
        } else {
            put.as_ref().unwrap();
        }
    }
    let kept = ids(&place, &store);
    assert_eq!(kept.len(), usize::from(WRITERS) - 1);
    assert!(!kept.contains(&token(WRONG).id));
}

#[test]
fn what_writers_together_were_told_holds_whenever_the_power_ends() {
    let mut cuts = 0;
    for operation in 0.. {
        let (place, disk, store) = place_with_tenant();
        disk.end_power_at(disk.operations() + operation);
        let puts = ask_together(&place, &disk, &store, writers());
        let is_over = puts.iter().all(Result::is_ok);
        drop(store);
        let disk = disk.after_power_cut(Survives::Some(operation));
        let store = place.open(&disk).unwrap();
        let kept = ids(&place, &store);
        for (marker, put) in (0..).zip(&puts) {
            assert!(
                put.is_err() || kept.contains(&token(marker).id),
                "token {marker} was acknowledged and is gone: power ended at {operation}"
            );
        }
        // A change and its entry of the log are one.
        let entries = place.runtime.block_on(store.entries(None, None, 1_000));
        let entries = entries
            .unwrap()
            .into_iter()
            .filter(|entry| entry.note.action == Action::PutToken);
        let told: BTreeSet<String> = entries.map(|entry| entry.note.subject).collect();
        let there: BTreeSet<String> = kept.iter().map(ToString::to_string).collect();
        assert_eq!(told, there);
        cuts += 1;
        if is_over {
            break;
        }
    }
    assert!(cuts > 3, "{cuts} cuts are no test");
}

#[test]
fn full_disk_is_told_to_all_whose_change_is_lost_and_passes() {
    let (place, disk, store) = place_with_tenant();
    disk.set_capacity(disk.used() + 4_096);
    let puts = ask_together(&place, &disk, &store, writers());
    let refused = puts.iter().filter(|put| put.is_err()).count();
    assert!(refused > 0, "64 tokens fit into a page");
    for (marker, put) in (0..).zip(&puts) {
        assert_eq!(put.is_ok(), ids(&place, &store).contains(&token(marker).id));
        if let Err(error) = put {
            let said = format!("{error:?}");
            assert!(said.contains("full"), "{said}");
        }
    }
    // What is there can be read, and once there is room again, writing goes on.
    disk.set_capacity(usize::MAX);
    for put in ask_together(&place, &disk, &store, writers()) {
        put.unwrap();
    }
    assert_eq!(ids(&place, &store).len(), usize::from(WRITERS));
}
