//! What `serve` is told of its clients: whose word counts, how many connections, and for what they may take their
//! time.

use std::num::NonZeroU32;
use std::str::FromStr;

use everwarm_manifest::Millis;
use everwarm_node::{IngressLimits, TrustedProxies};
use serde::Serialize;
use serde::ser::SerializeStruct as _;

use crate::args::ClientsArgs;

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) limits: IngressLimits,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FromFile {
    pub(super) trusted_proxies: Option<String>,
    pub(super) connections_max: Option<NonZeroU32>,
    pub(super) connections_per_address_max: Option<NonZeroU32>,
    pub(super) head_time_max: Option<String>,
    pub(super) body_idle_max: Option<String>,
}

impl Clients {
    /// Flags and environment first, then the file, then defaults.
    ///
    /// # Errors
    /// The name of a setting of the file, and why it isn't one.
    pub(super) fn resolve(
        args: &ClientsArgs,
        file: FromFile,
    ) -> Result<Self, (&'static str, String)> {
        let mut limits = IngressLimits::default();
        if let Some(max) = args.connections_max.or(file.connections_max) {
            limits.connections_max = max.get() as usize;
        }
        let per_address = args.connections_per_address_max;
        if let Some(max) = per_address.or(file.connections_per_address_max) {
            limits.connections_per_address_max = max.get() as usize;
        }
        let head = of(args.head_time_max, file.head_time_max, "head-time-max")?;
        if let Some(time) = head {
            limits.head_time_max = time.duration();
        }
        let body = of(args.body_idle_max, file.body_idle_max, "body-idle-max")?;
        if let Some(time) = body {
            limits.body_idle_max = time.duration();
        }
        let proxies = args.trusted_proxies.clone();
        let proxies = of(proxies, file.trusted_proxies, "trusted-proxies")?;
        Ok(Self {
            trusted_proxies: proxies.unwrap_or_default(),
            limits,
        })
    }
}

fn of<T: FromStr<Err: ToString>>(
    flag: Option<T>,
    file: Option<String>,
    name: &'static str,
) -> Result<Option<T>, (&'static str, String)> {
    match (flag, file) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(text)) => {
            let value = text.parse().map(Some);
            value.map_err(|error: T::Err| (name, error.to_string()))
        }
        (None, None) => Ok(None),
    }
}

impl Serialize for Clients {
    /// In the form of a settings file.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let limits = &self.limits;
        let time = |time: std::time::Duration| {
            Millis::new(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).to_string()
        };
        let mut map = serializer.serialize_struct("clients", 5)?;
        map.serialize_field("trusted-proxies", &self.trusted_proxies.to_string())?;
        map.serialize_field("connections-max", &limits.connections_max)?;
        let per_address = &limits.connections_per_address_max;
        map.serialize_field("connections-per-address-max", per_address)?;
        map.serialize_field("head-time-max", &time(limits.head_time_max))?;
        map.serialize_field("body-idle-max", &time(limits.body_idle_max))?;
        map.end()
    }
}
