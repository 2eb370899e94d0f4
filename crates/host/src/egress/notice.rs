//! What is said in a function's log of requests that came to nothing: what happened, and which grant would allow it.
//!
//! Owns the bound: a function that asks for what it may not have, again and again, doesn't fill its log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_engine::function::FunctionSpec;
use everwarm_engine::outbound::SendError;
use everwarm_manifest::HttpTarget;
use everwarm_manifest::grants::address;
use parking_lot::Mutex;

use crate::GuestOutput;

/// Notices of one function in each [`WINDOW`]; the rest is counted.
const NOTICES_MAX: u32 = 20;
/// See [`NOTICES_MAX`].
const WINDOW: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(super) struct Notices {
    function: Arc<FunctionSpec>,
    output: Option<Arc<dyn GuestOutput>>,
    window: Mutex<Window>,
}

struct Window {
    started: Instant,
    notices: u32,
}

impl Notices {
    pub(super) fn new(function: &Arc<FunctionSpec>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self {
            function: Arc::clone(function),
            output,
            window: Mutex::new(Window {
                started: Instant::now(),
                notices: 0,
            }),
        }
    }

    pub(super) fn function(&self) -> &Arc<FunctionSpec> {
        &self.function
    }

    /// No grant allows the target.
    pub(super) fn denied(&self, target: &HttpTarget) {
        self.say(|name| {
            format!(
                "request to {target} denied: no grant allows it. To allow it, add \"{target}\" to `http` in \
                 [function.grants] of the function `{name}`"
            )
        });
    }

    /// The function that is called isn't granted.
    pub(super) fn call_denied(&self, called: &str) {
        self.say(|name| {
            format!(
                "call of the function `{called}` denied: no grant allows it. To allow it, add \"{called}\" to `functions` \
                 in [function.grants] of the function `{name}`"
            )
        });
    }

    /// The target is a name that never leaves the node.
    pub(super) fn internal(&self, target: &HttpTarget) {
        self.say(|_| {
            format!("request to {target} denied: names below `internal` are never looked up outside the node")
        });
    }

    /// None of the target's addresses may be connected to.
    pub(super) fn prohibited(&self, target: &HttpTarget, addresses: &[IpAddr]) {
        let Some(first) = addresses.first() else {
            return;
        };
        let kind = address::kind(*first);
        self.say(|name| {
            format!(
                "request to {target} denied: its address {first} isn't public ({kind:?}). To allow it, add \
                 \"{first}\" to `addresses` in [function.grants] of the function `{name}`"
            )
        });
    }

    /// The request failed on its way.
    pub(super) fn failed(&self, target: &HttpTarget, error: &SendError) {
        self.say(|_| format!("request to {target} failed: {error}"));
    }

    fn say(&self, text: impl FnOnce(&str) -> String) {
        if !self.window.lock().admit(Instant::now()) {
            return;
        }
        let spec = &self.function;
        let text = text(spec.name.as_str());
        tracing::warn!(
            target: "everwarm::egress",
            app = %spec.app,
            function = %spec.name,
            detail = text,
            "a request to the outside came to nothing"
        );
        if let Some(output) = &self.output {
            output.notice(spec, &text);
        }
    }
}

impl Window {
    fn admit(&mut self, now: Instant) -> bool {
        if now - self.started >= WINDOW {
            self.started = now;
            self.notices = 0;
        }
        self.notices = self.notices.saturating_add(1);
        self.notices <= NOTICES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_that_fails_again_and_again_is_told_of_so_often_and_later_anew() {
        let started = Instant::now();
        let mut window = Window {
            started,
            notices: 0,
        };
        let told = |window: &mut Window, at| (0..1_000).filter(|_| window.admit(at)).count();
        assert_eq!(told(&mut window, started), NOTICES_MAX as usize);
        assert_eq!(told(&mut window, started + WINDOW / 2), 0);
        assert_eq!(told(&mut window, started + WINDOW), NOTICES_MAX as usize);
    }
}
