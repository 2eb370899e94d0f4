//! How the node carries out requests that functions send: whom it asks for names, and whom it trusts.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use everwarm_node::EgressConfig;
use serde::Serialize;

use crate::args::EgressArgs;

/// Where name servers listen (RFC 1035, section 4.2).
const DNS_PORT: u16 = 53;

/// What is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Egress {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) name_servers: Vec<SocketAddr>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trusted_cas: Vec<PathBuf>,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FromFile {
    pub(super) name_servers: Option<Vec<String>>,
    pub(super) trusted_cas: Option<Vec<PathBuf>>,
}

impl Egress {
    /// Flags and environment first, then the file.
    ///
    /// # Errors
    /// The name of a setting of the file, and why it isn't one.
    pub(super) fn resolve(
        args: &EgressArgs,
        file: FromFile,
    ) -> Result<Self, (&'static str, String)> {
        let of_file: Result<Vec<_>, _> = file
            .name_servers
            .unwrap_or_default()
            .iter()
            .map(|text| parse_name_server(text))
            .collect();
        let of_file = of_file.map_err(|reason| ("name-servers", reason))?;
        Ok(Self {
            name_servers: or(args.name_servers.clone(), of_file),
            trusted_cas: or(
                args.trusted_cas.clone(),
                file.trusted_cas.unwrap_or_default(),
            ),
        })
    }

    /// For the node.
    pub(crate) fn config(&self) -> EgressConfig {
        EgressConfig {
            name_servers: self.name_servers.clone(),
            trusted_cas: self.trusted_cas.clone(),
            ..EgressConfig::default()
        }
    }
}

impl From<EgressArgs> for Egress {
    fn from(args: EgressArgs) -> Self {
        let EgressArgs {
            name_servers,
            trusted_cas,
        } = args;
        Self {
            name_servers,
            trusted_cas,
        }
    }
}

fn or<T>(first: Vec<T>, second: Vec<T>) -> Vec<T> {
    if first.is_empty() { second } else { first }
}

/// An address with a port, or without one, which is that of DNS then.
pub(crate) fn parse_name_server(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, DNS_PORT));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is no address of a name server, as in 192.0.2.53 or [2001:db8::53]:5353")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_is_an_address_with_or_without_a_port() {
        let parsed = |text: &str| parse_name_server(text).unwrap().to_string();
        assert_eq!(parsed("192.0.2.53"), "192.0.2.53:53");
        assert_eq!(parsed("2001:db8::53"), "[2001:db8::53]:53");
        assert_eq!(parsed(" [2001:db8::53]:5353 "), "[2001:db8::53]:5353");
        assert!(parse_name_server("dns.example.com").is_err());
    }
}
