//! Where a request stands in a chain of calls from function to function: how deep, until when whoever began it waits,
//! and what it is called.

use std::time::Instant;

use everwarm_manifest::Isolation;

use crate::RequestId;
use crate::trace::Context;

/// See the module's documentation. The default is a request from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Calls from function to function before this request.
    pub depth: u8,
    /// When the wall time of some request before it is over; its own may be over sooner.
    pub deadline: Option<Instant>,
    /// The request.
    pub id: RequestId,
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
    pub(crate) fn end(&mut self, chain: &Chain) {
        if let Some(place) = self.inside.iter().position(|inside| inside == chain) {
            self.last = self.inside.swap_remove(place);
        }
    }

    /// How deep what the guest does now is in the chain. In a shared instance the deepest counts, so that no loop is
    /// missed.
    pub(crate) fn depth(&self) -> u8 {
        let inside = self.inside.iter().map(|chain| chain.depth).max();
        inside.unwrap_or(self.last.depth)
    }

    /// Until when what the guest does now is waited for. In a shared instance the latest counts, so that nothing is cut
    /// short.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let latest = |a: Option<Instant>, b: Option<Instant>| Some(a?.max(b?));
        let inside = self.inside.iter().map(|chain| chain.deadline);
        inside.reduce(latest).unwrap_or(self.last.deadline)
    }

    /// The request that the guest works on now, if it can't be another one.
    pub(crate) fn request(&self) -> Option<&RequestId> {
        match &*self.inside {
            [] => Some(&self.last.id),
            [only] => Some(&only.id),
            _ => None,
        }
    }

    /// As [`Self::request`]; where there are several, the one whose own span this is.
    pub(crate) fn request_of(&self, said: Option<Context>) -> Option<&RequestId> {
        self.request().or_else(|| {
            let mut ids = self.inside.iter().map(|chain| &chain.id);
            let own = said?;
            ids.find(|id| id.context().span == own.span)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deepest_and_most_patient_of_the_requests_in_a_shared_instance_count() {
        let now = Instant::now();
        let chain = |depth: u8, ms: u64| Chain {
            depth,
            deadline: Some(now + Duration::from_millis(ms)),
            id: RequestId::new(u64::from(depth), None),
        };
        let at = |chains: &Chains| (chains.depth(), chains.deadline());
        let of = |chain: &Chain| (chain.depth, chain.deadline);
        let (first, second) = (chain(3, 10), chain(1, 20));
        let mut chains = Chains::default();
        chains.begin(first.clone(), Isolation::Concurrent);
        assert_eq!(chains.request(), Some(&first.id));
        chains.begin(second.clone(), Isolation::Concurrent);
        assert_eq!(at(&chains), of(&chain(3, 20)));
        assert_eq!(chains.request(), None);
        let said = Some(second.id.context());
        assert_eq!(chains.request_of(said), Some(&second.id));
        assert_eq!(chains.request_of(Some(second.id.child(0))), None);
        chains.end(&first);
        assert_eq!(at(&chains), of(&second));
        chains.end(&second);
        // What it leaves behind is still its own.
        assert_eq!(at(&chains), of(&second));
        assert_eq!(chains.request(), Some(&second.id));
    }
}
