//! The way of a request: ingress, router, admission, dispatch, respond, meter.
//!
//! `dispatch` is that way in one function. Knows nothing of deploys, stores or how a log line is
//! written.

#![forbid(unsafe_code)]

pub mod admission;
pub mod assets;
pub mod cache;
pub mod compress;
pub mod dispatch;
pub mod failures;
pub mod forwarded;
pub mod head;
pub mod ingress;
pub mod meter;
mod pieces;
pub mod placement;
pub mod previews;
pub mod respond;
pub mod router;
pub mod services;
pub mod tally;
pub mod traffic;
