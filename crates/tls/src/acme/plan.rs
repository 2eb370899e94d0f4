//! Which certificates are ordered now, and when to look again. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::unix_s;
use crate::certificate::Certificate;

/// Orders under way at once.
const ORDERS_AT_ONCE: usize = 4;
/// Orders in an hour. Let's Encrypt allows 300 new ones in three, and 50 certificates a week below one domain.
const ORDERS_PER_HOUR: usize = 50;
/// Hosts with a certificate by ACME.
const CERTIFICATES_MAX: usize = 1_000;
/// How long an order that nobody saw the end of keeps its host from the next one.
const UNFINISHED_S: u64 = 60;
/// The wait after a first failure; it doubles with each. Let's Encrypt allows five failures an hour for a host.
const BACK_OFF_S: u64 = 600;
/// The longest wait.
const BACK_OFF_S_MAX: u64 = 24 * HOUR_S;
/// A new certificate isn't renewed for so long, whatever its dates say.
const RENEW_AFTER_MIN: Duration = Duration::from_secs(HOUR_S);
const HOUR_S: u64 = 3_600;

/// When a certificate that is there is to be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    renew_at_s: u64,
}

impl Held {
    /// At two thirds of its life, but not at once: an authority whose dates are odd isn't asked in a loop.
    pub(super) fn new(certificate: &Certificate, had_at: SystemTime) -> Self {
        let left = certificate.not_after().duration_since(had_at);
        let rest = RENEW_AFTER_MIN.min(left.unwrap_or_default() / 2);
        Self {
            renew_at_s: unix_s(certificate.two_thirds().max(had_at + rest)),
        }
    }
}

/// What restarts have to know, so that they don't order what was ordered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// When the orders of the last hour were begun.
    begun_s: Vec<u64>,
    /// Hosts that are waited for.
    hosts: BTreeMap<String, Waiting>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    failures: u32,
    retry_at_s: u64,
}

impl Memory {
    /// Notes an order before it is made.
    pub(super) fn begin(&mut self, now: u64, host: &str) {
        self.begun_s.push(now);
        let waiting = self.hosts.entry(host.to_owned()).or_default();
        waiting.retry_at_s = now + UNFINISHED_S;
    }

    pub(super) fn succeed(&mut self, host: &str) {
        self.hosts.remove(host);
    }

    /// Notes a failure, and says when to try again.
    pub(super) fn fail(&mut self, now: u64, host: &str) -> u64 {
        let waiting = self.hosts.entry(host.to_owned()).or_default();
        let doubled = BACK_OFF_S.saturating_mul(1 << waiting.failures.min(16));
        waiting.failures = waiting.failures.saturating_add(1);
        waiting.retry_at_s = now + doubled.min(BACK_OFF_S_MAX);
        waiting.retry_at_s
    }

    /// Forgets what no longer counts. A clock that was ahead doesn't hold orders back for long.
    pub(super) fn forget(&mut self, now: u64, wanted: &BTreeSet<String>) {
        self.begun_s
            .retain(|begun| now < begun + HOUR_S && *begun <= now);
        self.hosts.retain(|host, waiting| {
            waiting.retry_at_s = waiting.retry_at_s.min(now + BACK_OFF_S_MAX);
            // A host that goes and comes back has to wait all the same.
            wanted.contains(host) || waiting.retry_at_s > now
        });
    }

    fn failures(&self, host: &str) -> u32 {
        self.hosts.get(host).map_or(0, |waiting| waiting.failures)
    }

    fn retry_at(&self, host: &str) -> u64 {
        self.hosts.get(host).map_or(0, |waiting| waiting.retry_at_s)
    }
}

/// See [`plan`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) due: Vec<String>,
    pub(super) wake_at_s: u64,
}

/// The orders to be made now. Renewals come first, so that nobody who claims host after host keeps others from theirs;
/// then hosts without a certificate, those first whose orders failed least.
pub(super) fn plan(
    now: u64,
    wanted: &BTreeSet<String>,
    held: &BTreeMap<&str, &Held>,
    running: &BTreeSet<&str>,
    memory: &Memory,
) -> Plan {
    let mut due = Vec::new();
    let mut wake_at_s = u64::MAX;
    let mut room = CERTIFICATES_MAX.saturating_sub(held.len());
    for host in wanted.iter().filter(|host| !running.contains(&***host)) {
        let renew_at = match held.get(&**host) {
            Some(held) => held.renew_at_s,
            None if room == 0 => continue,
            None => {
                room -= 1;
                0
            }
        };
        let at = renew_at.max(memory.retry_at(host));
        if at <= now {
            let is_new = !held.contains_key(&**host);
            due.push((is_new, memory.failures(host), renew_at, host));
        } else {
            wake_at_s = wake_at_s.min(at);
        }
    }
    due.sort_unstable();
    let this_hour = ORDERS_PER_HOUR.saturating_sub(memory.begun_s.len());
    let at_once = ORDERS_AT_ONCE.saturating_sub(running.len());
    if this_hour == 0
        && let Some(first) = memory.begun_s.iter().min()
    {
        // Nothing can be ordered sooner.
        wake_at_s = first + HOUR_S;
    }
    // Where too many are under way, the end of one is what wakes.
    due.truncate(this_hour.min(at_once));
    Plan {
        due: due.into_iter().map(|(.., host)| host.clone()).collect(),
        wake_at_s,
    }
}

/// Whether an authority could vouch for a name at all.
pub(super) fn is_public_name(name: &str) -> bool {
    let is_name = name.contains('.') && !name.contains('*') && name.parse::<IpAddr>().is_err();
    is_name && !name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_000_000_000;

    fn hosts(names: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
        let names = names.into_iter();
        names.map(|name| format!("h{name:04}.example")).collect()
    }

    fn planned(now: u64, wanted: &BTreeSet<String>, memory: &Memory) -> Plan {
        plan(now, wanted, &BTreeMap::new(), &BTreeSet::new(), memory)
    }

    #[test]
    fn some_are_ordered_at_once_and_no_more_than_an_hour_may_have() {
        let (wanted, mut memory, mut ordered) = (hosts(0..200), Memory::default(), 0);
        for second in 0..HOUR_S {
            let plan = planned(NOW + second, &wanted, &memory);
            assert!(plan.due.len() <= ORDERS_AT_ONCE);
            ordered += plan.due.len();
            for host in plan.due {
                memory.begin(NOW + second, &host);
                memory.fail(NOW + second, &host);
            }
        }
        assert_eq!(ordered, ORDERS_PER_HOUR);
        assert_eq!(planned(NOW + 60, &wanted, &memory).wake_at_s, NOW + HOUR_S);
        memory.forget(NOW + HOUR_S, &wanted);
        assert!(!planned(NOW + HOUR_S, &wanted, &memory).due.is_empty());
    }

    #[test]
    fn failures_wait_twice_as_long_each_time_up_to_a_day_and_a_success_ends_it() {
        let (wanted, mut memory) = (hosts([1]), Memory::default());
        let host = wanted.first().unwrap();
        let mut waits = Vec::new();
        for _ in 0..12 {
            memory.begin(NOW, host);
            let retry_at = memory.fail(NOW, host);
            assert_eq!(planned(retry_at - 1, &wanted, &memory).wake_at_s, retry_at);
            assert_eq!(planned(retry_at, &wanted, &memory).due.len(), 1);
            waits.push(retry_at - NOW);
        }
        assert_eq!(waits[..3], [600, 1_200, 2_400]);
        assert_eq!(waits.last(), Some(&BACK_OFF_S_MAX));
        memory.succeed(host);
        assert_eq!(memory.retry_at(host), 0);
    }

    #[test]
    fn order_whose_end_nobody_saw_is_not_made_again_at_once() {
        let (wanted, mut memory) = (hosts([1]), Memory::default());
        memory.begin(NOW, wanted.first().unwrap());
        let memory: Memory =
            serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
        assert!(planned(NOW, &wanted, &memory).due.is_empty());
        assert_eq!(planned(NOW + UNFINISHED_S, &wanted, &memory).due.len(), 1);
    }

    #[test]
    fn renewals_come_before_new_hosts_and_those_that_fail_come_last() {
        let wanted = hosts(0..6);
        let names: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let at = |renew_at_s| Held { renew_at_s };
        let (older, old, good) = (at(NOW - 2), at(NOW - 1), at(NOW + 9));
        let held = BTreeMap::from([(names[0], &old), (names[1], &good), (names[4], &older)]);
        let mut memory = Memory::default();
        memory.fail(NOW - HOUR_S, names[2]);
        let plan = plan(NOW, &wanted, &held, &BTreeSet::new(), &memory);
        assert_eq!(plan.due, [names[4], names[0], names[3], names[5]]);
        assert_eq!(plan.wake_at_s, NOW + 9);
        assert_eq!(
            planned(NOW, &hosts([2, 3]), &memory).due,
            [names[3], names[2]]
        );
    }

    #[test]
    fn clock_that_was_ahead_does_not_hold_orders_back_for_ever() {
        let (wanted, mut memory) = (hosts([1]), Memory::default());
        let host = wanted.first().unwrap();
        memory.begin(NOW * 2, host);
        memory.fail(NOW * 2, host);
        memory.forget(NOW, &wanted);
        assert!(memory.begun_s.is_empty());
        assert!(memory.retry_at(host) <= NOW + BACK_OFF_S_MAX);
    }

    #[test]
    fn names_that_no_authority_vouches_for_are_not_asked_for() {
        assert!(is_public_name("shop.example.com"));
        for name in [
            "localhost",
            "shop.localhost",
            "127.0.0.1",
            "*.example.com",
            "intra",
        ] {
            assert!(!is_public_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn only_what_is_wanted_is_ordered_and_never_twice(
            wanted in prop::collection::btree_set(0_usize..40, 0..40),
            running in prop::collection::btree_set(0_usize..40, 0..4),
            waiting in prop::collection::btree_set(0_usize..40, 0..40),
        ) {
            let (wanted, running) = (hosts(wanted), hosts(running));
            let mut memory = Memory::default();
            let waiting = hosts(waiting);
            for host in &waiting {
                memory.fail(NOW, host);
            }
            let under_way: BTreeSet<&str> = running.iter().map(String::as_str).collect();
            let plan = plan(NOW, &wanted, &BTreeMap::new(), &under_way, &memory);
            prop_assert!(plan.due.len() + running.len() <= ORDERS_AT_ONCE.max(running.len()));
            for host in &plan.due {
                prop_assert!(wanted.contains(host));
                prop_assert!(!running.contains(host) && !waiting.contains(host));
            }
        }
    }
}
