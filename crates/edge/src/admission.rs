//! Who may come in: bounds on the requests that are worked on at once, and on how many come a second.
//!
//! Owns the counting. A [`Permit`] is held until the books of its request close, which is after
//! the last byte of the response's body and after background work: until then it holds an instance.

mod rate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

pub use rate::Rate;

/// Counts what is inside, up to a bound.
#[derive(Debug)]
pub struct Gate {
    inside: AtomicU32,
    bound: AtomicU32,
}

impl Gate {
    /// A gate that lets `bound` in at once.
    pub fn new(bound: u32) -> Self {
        Self {
            inside: AtomicU32::new(0),
            bound: AtomicU32::new(bound),
        }
    }

    /// How many are inside.
    pub fn inside(&self) -> u32 {
        self.inside.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.inside() >= self.bound.load(Ordering::Relaxed)
    }

    fn enter(&self) -> bool {
        if self.inside.fetch_add(1, Ordering::Relaxed) < self.bound.load(Ordering::Relaxed) {
            return true;
        }
        self.leave();
        false
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a tenant's functions may use together.
#[derive(Debug)]
pub struct TenantGate {
    requests: Gate,
    memory_bytes: AtomicU64,
    memory_bytes_max: AtomicU64,
    rate: Rate,
}

impl TenantGate {
    /// A gate that is never shut, until bounds are set.
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            requests: Gate::new(u32::MAX),
            memory_bytes: AtomicU64::new(0),
            memory_bytes_max: AtomicU64::new(u64::MAX),
            rate: Rate::unbounded(Instant::now()),
        })
    }

    /// Lets in `requests_max` at once, whose instances may have `memory_bytes_max` together, and `rate` a second,
    /// from now on. Who is in stays in.
    pub fn set(&self, requests_max: u32, memory_bytes_max: u64, rate: Option<u32>) {
        self.requests.bound.store(requests_max, Ordering::Relaxed);
        self.memory_bytes_max
            .store(memory_bytes_max, Ordering::Relaxed);
        self.rate.set_per_second(rate);
    }

    /// Requests that are being worked on.
    pub fn inside(&self) -> u32 {
        self.requests.inside()
    }

    fn enter(&self, memory_bytes: u64, toll: Toll) -> Result<(), Refusal> {
        if !self.requests.enter() {
            return Err(Refusal::Tenant);
        }
        let before = self.memory_bytes.fetch_add(memory_bytes, Ordering::Relaxed);
        let max = self.memory_bytes_max.load(Ordering::Relaxed);
        let fits = before.saturating_add(memory_bytes) <= max;
        // The last to be asked: what it lets in counts, also when somebody else refuses then.
        let refusal = if !fits {
            Some(Refusal::TenantMemory)
        } else if !toll.is_paid(&self.rate) {
            Some(Refusal::TenantRate)
        } else {
            None
        };
        refusal.map_or(Ok(()), |refusal| {
            self.leave(memory_bytes);
            Err(refusal)
        })
    }

    fn leave(&self, memory_bytes: u64) {
        self.memory_bytes.fetch_sub(memory_bytes, Ordering::Relaxed);
        self.requests.leave();
    }
}

/// Whether the tenant's rate is to count a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toll {
    /// It comes now.
    Due(Instant),
    /// It was counted when it came in for the first time.
    Paid,
}

impl Toll {
    fn is_paid(self, rate: &Rate) -> bool {
        match self {
            Self::Due(now) => rate.allows(now),
            Self::Paid => true,
        }
    }
}

/// Why a request wasn't let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The node works on as many requests as it may.
    Node,
    /// The function does.
    Function,
    /// The tenant's functions do, together.
    Tenant,
    /// The tenant's instances may have no more memory.
    TenantMemory,
    /// The tenant's functions get more requests a second than they may.
    TenantRate,
}

/// The gates that a request has to pass, besides the node's.
#[derive(Debug)]
pub struct Gates {
    /// The function's.
    pub function: Gate,
    /// The tenant's.
    pub tenant: Arc<TenantGate>,
    /// Memory that a request counts for at the tenant's gate.
    pub memory_bytes: u64,
}

/// What has gates. Permits hold it, so that nothing more has to be counted with each request.
pub trait Gated {
    /// The node's gate.
    fn node(&self) -> &Gate;
    /// The gates of what is asked for.
    fn gates(&self) -> &Gates;
}

/// The right to be worked on; given back when dropped.
#[derive(Debug)]
pub struct Permit<G: Gated>(Option<G>);

impl<G: Gated> Permit<G> {
    /// Enters all gates or none.
    ///
    /// # Errors
    /// The first gate that is shut, from the outermost inwards, and what was asked for.
    pub fn take(gated: G, toll: Toll) -> Result<Self, (Refusal, G)> {
        match enter(gated.node(), gated.gates(), toll) {
            Ok(()) => Ok(Self(Some(gated))),
            Err(refusal) => Err((refusal, gated)),
        }
    }

    /// What was asked for.
    pub fn gated(&self) -> &G {
        self.0.as_ref().expect("it is taken out only by value")
    }

    /// Gives the permit back, and what was asked for.
    pub fn give_back(mut self) -> G {
        let gated = self.0.take().expect("it is taken out only by value");
        leave(&gated);
        gated
    }
}

impl<G: Gated> Drop for Permit<G> {
    fn drop(&mut self) {
        if let Some(gated) = &self.0 {
            leave(gated);
        }
    }
}

/// Whether a request may come in that is answered at once: nobody is inside with it, so nobody counts it there.
///
/// # Errors
/// The first gate that is shut.
pub fn pass(node: &Gate, gates: &Gates, toll: Toll) -> Result<(), Refusal> {
    let tenant = &gates.tenant;
    if node.is_full() {
        Err(Refusal::Node)
    } else if gates.function.is_full() {
        Err(Refusal::Function)
    } else if tenant.requests.is_full() {
        Err(Refusal::Tenant)
    } else if !toll.is_paid(&tenant.rate) {
        Err(Refusal::TenantRate)
    } else {
        Ok(())
    }
}

fn enter(node: &Gate, gates: &Gates, toll: Toll) -> Result<(), Refusal> {
    if !node.enter() {
        return Err(Refusal::Node);
    }
    if !gates.function.enter() {
        node.leave();
        return Err(Refusal::Function);
    }
    gates
        .tenant
        .enter(gates.memory_bytes, toll)
        .inspect_err(|_| {
            gates.function.leave();
            node.leave();
        })
}

fn leave(asked: &impl Gated) {
    let gates = asked.gates();
    gates.tenant.leave(gates.memory_bytes);
    gates.function.leave();
    asked.node().leave();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gates(function: u32, tenant: &Arc<TenantGate>, memory_bytes: u64) -> Gates {
        Gates {
            function: Gate::new(function),
            tenant: Arc::clone(tenant),
            memory_bytes,
        }
    }

    fn bounded(requests_max: u32, memory_bytes_max: u64, rate: Option<u32>) -> Arc<TenantGate> {
        let gate = TenantGate::open();
        gate.set(requests_max, memory_bytes_max, rate);
        gate
    }

    impl Gated for (&Gate, &Gates) {
        fn node(&self) -> &Gate {
            self.0
        }

        fn gates(&self) -> &Gates {
            self.1
        }
    }

    fn due() -> Toll {
        Toll::Due(Instant::now())
    }

    fn refusal(node: &Gate, gates: &Gates) -> Option<Refusal> {
        let permit = Permit::take((node, gates), due());
        permit.err().map(|(refusal, _)| refusal)
    }

    #[test]
    fn gate_that_is_shut_gives_the_others_their_places_back() {
        let node = Gate::new(10);
        let cases = [
            (gates(1, &TenantGate::open(), 1), Refusal::Function),
            (gates(9, &bounded(1, 9, None), 1), Refusal::Tenant),
            (gates(9, &bounded(9, 7, None), 4), Refusal::TenantMemory),
            (gates(9, &bounded(9, 9, Some(1)), 1), Refusal::TenantRate),
        ];
        for (gates, expected) in cases {
            let permit = Permit::take((&node, &gates), due()).unwrap();
            assert_eq!(refusal(&node, &gates), Some(expected));
            let again = Permit::take((&node, &gates), Toll::Paid);
            assert_eq!(again.is_ok(), expected == Refusal::TenantRate);
            drop(again);
            let inside = (
                node.inside(),
                gates.function.inside(),
                gates.tenant.inside(),
            );
            assert_eq!(inside, (1, 1, 1));
            drop(permit);
            let inside = (
                node.inside(),
                gates.function.inside(),
                gates.tenant.inside(),
            );
            assert_eq!(inside, (0, 0, 0));
            assert_eq!(gates.tenant.memory_bytes.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn who_passes_is_let_in_as_all_others_and_stays_nowhere() {
        let node = Gate::new(10);
        for (gates, expected) in [
            (gates(1, &TenantGate::open(), 0), Some(Refusal::Function)),
            (gates(9, &bounded(1, 9, None), 0), Some(Refusal::Tenant)),
            (
                gates(9, &bounded(9, 9, Some(1)), 0),
                Some(Refusal::TenantRate),
            ),
            (gates(9, &bounded(9, 9, None), 0), None),
        ] {
            let _permit = Permit::take((&node, &gates), due()).unwrap();
            assert_eq!(pass(&node, &gates, due()).err(), expected);
            assert_eq!((node.inside(), gates.tenant.inside()), (1, 1));
        }
        let shut = Gate::new(0);
        let open = gates(9, &TenantGate::open(), 0);
        assert_eq!(pass(&shut, &open, due()), Err(Refusal::Node));
    }

    #[test]
    fn tenants_do_not_take_each_others_places() {
        let node = Gate::new(10);
        let (one, two) = (
            gates(9, &bounded(1, 9, None), 1),
            gates(9, &bounded(1, 9, None), 1),
        );
        let _permit = Permit::take((&node, &one), due()).unwrap();
        assert_eq!(refusal(&node, &one), Some(Refusal::Tenant));
        assert_eq!(refusal(&node, &two), None);
    }

    proptest! {
        #[test]
        fn gates_never_hold_more_than_their_bounds(
            steps in prop::collection::vec(any::<bool>(), 0..200),
            tenant_max in 1_u32..6,
            memory_max in 1_u64..12,
        ) {
            let node = Gate::new(5);
            let tenant = bounded(tenant_max, memory_max, None);
            let gates = gates(3, &tenant, 2);
            let mut permits = Vec::new();
            for enter in steps {
                if enter {
                    permits.extend(Permit::take((&node, &gates), due()));
                } else {
                    permits.pop();
                }
                let held = permits.len();
                prop_assert!(held <= 3 && held <= tenant_max as usize);
                prop_assert!(2 * held as u64 <= memory_max);
                prop_assert_eq!(node.inside() as usize, held);
                prop_assert_eq!(gates.function.inside() as usize, held);
                prop_assert_eq!(tenant.inside() as usize, held);
            }
        }
    }
}
