//! The seam to versions that are asked for by hosts of their own and aren't in the table of routes: there are many,
//! and nearly nobody asks for them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::dispatch::Route;
use crate::router::RouteTable;

/// What [`Previews::find`] returns.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Option<Arc<RouteTable<Route>>>> + Send + 'a>>;

/// Finds versions by their own hosts. Asked only about requests that no route matches.
pub trait Previews: Send + Sync + 'static {
    /// Whether a host has the form of a version's own. Takes no time.
    fn is_preview(&self, host: &str) -> bool;

    /// The routes of the version that has this host, at whatever host they are.
    fn find<'a>(&'a self, host: &'a str) -> Finding<'a>;
}
