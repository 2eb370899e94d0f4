//! What one request waits for: each waitable with who is woken by its event. It doesn't know what an
//! event means.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::abi::{self, Set};
use super::call::{self, Call};

/// A waitable among what is waited for, from its first event on until its owner drops it.
pub(super) struct Wait {
    handle: u32,
    /// The request whose set it is in.
    call: Option<Rc<Call>>,
}

/// What a request waits for. The set is made for the first of it: many a request waits for nothing.
#[derive(Default)]
pub(super) struct Waits {
    set: RefCell<Option<Set>>,
    entries: RefCell<Vec<Entry>>,
}

struct Entry {
    handle: u32,
    then: Then,
}

enum Then {
    /// Nothing is awaited.
    Idle,
    Wake(Waker),
    /// The event has come.
    Came(u32),
    #[cfg(feature = "wasip3")]
    Call(abi::bindgen::Callback),
}

impl Wait {
    pub(super) const fn new(handle: u32) -> Self {
        Self { handle, call: None }
    }

    pub(super) fn handle(&self) -> u32 {
        self.handle
    }

    /// Something new is awaited: what came before says nothing of it.
    pub(super) fn begin(&mut self) {
        if let Some(call) = &self.call {
            call.waits.replace(self.handle, Then::Idle);
        }
    }

    /// The code of the event. Whichever request asks is the one that is woken by it.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<u32> {
        let asking = call::current();
        if let Some(call) = self.call.take_if(|call| !Rc::ptr_eq(call, &asking))
            && let Some(Then::Came(code)) = call.waits.remove(self.handle)
        {
            return Poll::Ready(code);
        }
        let call = self.call.get_or_insert_with(|| {
            asking.waits.add(self.handle, Then::Idle);
            asking
        });
        let wake = Then::Wake(context.waker().clone());
        if let Some(Then::Came(code)) = call.waits.replace(self.handle, wake) {
            call.waits.replace(self.handle, Then::Idle);
            return Poll::Ready(code);
        }
        Poll::Pending
    }

    /// Waits no longer, and leaves the set. Returns the code of an event that has come unseen.
    pub(super) fn leave(&mut self) -> Option<u32> {
        let call = self.call.take()?;
        if let Some(Then::Came(code)) = call.waits.remove(self.handle) {
            return Some(code);
        }
        abi::join_none(self.handle);
        None
    }
}

impl Drop for Wait {
    /// Its owner drops the handle with it, which takes it out of the set.
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.waits.remove(self.handle);
        }
    }
}

impl Waits {
    fn add(&self, handle: u32, then: Then) {
        let mut set = self.set.borrow_mut();
        set.get_or_insert_with(Set::new).join(handle);
        self.entries.borrow_mut().push(Entry { handle, then });
    }

    /// Sets what follows an event, and returns what was to follow. Wakers are foreign code: none is
    /// dropped here, where the entries are borrowed.
    fn replace(&self, handle: u32, then: Then) -> Option<Then> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.iter_mut().find(|entry| entry.handle == handle)?;
        Some(std::mem::replace(&mut entry.then, then))
    }

    fn remove(&self, handle: u32) -> Option<Then> {
        let mut entries = self.entries.borrow_mut();
        let place = entries.iter().position(|entry| entry.handle == handle)?;
        Some(entries.swap_remove(place).then)
    }

    /// An event has come. One that nobody awaits any more is nobody's.
    pub(super) fn deliver(&self, handle: u32, code: u32) {
        match self.replace(handle, Then::Came(code)) {
            Some(Then::Wake(waker)) => waker.wake(),
            #[cfg(feature = "wasip3")]
            Some(Then::Call(callback)) => {
                self.remove(handle);
                abi::join_none(handle);
                callback.call(code);
            }
            _ => {}
        }
    }

    /// Delivers an event that has come already.
    pub(super) fn deliver_one(&self) {
        let event = self.set.borrow().as_ref().and_then(Set::poll);
        if let Some((handle, code)) = event {
            self.deliver(handle, code);
        }
    }

    /// The handle to wait on.
    pub(super) fn handle(&self) -> u32 {
        self.set.borrow_mut().get_or_insert_with(Set::new).handle()
    }

    /// The request has ended. What of this others keep they will ask for, and then wait for it
    /// themselves.
    pub(super) fn close(&self) {
        let Some(set) = self.set.take() else {
            return;
        };
        let mut entries = self.entries.take();
        for entry in &entries {
            abi::join_none(entry.handle);
        }
        drop(set);
        entries.retain(|entry| matches!(entry.then, Then::Came(_)));
        *self.entries.borrow_mut() = entries;
    }

    /// How many events are awaited.
    pub(super) fn awaited_len(&self) -> usize {
        let entries = self.entries.borrow();
        let awaited = entries.iter().filter(|entry| match entry.then {
            Then::Idle | Then::Came(_) => false,
            Then::Wake(_) => true,
            #[cfg(feature = "wasip3")]
            Then::Call(_) => true,
        });
        awaited.count()
    }

    /// How many of the wakers here are such.
    pub(super) fn wakers_len(&self, is_such: impl Fn(&Waker) -> bool) -> usize {
        let entries = self.entries.borrow();
        let such = |entry: &&Entry| matches!(&entry.then, Then::Wake(waker) if is_such(waker));
        entries.iter().filter(such).count()
    }

    /// Whether an event is owed to code that knows nothing of the request's futures.
    #[cfg(feature = "wasip3")]
    pub(super) fn owes_callback(&self) -> bool {
        let entries = self.entries.borrow();
        entries
            .iter()
            .any(|entry| matches!(entry.then, Then::Call(_)))
    }

    /// Has the callback called with the event's code. Returns the one that was to be called before.
    #[cfg(feature = "wasip3")]
    pub(super) fn register(
        &self,
        handle: u32,
        callback: abi::bindgen::Callback,
    ) -> Option<abi::bindgen::Callback> {
        let is_there = |entry: &Entry| entry.handle == handle;
        if self.entries.borrow().iter().any(is_there) {
            return self.replace(handle, Then::Call(callback))?.into_callback();
        }
        self.add(handle, Then::Call(callback));
        None
    }

    /// Takes back what `register` has done.
    #[cfg(feature = "wasip3")]
    pub(super) fn unregister(&self, handle: u32) -> Option<abi::bindgen::Callback> {
        let removed = self.remove(handle);
        abi::join_none(handle);
        removed?.into_callback()
    }
}

#[cfg(feature = "wasip3")]
impl Then {
    fn into_callback(self) -> Option<abi::bindgen::Callback> {
        match self {
            Self::Call(callback) => Some(callback),
            _ => None,
        }
    }
}
