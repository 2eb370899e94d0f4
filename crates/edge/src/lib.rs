//! The way of a request: ingress, router, admission, dispatch

pub mod router;
