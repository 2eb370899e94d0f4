//! Lets what the `wit-bindgen` runtime makes, such as the calls of the `wasip3` crate, be awaited in a
//! request of the SDK's. Each version of that runtime finds the executor that it runs in through one C
//! symbol, which it brings along, and a table of fns whose layout is fixed: the third version of it
//! stands here.

use std::ffi::c_void;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;

use super::super::call::Call;

unsafe extern "C" {
    /// Sets the `Task` that runs, and returns the one that ran.
    fn wasip3_task_set(task: *mut c_void) -> *mut c_void;
}

/// What is to be called with an event's code.
pub(in super::super) struct Callback {
    function: CallbackFn,
    argument: *mut c_void,
}

impl Callback {
    /// Calls it, which is done once.
    pub(in super::super) fn call(self, code: u32) {
        // SAFETY: whoever registered the two has not taken them back, so that they are valid together.
        unsafe { (self.function)(self.argument, code) };
    }
}

type CallbackFn = unsafe extern "C" fn(*mut c_void, u32);
type Register = unsafe extern "C" fn(*mut c_void, u32, CallbackFn, *mut c_void) -> *mut c_void;
type Spawn = unsafe fn(*mut c_void, Box<dyn Future<Output = ()>>);
type Unregister = unsafe extern "C" fn(*mut c_void, u32) -> *mut c_void;

/// What runs: `wasip3_task_v3`.
#[repr(C)]
struct Task {
    version: u32,
    call: *mut c_void,
    register: Register,
    unregister: Unregister,
    table: &'static Table,
}

/// `wasip3_task_vtable_v3`
#[repr(C)]
struct Table {
    register: Register,
    unregister: Unregister,
    clone: unsafe extern "C" fn(*mut c_void) -> *mut c_void,
    drop: unsafe extern "C" fn(*mut c_void),
    spawn: Option<Spawn>,
}

static TABLE: Table = Table {
    register,
    unregister,
    clone,
    drop: give_back,
    spawn: Some(spawn),
};

/// Runs this with the request as what runs.
pub(in super::super) fn enter<T>(call: &Rc<Call>, run: impl FnOnce() -> T) -> T {
    struct Leave {
        outer: *mut c_void,
        call: *const Call,
    }
    impl Drop for Leave {
        fn drop(&mut self) {
            // SAFETY: what ran before still does, and the count is the one that was taken below.
            unsafe {
                wasip3_task_set(self.outer);
                drop(Rc::from_raw(self.call));
            }
        }
    }

    let call = Rc::into_raw(Rc::clone(call));
    let mut task = Task {
        version: 3,
        call: call.cast_mut().cast(),
        register,
        unregister,
        table: &TABLE,
    };
    // SAFETY: the task outlives its being set: `Leave` is dropped before it.
    let outer = unsafe { wasip3_task_set((&raw mut task).cast()) };
    let _leave = Leave { outer, call };
    run()
}

/// # Safety
/// The pointer is `Task::call` while that task runs, or what `clone` returned and `give_back` did not
/// take.
unsafe fn call<'a>(call: *mut c_void) -> &'a Call {
    // SAFETY: either way a count is held on it, which outlives every use in this file.
    unsafe { &*call.cast::<Call>() }
}

unsafe extern "C" fn register(
    task: *mut c_void,
    waitable: u32,
    function: CallbackFn,
    argument: *mut c_void,
) -> *mut c_void {
    let callback = Callback { function, argument };
    // SAFETY: the caller keeps the promise of this table.
    let before = unsafe { call(task) }.waits.register(waitable, callback);
    before.map_or(ptr::null_mut(), |before| before.argument)
}

unsafe extern "C" fn unregister(task: *mut c_void, waitable: u32) -> *mut c_void {
    // SAFETY: the caller keeps the promise of this table.
    let before = unsafe { call(task) }.waits.unregister(waitable);
    before.map_or(ptr::null_mut(), |before| before.argument)
}

unsafe extern "C" fn clone(task: *mut c_void) -> *mut c_void {
    // SAFETY: the pointer came from `Rc::into_raw`, and a count is held on it.
    unsafe { Rc::increment_strong_count(task.cast_const().cast::<Call>()) };
    task
}

unsafe extern "C" fn give_back(task: *mut c_void) {
    // SAFETY: the pointer came from `Rc::into_raw`, and the count is the one that `clone` took.
    unsafe { Rc::decrement_strong_count(task.cast_const().cast::<Call>()) };
}

unsafe fn spawn(task: *mut c_void, work: Box<dyn Future<Output = ()>>) {
    // SAFETY: the caller keeps the promise of this table.
    unsafe { call(task) }.queue.spawn(Pin::from(work));
}
