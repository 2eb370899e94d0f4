//! Bodies of the admin API, from libFuzzer. What must hold is in the library, so that tests hold it too.

#![forbid(unsafe_code)]
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| everwarm_fuzz::admin_bodies(bytes));
