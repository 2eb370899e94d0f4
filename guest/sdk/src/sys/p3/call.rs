//! One request: a task of the component model, of which an instance may have many at once. It drives
//! the request's futures whenever the host calls, and tells the host what to wait for.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use super::abi;
use super::bell::{Bell, Sleeper};
use super::waits::Waits;
use crate::executor::{Progress, Queue, Tasks};
use crate::local::LocalFuture;

/// How often a request's futures are polled before the instance's other requests have their turn.
const PASSES_MAX: usize = 64;

/// What the futures of a request share.
#[derive(Default)]
pub(super) struct Call {
    pub(super) queue: Queue,
    pub(super) waits: Waits,
    is_answered: Cell<bool>,
}

thread_local! {
    // Without a destructor: see `executor::blocking::Executor`.
    static CURRENT: ManuallyDrop<RefCell<Option<Rc<Call>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

/// The request whose futures are polled.
pub(super) fn current() -> Rc<Call> {
    let current = CURRENT.with(|current| current.borrow().clone());
    // Futures run inside a request only; there is no other way into a component.
    current.expect("the SDK's futures, spawn and wait_until are used while a request is handled")
}

pub(crate) fn spawn(work: LocalFuture) {
    current().queue.spawn(work);
}

pub(crate) fn wait_until(work: LocalFuture) {
    current().queue.after_main(work);
}

/// Answers the request whose futures are polled.
pub(super) fn answer(response: Option<abi::Response>) {
    current().is_answered.set(true);
    abi::answer(response);
}

/// A request's futures, between two calls of the host.
pub(super) struct Running {
    tasks: Tasks<LocalFuture, Arc<Bell>>,
    sleeper: Sleeper,
    call: Rc<Call>,
}

/// What the host is told when there is nothing to do for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Exit,
    Yield,
    Wait(u32),
}

/// Begins a request.
pub(super) fn start(main: LocalFuture) -> u32 {
    let call = Rc::new(Call::default());
    let sleeper = Sleeper::default();
    let tasks = Tasks::new(main, sleeper.bell(), &call.queue);
    let mut running = Running {
        tasks,
        sleeper,
        call,
    };
    let next = running.enter(Running::turn);
    if next != Next::Exit {
        abi::park(Box::new(running));
    }
    next.code()
}

/// Goes on with the request that the host calls for, with an event, what it is of, and its code.
pub fn resume(event: u32, waitable: u32, code: u32) -> u32 {
    let mut running = abi::unpark();
    let next = running.enter(|running| running.go_on(event, waitable, code));
    if next != Next::Exit {
        abi::park(running);
    }
    next.code()
}

const EVENT_NONE: u32 = 0;
const EVENT_CANCEL: u32 = 6;

impl Running {
    /// Runs this as the request's.
    fn enter(&mut self, run: impl FnOnce(&mut Self) -> Next) -> Next {
        let outer = CURRENT.with(|current| current.replace(Some(Rc::clone(&self.call))));
        #[cfg(feature = "wasip3")]
        let next = {
            let call = Rc::clone(&self.call);
            abi::bindgen::enter(&call, || run(self))
        };
        #[cfg(not(feature = "wasip3"))]
        let next = run(self);
        CURRENT.with(|current| current.replace(outer));
        next
    }

    fn go_on(&mut self, event: u32, waitable: u32, code: u32) -> Next {
        self.sleeper.wake_up();
        match event {
            EVENT_NONE => {}
            EVENT_CANCEL if self.call.is_answered.get() => {}
            EVENT_CANCEL => {
                self.tasks.clear(&self.call.queue);
                let next = self.end();
                abi::cancel();
                return next;
            }
            _ => self.call.waits.deliver(waitable, code),
        }
        self.sleeper.clear_rung();
        self.turn()
    }

    /// Polls what was woken until nothing is, or for as long as is fair.
    fn turn(&mut self) -> Next {
        for _ in 0..PASSES_MAX {
            let was_answered = self.call.is_answered.get();
            self.tasks.pass_main(&self.call.queue);
            let answers_now = self.call.is_answered.get() && !was_answered;
            if answers_now && self.tasks.is_woken(&self.call.queue) {
                // The host has the head once it is called back: what goes on from here may take long.
                return self.give_way();
            }
            match self.tasks.pass_others(&self.call.queue) {
                Progress::Woken => {}
                Progress::Waiting => return self.sleep(),
                Progress::Ended => return self.end(),
            }
        }
        self.give_way()
    }

    fn give_way(&self) -> Next {
        // Without a wait the host says nothing of events, and they are not to be kept waiting.
        self.call.waits.deliver_one();
        Next::Yield
    }

    fn sleep(&mut self) -> Next {
        let waits = &self.call.waits;
        let wakers_here_len = waits.wakers_len(|waker| self.tasks.made(waker));
        let has_wakers_elsewhere = self.tasks.wakers_len() > wakers_here_len;
        let awaited_len = waits.awaited_len() - usize::from(self.sleeper.is_listening());
        assert!(
            awaited_len > 0 || has_wakers_elsewhere,
            "the handler waits for something that can't happen: nothing is left that could wake it"
        );
        if has_wakers_elsewhere {
            self.sleeper.listen();
        }
        Next::Wait(waits.handle())
    }

    fn end(&mut self) -> Next {
        self.sleeper.listen_no_more();
        #[cfg(feature = "wasip3")]
        if self.call.waits.owes_callback() {
            return Next::Wait(self.call.waits.handle());
        }
        self.call.waits.close();
        Next::Exit
    }
}

impl Next {
    fn code(self) -> u32 {
        match self {
            Self::Exit => 0,
            Self::Yield => 1,
            Self::Wait(set) => 2 | set << 4,
        }
    }
}
