//! What can be typed about requests that functions send.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::ValueHint;

use crate::settings;

/// How the node carries out requests that functions send.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EgressArgs {
    /// Name servers that hosts are looked up at, as in 192.0.2.53 or 192.0.2.53:5353 [default: the system's]
    #[arg(
        long,
        value_name = "ADDRESSES",
        env = "EVERWARM_NAME_SERVERS",
        value_delimiter = ',',
        value_parser = settings::parse_name_server
    )]
    pub(crate) name_servers: Vec<SocketAddr>,
    /// Files with authorities, as PEM, that hosts' certificates may be from, besides the system's [default: none]
    #[arg(
        long,
        value_name = "FILES",
        env = "EVERWARM_TRUSTED_CAS",
        value_delimiter = ',',
        value_hint = ValueHint::FilePath
    )]
    pub(crate) trusted_cas: Vec<PathBuf>,
}
