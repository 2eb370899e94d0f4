//! The text of `addresses`: networks, and single addresses as networks of one. Doesn't know what they are
//! granted for.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, Serializer, de};

/// The bits of an IPv6 address before the IPv4 address that is mapped into it.
const MAPPED_PREFIX: u8 = 96;

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkError {
    /// It is neither an address nor a network.
    #[error("an entry is an address or a network, as in `10.1.0.0/16` or `fd00::7`")]
    NotANetwork,
    /// The address has bits that the prefix doesn't cover.
    #[error("a network's address has no bits set behind its prefix")]
    HostBits {
        /// The network that it is in.
        network: IpNet,
    },
    /// A network of IPv4 addresses in their IPv6 form.
    #[error("this is IPv4 in IPv6 form: write it as IPv4")]
    Mapped {
        /// The same in IPv4.
        network: IpNet,
    },
}

impl NetworkError {
    /// What the user may have meant.
    pub(crate) fn suggestion(&self) -> Option<IpNet> {
        match self {
            Self::NotANetwork => None,
            Self::HostBits { network } | Self::Mapped { network } => Some(*network),
        }
    }
}

/// Reads `address` or `address/prefix`. Not with the parser of `ipnet`, which takes `010.0.0.1` for
/// 10.0.0.1 where others read octal.
pub(crate) fn parse(text: &str) -> Result<IpNet, NetworkError> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| NetworkError::NotANetwork)?;
    let network = match prefix {
        None => IpNet::from(address),
        Some(prefix) => {
            let length = read_prefix(prefix).ok_or(NetworkError::NotANetwork)?;
            IpNet::new(address, length).map_err(|_| NetworkError::NotANetwork)?
        }
    };
    if let Some(network) = as_ipv4(network) {
        return Err(NetworkError::Mapped { network });
    }
    match network.trunc() {
        masked if masked == network => Ok(network),
        network => Err(NetworkError::HostBits { network }),
    }
}

fn read_prefix(digits: &str) -> Option<u8> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    digits.parse().ok().filter(|_| plain && !padded)
}

/// The IPv4 network that an IPv6 one maps.
fn as_ipv4(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = network else {
        return None;
    };
    let address = v6.addr().to_ipv4_mapped()?;
    let length = v6.prefix_len().checked_sub(MAPPED_PREFIX)?;
    Some(Ipv4Net::new(address, length).ok()?.trunc().into())
}

pub(super) fn serialize<S: Serializer>(
    networks: &[IpNet],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| parse(text).map_err(de::Error::custom))
        .collect()
}
