//! The allocator of programs that serve requests: mimalloc, asked in the way that costs least.
//!
//! A request allocates some dozens of small things and frees them on the same thread. The `mimalloc` crate asks for
//! each with its alignment, and for sizes that are no power of two mimalloc then searches for an aligned place in a
//! larger block, though a word's alignment is what every block has. Owns that choice and nothing else.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc,
    mi_zalloc_aligned,
};

/// What every block of mimalloc's is aligned to: block sizes are whole words, and the first one of a page begins at
/// 16 (`MI_PAGE_MIN_START_BLOCK_ALIGN`).
const WORD_BYTES: usize = size_of::<usize>();

/// See the module's documentation.
#[derive(Debug)]
pub struct Mimalloc;

// SAFETY: all blocks come from mimalloc and go back to it, whichever of its functions gave them, and it is thread-safe.
// A block of `mi_malloc`, `mi_zalloc` or `mi_realloc` has at least the size asked for and the alignment of a word,
// which is enough where they are called; the others get the alignment. None unwinds, and null means that there is
// no memory.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size is allowed, and a layout's alignment is a power of two.
        unsafe {
            if layout.align() <= WORD_BYTES {
                mi_malloc(layout.size()).cast()
            } else {
                mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`.
        unsafe {
            if layout.align() <= WORD_BYTES {
                mi_zalloc(layout.size()).cast()
            } else {
                mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller promises that it is a block of this allocator, which all are mimalloc's.
        unsafe { mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that it is a block of this allocator with that layout, so its alignment is
        // that of the new one too.
        unsafe {
            if layout.align() <= WORD_BYTES {
                mi_realloc(block.cast(), new_size).cast()
            } else {
                mi_realloc_aligned(block.cast(), new_size, layout.align()).cast()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_are_aligned_zeroed_and_keep_what_is_in_them(
            size in 1_usize..70_000,
            new_size in 1_usize..70_000,
            align_log2 in 0_u32..13,
        ) {
            let layout = Layout::from_size_align(size, 1 << align_log2).unwrap();
            let aligned = |block: *mut u8| !block.is_null() && block.addr().is_multiple_of(layout.align());
            // SAFETY: sizes aren't zero; blocks are written and read within their sizes, given back once, and with
            // the layout that they have then.
            unsafe {
                let block = Mimalloc.alloc(layout);
                prop_assert!(aligned(block));
                block.write_bytes(7, size);
                let block = Mimalloc.realloc(block, layout, new_size);
                prop_assert!(aligned(block));
                let kept = std::slice::from_raw_parts(block, size.min(new_size));
                prop_assert!(kept.iter().all(|byte| *byte == 7));
                let layout = Layout::from_size_align(new_size, layout.align()).unwrap();
                Mimalloc.dealloc(block, layout);
                let zeroed = Mimalloc.alloc_zeroed(layout);
                prop_assert!(aligned(zeroed));
                let bytes = std::slice::from_raw_parts(zeroed, new_size);
                prop_assert!(bytes.iter().all(|byte| *byte == 0));
                Mimalloc.dealloc(zeroed, layout);
            }
        }
    }
}
