//! Messages for the app's log, with how much they matter: `wasi:logging`. They go where standard output goes, with the
//! name of the request. How the host is called is `sys`.
//!
//! ```
//! use everwarm_sdk::log;
//!
//! #[everwarm_sdk::http]
//! async fn pay() -> &'static str {
//!     log::warn("payments", "the bank is slow today");
//!     "paid\n"
//! }
//! ```
//!
//! With the feature `log`, what is said by the crate `log` goes the same way once [`init`] was called.

use crate::sys;

/// How much a message matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Values of variables, the flow of control.
    Trace,
    /// For somebody who looks for a mistake.
    Debug,
    /// For somebody who watches.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something went wrong.
    Error,
    /// Nothing can go on.
    Critical,
}

/// Says a message. `context` groups messages that belong together.
pub fn log(level: Level, context: &str, message: impl AsRef<str>) {
    sys::log(level, context, message.as_ref());
}

macro_rules! levels {
    ($($(#[$docs:meta])* $name:ident $level:ident;)*) => {$(
        $(#[$docs])*
        pub fn $name(context: &str, message: impl AsRef<str>) {
            log(Level::$level, context, message);
        }
    )*};
}

levels! {
    /// Says something of the flow of control.
    trace Trace;
    /// Says something for somebody who looks for a mistake.
    debug Debug;
    /// Says something for somebody who watches.
    info Info;
    /// Says that something may be wrong.
    warn Warn;
    /// Says that something went wrong.
    error Error;
    /// Says that nothing can go on.
    critical Critical;
}

/// Has the crate `log` say what it is told by this module, from `level` on. Its target is the context. Calls after the
/// first in an instance change the level alone.
#[cfg(feature = "log")]
pub fn init(level: ::log::LevelFilter) {
    // One that is set already is this one, or the function's own, which stays.
    let _ = ::log::set_logger(&Backend);
    ::log::set_max_level(level);
}

#[cfg(feature = "log")]
struct Backend;

#[cfg(feature = "log")]
impl ::log::Log for Backend {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &::log::Record<'_>) {
        let level = match record.level() {
            ::log::Level::Trace => Level::Trace,
            ::log::Level::Debug => Level::Debug,
            ::log::Level::Info => Level::Info,
            ::log::Level::Warn => Level::Warn,
            ::log::Level::Error => Level::Error,
        };
        match record.args().as_str() {
            Some(message) => log(level, record.target(), message),
            None => log(level, record.target(), record.args().to_string()),
        }
    }

    fn flush(&self) {}
}
