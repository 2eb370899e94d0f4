//! How the operating system is told which threads go first.
//!
//! Data-plane threads run for microseconds and have clients waiting; threads of the heavy pool run for
//! milliseconds. With nothing said, a scheduler that is fair lets a heavy thread finish its slice, some
//! milliseconds, before a data-plane thread that has just become ready. Linux only: elsewhere nothing is said,
//! and all threads are alike. Every call may be refused, which makes the node less fair and nothing else.

/// Slice that a data-plane thread asks for, in nanoseconds. Shorter than the kernel's own (2.8 ms), so that such a
/// thread, when it wakes, goes before one with a longer slice (EEVDF, Linux 6.12 and newer; older kernels ignore
/// it). The least that the kernel takes.
const SHORT_SLICE_NS: u64 = 100_000;

/// Niceness of the heavy pool's threads: they get what the data plane leaves, and don't starve.
const HEAVY_NICENESS: i32 = 10;

/// Niceness of compilers: as far as it goes.
const COMPILER_NICENESS: i32 = 19;

/// The calling thread waits for something outside and then runs for microseconds: when it wakes, it should
/// go before a thread that computes. Also for those who measure that, lest they measure their own wait.
pub fn be_prompt() {
    #[cfg(target_os = "linux")]
    linux::set_slice(SHORT_SLICE_NS);
}

/// The calling thread computes, and others should go first.
pub(crate) fn be_patient() {
    // A thread that can't be made nicer still works, only less fairly.
    let _ = rustix::process::setpriority_process(None, HEAVY_NICENESS);
}

/// The calling thread, and the threads and processes that it starts, leave the machine to everybody else.
pub(crate) fn be_last() {
    // As above: refused, it is only less fair.
    let _ = rustix::process::setpriority_process(None, COMPILER_NICENESS);
}

#[cfg(target_os = "linux")]
mod linux {
    /// `struct sched_attr` of the kernel, first version (`sched_setattr(2)`).
    #[repr(C)]
    #[derive(Default)]
    pub(super) struct SchedAttr {
        size: u32,
        pub(super) policy: u32,
        flags: u64,
        pub(super) nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    /// The size of the first version, which every kernel that has the call takes.
    const SIZE: u32 = 48;

    const _: () = assert!(size_of::<SchedAttr>() == SIZE as usize);

    /// What the scheduler knows of the calling thread. `None` where the kernel doesn't say.
    pub(super) fn get() -> Option<SchedAttr> {
        let mut attributes = SchedAttr::default();
        // SAFETY: `sched_getattr(pid, attr, size, flags)` writes at most `size` bytes to `attr`, which is a live
        // value of that size for whose integers every bit pattern is valid, and keeps no pointer to it. Zero for
        // `pid` is the calling thread.
        let got =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) };
        (got == 0).then_some(attributes)
    }

    /// Asks for a slice of this length for the calling thread, and changes nothing else of it.
    pub(super) fn set_slice(ns: u64) {
        let Some(mut attributes) = get() else { return };
        attributes.runtime = ns;
        // SAFETY: `sched_setattr(pid, attr, flags)` reads `attr.size` bytes from `attr`; the kernel has just set
        // that to what it wrote, which is at most the size of the value. It keeps no pointer to it.
        unsafe {
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_prompt_thread_keeps_its_policy_and_niceness() {
        std::thread::spawn(|| {
            super::be_patient();
            let before = super::linux::get().unwrap();
            super::be_prompt();
            let after = super::linux::get().unwrap();
            assert_eq!((before.policy, before.nice), (after.policy, after.nice));
            assert_eq!(after.nice, super::HEAVY_NICENESS);
        })
        .join()
        .unwrap();
    }
}
