//! What is said in a function's log of requests that came to nothing. Owns the sentences; when they are said is
//! [`Notices`]' own.

use std::net::IpAddr;

use everwarm_engine::outbound::SendError;
use everwarm_manifest::HttpTarget;
use everwarm_manifest::grants::address;

use crate::notice::Notices;

const EVENT: &str = "a request to the outside came to nothing";

impl Notices {
    /// No grant allows the target.
    pub(super) fn denied(&self, target: &HttpTarget) {
        self.say(EVENT, |name| {
            format!(
                "request to {target} denied: no grant allows it. To allow it, add \"{target}\" to `http` in \
                 [function.grants] of the function `{name}`"
            )
        });
    }

    /// The function that is called isn't granted.
    pub(super) fn call_denied(&self, called: &str) {
        self.say(EVENT, |name| {
            format!(
                "call of the function `{called}` denied: no grant allows it. To allow it, add \"{called}\" to `functions` \
                 in [function.grants] of the function `{name}`"
            )
        });
    }

    /// The target is a name that never leaves the node.
    pub(super) fn internal(&self, target: &HttpTarget) {
        self.say(EVENT, |_| {
            format!("request to {target} denied: names below `internal` are never looked up outside the node")
        });
    }

    /// None of the target's addresses may be connected to.
    pub(super) fn prohibited(&self, target: &HttpTarget, addresses: &[IpAddr]) {
        let Some(first) = addresses.first() else {
            return;
        };
        let kind = address::kind(*first);
        self.say(EVENT, |name| {
            format!(
                "request to {target} denied: its address {first} isn't public ({kind:?}). To allow it, add \
                 \"{first}\" to `addresses` in [function.grants] of the function `{name}`"
            )
        });
    }

    /// The request failed on its way.
    pub(super) fn failed(&self, target: &HttpTarget, error: &SendError) {
        self.say(EVENT, |_| format!("request to {target} failed: {error}"));
    }
}
