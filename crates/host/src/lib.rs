//! The capabilities of guests, one file each, behind the engine's trait.
//!
//! Every file owns one power: what it links, what it takes from the manifest, what an instance
//! gets. None knows another. `denied` answers the interfaces that standard libraries import
//! whether they use them or not, and that nothing grants.

#![forbid(unsafe_code)]

mod clocks;
mod config;
mod denied;
mod egress;
mod environment;
mod random;
mod secrets;
mod stdio;
mod window;

use std::sync::Arc;

use everwarm_engine::capability::{Capabilities, State};
use everwarm_engine::outbound::Services;

pub use clocks::Clocks;
pub use config::Config;
pub use denied::Denied;
pub use egress::{Egress, EgressConfig, EgressError, RootsError};
pub use environment::Environment;
pub use random::Random;
pub use secrets::{Secret, SecretBook, SecretMap};
pub use stdio::{GuestOutput, Stdio};

/// Every capability that a node has, in the order in which they are linked. What guests print, and what is said of
/// them, goes to `output` besides the log; calls to other functions go by `services`; secrets come from `secrets`.
///
/// # Errors
///
/// When one can't be set up as `egress` says.
pub fn all(
    output: Option<Arc<dyn GuestOutput>>,
    egress: &EgressConfig,
    services: Option<Arc<dyn Services>>,
    secrets: Arc<SecretBook>,
) -> Result<Capabilities, EgressError> {
    Ok(Capabilities::new(vec![
        Arc::new(Environment),
        Arc::new(Config::new(secrets, output.clone())),
        Arc::new(Clocks),
        Arc::new(Random),
        Arc::new(Stdio::new(output.clone())),
        Arc::new(Egress::new(egress, output, services)?),
        Arc::new(Denied),
    ]))
}

/// The state of a capability that keeps nothing for a function.
fn stateless() -> State {
    Arc::new(())
}
