//! Looks for what an instance before this one left behind: in memory, in memory that it had grown
//! by, in statics and in the stack pointer. `plant` leaves marks, `probe` counts them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The mark, in two halves that only the plant joins, so that no constant of this module is one.
const HALF: u64 = 0x5ee1_7a11_0f0f_f0f0;
const OTHER_HALF: u64 = 0xa5a5_1234_c3c3_9876;

static PLANTED: AtomicU64 = AtomicU64::new(0);

/// Fills this many MiB of fresh memory with the mark, and a static, and leaves both.
pub(crate) fn plant(mib: usize) -> String {
    let mark = std::hint::black_box(HALF) ^ OTHER_HALF;
    let words = (mib << 20) / size_of::<u64>();
    std::mem::forget(std::hint::black_box(vec![mark; words]));
    PLANTED.store(mark, Ordering::Relaxed);
    format!("planted={words}\n")
}

/// Grows memory by this many MiB and counts marks in all of it.
pub(crate) fn probe(mib: usize) -> String {
    let stack = 0u8;
    let stack = std::ptr::from_ref(std::hint::black_box(&stack)) as usize;
    let planted = PLANTED.load(Ordering::Relaxed);
    let (found, dirty, bytes) = scan(mib);
    format!("found={found} dirty={dirty} static={planted:x} stack={stack:x} bytes={bytes}\n")
}

/// Marks in all of memory, and bytes that are not zero in what it was just grown by.
#[cfg(target_family = "wasm")]
fn scan(mib: usize) -> (usize, usize, usize) {
    use core::arch::wasm32::{memory_grow, memory_size};
    const PAGE: usize = 64 * 1024;

    let before = memory_size(0) * PAGE;
    memory_grow(0, (mib << 20) / PAGE);
    let after = memory_size(0) * PAGE;
    let half = std::hint::black_box(HALF);
    let mut found = 0;
    let mut dirty = 0;
    // Address zero is memory like any other, but no Rust pointer.
    for address in (8..after).step_by(size_of::<u64>()) {
        // SAFETY: every address below `memory_size` is readable, and it is a multiple of eight.
        let word = unsafe { core::ptr::read_volatile(address as *const u64) };
        found += usize::from(word ^ half == OTHER_HALF);
        dirty += usize::from(address >= before && word != 0);
    }
    (found, dirty, after)
}

#[cfg(not(target_family = "wasm"))]
fn scan(_: usize) -> (usize, usize, usize) {
    (0, 0, 0)
}
