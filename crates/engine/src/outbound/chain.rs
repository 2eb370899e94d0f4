//! Where a request stands in a chain of calls from function to function: how deep, and until when whoever began it
//! waits.

use std::time::Instant;

use everwarm_manifest::Isolation;

/// See the module's documentation. The default is a request from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chain {
    /// Calls from function to function before this request.
    pub depth: u8,
    /// When the wall time of some request before it is over; its own may be over sooner.
    pub deadline: Option<Instant>,
}

/// The chains of the requests that an instance works on.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    last: Chain,
    /// In a shared instance: Wasmtime doesn't say for which of its requests a guest does something.
    inside: Vec<Chain>,
}

impl Chains {
    pub(crate) fn begin(&mut self, chain: Chain, isolation: Isolation) {
        match isolation {
            Isolation::Request | Isolation::Serial => self.last = chain,
            Isolation::Concurrent => self.inside.push(chain),
        }
    }

    /// A request of a shared instance has been answered.
    pub(crate) fn end(&mut self, chain: Chain) {
        if let Some(place) = self.inside.iter().position(|inside| *inside == chain) {
            self.last = self.inside.swap_remove(place);
        }
    }

    /// The chain of what the guest does now. In a shared instance the deepest counts, so that no loop is missed, and
    /// the latest deadline, so that none is cut short.
    pub(crate) fn now(&self) -> Chain {
        let both = |a: Chain, b: &Chain| Chain {
            depth: a.depth.max(b.depth),
            deadline: match (a.deadline, b.deadline) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            },
        };
        match self.inside.split_first() {
            Some((first, others)) => others.iter().fold(*first, both),
            None => self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deepest_and_most_patient_of_the_requests_in_a_shared_instance_count() {
        let now = Instant::now();
        let chain = |depth, ms: u64| Chain {
            depth,
            deadline: Some(now + Duration::from_millis(ms)),
        };
        let mut chains = Chains::default();
        chains.begin(chain(3, 10), Isolation::Concurrent);
        chains.begin(chain(1, 20), Isolation::Concurrent);
        assert_eq!(chains.now(), chain(3, 20));
        chains.end(chain(3, 10));
        assert_eq!(chains.now(), chain(1, 20));
        chains.end(chain(1, 20));
        // What it leaves behind is still its own.
        assert_eq!(chains.now(), chain(1, 20));
    }
}
