//! What the node says in a function's own log: what the function asked for in vain, and which grant would allow it.
//!
//! Owns the bound: a function that asks for what it may not have, again and again, doesn't fill its log. What is said is
//! the capabilities' own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use everwarm_engine::function::FunctionSpec;
use parking_lot::Mutex;

use crate::GuestOutput;

/// Notices of one capability to one function in each [`WINDOW`]; the rest isn't said.
const NOTICES_MAX: u32 = 20;
/// See [`NOTICES_MAX`].
const WINDOW: Duration = Duration::from_secs(10);

/// The notices of one capability to one function.
pub(crate) struct Notices {
    function: Arc<FunctionSpec>,
    output: Option<Arc<dyn GuestOutput>>,
    window: Mutex<Window>,
}

struct Window {
    started: Instant,
    notices: u32,
}

impl Notices {
    pub(crate) fn new(function: &Arc<FunctionSpec>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self {
            function: Arc::clone(function),
            output,
            window: Mutex::new(Window {
                started: Instant::now(),
                notices: 0,
            }),
        }
    }

    pub(crate) fn function(&self) -> &Arc<FunctionSpec> {
        &self.function
    }

    /// Says a text, which is given the function's name, in both logs. `event` is what the node's calls it.
    pub(crate) fn say(&self, event: &'static str, text: impl FnOnce(&str) -> String) {
        let Some(text) = self.admitted(text) else {
            return;
        };
        let spec = &self.function;
        tracing::warn!(
            target: "everwarm::grants",
            app = %spec.app,
            function = %spec.name,
            detail = text,
            "{event}"
        );
        self.put_out(&text);
    }

    /// As [`Self::say`], in the function's log alone, for those who tell the node's more. Says whether they may: they are
    /// within the same bound.
    pub(crate) fn tell(&self, text: impl FnOnce(&str) -> String) -> bool {
        let text = self.admitted(text);
        if let Some(text) = &text {
            self.put_out(text);
        }
        text.is_some()
    }

    fn admitted(&self, text: impl FnOnce(&str) -> String) -> Option<String> {
        let is_admitted = self.window.lock().admit(Instant::now());
        is_admitted.then(|| text(self.function.name.as_str()))
    }

    fn put_out(&self, text: &str) {
        if let Some(output) = &self.output {
            output.notice(&self.function, text);
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
