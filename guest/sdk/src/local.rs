//! Makes values of one thread fit where `Send` is asked for. A component has one thread, but the
//! `http` ecosystem (axum first) asks for `Send` everywhere.
//!
//! On a host target, where unit tests run, a value that does change threads panics when it is
//! touched: that is `send_wrapper`'s promise, and why there is no unsafe code here.

use std::future::Future;
use std::pin::Pin;

pub(crate) use send_wrapper::SendWrapper as Local;

/// A boxed future that stays on its thread.
pub(crate) type LocalFuture<T = ()> = Pin<Box<dyn Future<Output = T>>>;
