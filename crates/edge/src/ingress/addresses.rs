//! How many connections each address has open.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;

/// The counts of all addresses that have any.
#[derive(Debug, Default)]
pub(super) struct Addresses(Mutex<HashMap<Network, usize>>);

/// What counts as one: who has an IPv6 address has its network's 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4([u8; 4]),
    V6([u16; 4]),
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::V6([a, b, c, d])
            }
        }
    }
}

/// An open connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    network: Network,
    addresses: Arc<Addresses>,
}

impl Addresses {
    /// Takes a place, unless the address has `max` already.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<Counted> {
        let network = Network::of(address);
        let mut counts = self.0.lock();
        let count = counts.entry(network).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted {
            network,
            addresses: Arc::clone(self),
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock();
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_places_of_their_own_and_networks_share_them() {
        let addresses = Arc::new(Addresses::default());
        let take = |address: &str| addresses.take(address.parse().unwrap(), 2);
        let held = [take("192.0.2.1"), take("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        let network = [take("2001:db8::1"), take("2001:db8::ffff:1")];
        assert!(network.iter().all(Option::is_some));
        assert!(take("2001:db8::2").is_none());
        assert!(take("2001:db8:0:1::1").is_some());
        drop((held, network));
        assert!(addresses.0.lock().is_empty(), "no count is left behind");
    }
}
