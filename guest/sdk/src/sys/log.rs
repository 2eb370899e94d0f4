//! `wasi:logging`, by the canonical ABI of the component model. Both versions of WASI call it alike. What leaves this
//! module is safe.

use super::abi::host;
use crate::log::Level;

host! {
    #[module = "wasi:logging/logging@0.1.0-draft"] {
        #[name = "log"] unsafe fn host_log(u32, *const u8, usize, *const u8, usize);
    }
}

pub(crate) fn log(level: Level, context: &str, message: &str) {
    let (start, len) = (context.as_ptr(), context.len());
    // SAFETY: both texts are read during the call.
    unsafe { host_log(level as u32, start, len, message.as_ptr(), message.len()) };
}
