//! What the bindings of both WASI versions share of the component model's canonical ABI: how a call
//! is imported, and how values lie in memory. It knows no interface but those types of `wasi:http` that
//! both versions lay out alike.

use std::alloc::{Layout, alloc, realloc};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error_code::{ERROR_CODE_SIZE, ErrorCode, text_in};

/// Imports calls. One that takes and returns numbers alone is `safe`: with a wrong one the host ends
/// the instance. One that is given an address is not.
macro_rules! host {
    ($(#[module = $module:literal] { $(#[name = $name:literal] $safety:ident fn $function:ident($($argument:ty),*) $(-> $result:ty)?;)* })*) => {$(
        #[link(wasm_import_module = $module)]
        unsafe extern "C" {$(
            #[link_name = $name]
            $safety fn $function($(_: $argument),*) $(-> $result)?;
        )*}
    )*};
}
pub(super) use host;

/// What most calls return: a case, and two words that depend on it. Hosts write the case's one byte
/// only, so the rest of that word is not read.
#[repr(C)]
#[derive(Default)]
pub(super) struct Tagged {
    pub(super) case: u8,
    pub(super) first: Word,
    pub(super) second: u32,
}

/// A word of which some cases use the first byte alone.
#[repr(C, align(4))]
#[derive(Default, Clone, Copy)]
pub(super) struct Word(pub(super) [u8; 4]);

/// `list<T>`.
#[repr(C)]
#[derive(Default)]
pub(super) struct List {
    pub(super) start: usize,
    pub(super) len: usize,
}

/// `tuple<field-name, field-value>`, both of which it borrows.
#[repr(C)]
pub(super) struct Entry<'a> {
    name: *const u8,
    name_len: usize,
    value: *const u8,
    value_len: usize,
    borrowed: PhantomData<&'a [u8]>,
}

impl Word {
    pub(super) fn value(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl Tagged {
    pub(super) fn fill(call: impl FnOnce(*mut Self)) -> Self {
        let mut area = Self::default();
        call(&raw mut area);
        area
    }

    /// The bytes of a string or list in this case, which are the caller's from now on.
    pub(super) fn bytes(&self) -> Vec<u8> {
        // SAFETY: the host allocated them through `cabi_realloc`, and each result is taken once.
        unsafe { owned(self.first.value() as usize, self.second as usize) }
    }

    /// An optional string.
    pub(super) fn option(&self) -> Option<String> {
        (self.case == 1).then(|| text(self.bytes()))
    }

    /// The case of `method`, with the name that the last one carries.
    pub(super) fn method(mut self) -> (u8, Option<String>) {
        const OTHER: u8 = 9;
        let case = self.case;
        self.case = u8::from(case == OTHER);
        (case, self.option())
    }
}

impl<'a> Entry<'a> {
    pub(super) fn new(name: &'a str, value: &'a [u8]) -> Self {
        Self {
            name: name.as_ptr(),
            name_len: name.len(),
            value: value.as_ptr(),
            value_len: value.len(),
            borrowed: PhantomData,
        }
    }
}

impl List {
    /// The entries of `fields`, copied. Takes over what the host allocated for them.
    ///
    /// # Safety
    /// The list is one of `tuple<field-name, field-value>` that the host returned.
    pub(super) unsafe fn entries(self) -> Vec<(String, Vec<u8>)> {
        // SAFETY: the list is ours, and so are the two lists in each of its elements.
        let entries: Vec<[usize; 4]> = unsafe { owned(self.start, self.len) };
        entries
            .into_iter()
            .map(|[name, name_len, value, value_len]| {
                // SAFETY: as above.
                let (name, value) = unsafe { (owned(name, name_len), owned(value, value_len)) };
                (text(name), value)
            })
            .collect()
    }
}

/// An `error-code` as the host wrote it. What is in it is read for whoever wants to know, and freed.
pub(super) struct HostCode(Box<[u8; ERROR_CODE_SIZE]>);

impl HostCode {
    /// A case that carries nothing.
    pub(super) fn of(case: u8) -> Self {
        let mut area = [0; ERROR_CODE_SIZE];
        area[0] = case;
        Self(Box::new(area))
    }

    /// Takes over the one at the start of this area.
    ///
    /// # Safety
    /// The host wrote it there, and nobody else takes it.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn take(area: &[u8]) -> Self {
        let mut taken = [0; ERROR_CODE_SIZE];
        taken.copy_from_slice(&area[..ERROR_CODE_SIZE]);
        Self(Box::new(taken))
    }

    pub(super) fn read(mut self) -> ErrorCode {
        // What is left behind has no text.
        let area = std::mem::take(&mut *self.0);
        // SAFETY: the text was taken over with the rest, and nobody else reads it.
        ErrorCode::read(&area, |start, len| text(unsafe { owned(start, len) }))
    }
}

impl Drop for HostCode {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        if let Some((start, len)) = text_in(&self.0) {
            // SAFETY: the text was taken over with the rest, and nobody has read it.
            drop::<Vec<u8>>(unsafe { owned(start, len) });
        }
    }
}

/// Where the host writes what a call returns, if that is more than a number. Large enough, and aligned, for whatever the
/// callers that name its size get.
#[repr(C, align(8))]
pub(super) struct Area<const SIZE: usize>([u8; SIZE]);

impl<const SIZE: usize> Area<SIZE> {
    pub(super) fn fill(call: impl FnOnce(*mut Self)) -> Self {
        let mut area = Self([0; SIZE]);
        call(&raw mut area);
        area
    }

    /// The case of a variant, or a truth.
    pub(super) fn case(&self, place: usize) -> u8 {
        self.0[place]
    }

    pub(super) fn word(&self, place: usize) -> u32 {
        word(&self.0, place)
    }

    /// A number of 64 bits.
    pub(super) fn double_word(&self, place: usize) -> u64 {
        u64::from(self.word(place)) | u64::from(self.word(place + 4)) << 32
    }

    /// The list at that place.
    ///
    /// # Safety
    /// The host wrote one of such elements there, and it is taken once.
    pub(super) unsafe fn list<T>(&self, place: usize) -> Vec<T> {
        // SAFETY: as above.
        unsafe { owned(self.word(place) as usize, self.word(place + 4) as usize) }
    }

    /// The string at that place.
    ///
    /// # Safety
    /// The host wrote one there, and it is taken once.
    pub(super) unsafe fn string(&self, place: usize) -> String {
        // SAFETY: as above.
        text(unsafe { self.list(place) })
    }
}

/// The word at this place.
pub(super) fn word(area: &[u8], place: usize) -> u32 {
    let bytes = &area[place..place + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Takes over what the host wrote for `cabi_realloc`'s caller.
///
/// # Safety
/// `start` and `len` are of one list that the host returned, and nobody else takes it.
pub(super) unsafe fn owned<T>(start: usize, len: usize) -> Vec<T> {
    if len == 0 {
        return Vec::new();
    }
    // SAFETY: the host allocated exactly `len` elements with the alignment of `T`.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start as *mut T, len)) }.into_vec()
}

/// Strings are UTF-8 by the canonical ABI; a host that breaks it costs characters, not memory.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Runs what C code in the component has for its start, at the first call of an instance. A component
/// that doesn't call it is wrapped by the linker: that runs it at every call, and its end too.
pub(super) fn construct_once() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    if !IS_DONE.swap(true, Ordering::Relaxed) {
        // SAFETY: the linker makes the fn, which is called before anything of this instance runs, once.
        unsafe { __wasm_call_ctors() };
    }
}

/// Lets the host allocate what it returns. The name is the component toolchain's.
///
/// # Safety
/// `old` is null, or was returned from here with `old_len` and `align`; `align` is a power of two.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_len: usize,
    align: usize,
    new_len: usize,
) -> *mut u8 {
    if new_len == 0 {
        return std::ptr::without_provenance_mut(align);
    }
    // SAFETY: the caller keeps the promise above, and `new_len` is not zero.
    let new = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            let layout = Layout::from_size_align_unchecked(old_len, align);
            realloc(old, layout, new_len)
        }
    };
    if new.is_null() {
        // A host has no way to be told: end here, as all of Rust does without memory.
        std::process::abort();
    }
    new
}
