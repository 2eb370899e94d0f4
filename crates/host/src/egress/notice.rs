//! What is said in a function's log of requests that came to nothing: what happened, and which grant would allow it.
//!
//! Owns the words. How often they are said is `window`'s.

use std::net::IpAddr;
use std::sync::Arc;

use everwarm_engine::function::FunctionSpec;
use everwarm_engine::outbound::SendError;
use everwarm_manifest::HttpTarget;
use everwarm_manifest::grants::address;

use crate::GuestOutput;
use crate::window::Window;

/// See the module's documentation.
pub(super) struct Notices {
    function: Arc<FunctionSpec>,
    output: Option<Arc<dyn GuestOutput>>,
    window: Window,
}

impl Notices {
    pub(super) fn new(function: &Arc<FunctionSpec>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self {
            function: Arc::clone(function),
            output,
            window: Window::new(),
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
        if !self.window.admits() {
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
