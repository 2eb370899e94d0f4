//! How often something of a function is said in its log: a function that does what it may not, again and again, doesn't
//! fill it. Owns the bound. Doesn't know what is said.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Notices of one kind of one function in each [`WINDOW`]; the rest isn't said.
const NOTICES_MAX: u32 = 20;
/// See [`NOTICES_MAX`].
const WINDOW: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(crate) struct Window(Mutex<State>);

struct State {
    started: Instant,
    notices: u32,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State {
            started: Instant::now(),
            notices: 0,
        }))
    }

    /// Whether one more may be said now.
    pub(crate) fn admits(&self) -> bool {
        self.0.lock().admit(Instant::now())
    }
}

impl State {
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
        let mut state = State {
            started,
            notices: 0,
        };
        let told = |state: &mut State, at| (0..1_000).filter(|_| state.admit(at)).count();
        assert_eq!(told(&mut state, started), NOTICES_MAX as usize);
        assert_eq!(told(&mut state, started + WINDOW / 2), 0);
        assert_eq!(told(&mut state, started + WINDOW), NOTICES_MAX as usize);
    }
}
