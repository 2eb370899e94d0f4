//! Bounds on connections, and on what clients may take their time for.

use std::time::Duration;

/// See the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections that may be open at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Of these, from one address; an IPv6 network of 64 bits counts as one. Trusted proxies aren't bound by it.
    pub connections_per_address_max: usize,
    /// How long a client may take to send a request's head, the wait for it included: a connection that is idle
    /// for longer is closed.
    pub head_time_max: Duration,
    /// How long nothing may come of a request's body while the function waits for it.
    pub body_idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            connections_per_address_max: 1_024,
            head_time_max: Duration::from_secs(30),
            body_idle_max: Duration::from_secs(20),
        }
    }
}
