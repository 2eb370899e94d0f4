//! Here or elsewhere: the seam at which a cluster will send a request to a function's home.
//!
//! A node alone is every function's home. `dispatch` asks all the same, so that the question has
//! one place.

use everwarm_engine::function::FunctionSpec;

/// Where a request is worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this node.
    Here,
}

/// Decides where a request for `function` is worked on. Pure.
pub fn place(_function: &FunctionSpec) -> Place {
    Place::Here
}
