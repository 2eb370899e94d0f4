//! Which IP addresses an outgoing request may connect to. Pure.
//!
//! Owns what kind an address is, by the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190),
//! and which kinds only an operator's list opens. Knows neither names nor connections, and nothing of the network
//! that the host stands in: where a translator has a prefix of its own (RFC 6052, section 2.2; 6rd, RFC 5969), no
//! address tells that it wraps another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use Kind::{
    Anycast, Benchmarking, Broadcast, Cgnat, Documentation, LinkLocal, Loopback, Metadata,
    Multicast, Private, Public, Reserved, SiteLocal, ThisNetwork, UniqueLocal, Unspecified,
};

/// What kind of address it is.
///
/// Ordered by how hard it is to open: of an address and those that it wraps, the greatest kind counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Anybody's on the internet. The only kind that needs no listing.
    Public,
    /// Kept for protocols or for the future, or not given to anybody yet.
    Reserved,
    /// For examples (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// For measurements of networks (RFC 2544, RFC 5180).
    Benchmarking,
    /// Services of the network itself, which answers where it is nearest: often one's own. The registries call some
    /// of them globally reachable, but no function has business with AS112, AMT, PCP or TURN.
    Anycast,
    /// Hosts on "this" network (RFC 1122).
    ThisNetwork,
    /// What private addresses of IPv6 were before RFC 3879.
    SiteLocal,
    /// Shared by the customers of a provider (RFC 6598).
    Cgnat,
    /// Private addresses of IPv6 (RFC 4193).
    UniqueLocal,
    /// A private network's (RFC 1918), or what its own translator stands for (RFC 8215).
    Private,
    /// This host (RFC 1122, RFC 4291).
    Loopback,
    /// This link (RFC 3927, RFC 4291). Clouds serve credentials from here, and no list of such addresses is whole.
    LinkLocal,
    /// Where a cloud tells a machine who it is and hands it credentials.
    Metadata,
    /// Groups of hosts (RFC 5771, RFC 4291).
    Multicast,
    /// All hosts of this link (RFC 919).
    Broadcast,
    /// No address. Connecting to it reaches this host.
    Unspecified,
}

/// What it takes for a function to be connected to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opens {
    Always,
    /// A listed network that has it.
    Listed,
    /// A listed network of this one address: a wider one, as in `169.254.0.0/16` or `0.0.0.0/0`, would open it by
    /// accident.
    Alone,
    Never,
}

impl Kind {
    fn opens(self) -> Opens {
        match self {
            Public => Opens::Always,
            Reserved | Documentation | Benchmarking | Anycast | ThisNetwork | SiteLocal | Cgnat
            | UniqueLocal | Private | Loopback => Opens::Listed,
            LinkLocal | Metadata => Opens::Alone,
            Multicast | Broadcast | Unspecified => Opens::Never,
        }
    }
}

/// What kind an address is. One that wraps IPv4 addresses is judged by itself and by each of them: it is public only
/// if all are.
pub fn kind(address: IpAddr) -> Kind {
    match address.to_canonical() {
        IpAddr::V4(address) => v4_kind(address),
        IpAddr::V6(address) => wrapped(address)
            .map(v4_kind)
            .chain(behind_local_nat64(address))
            .fold(v6_kind(address), Kind::max),
    }
}

/// Whether a function may be connected to it: to public addresses always, to others only when listed on purpose.
///
/// An IPv4-mapped address is looked for as IPv4. No other form of an address is permitted by listing the address that
/// it wraps, and a listed network stands for itself: `::/0` has no IPv4 address in it.
pub fn is_permitted(address: IpAddr, listed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    match kind(address).opens() {
        Opens::Always => true,
        Opens::Listed => listed.iter().any(|network| network.contains(&address)),
        Opens::Alone => listed.contains(&IpNet::from(address)),
        Opens::Never => false,
    }
}

/// The kinds of IPv4. The first network that has an address counts; what is in none is public.
static V4: &[(Ipv4Net, Kind)] = &[
    (v4([169, 254, 169, 254], 32), Metadata), // nearly every cloud
    (v4([169, 254, 170, 2], 32), Metadata),   // AWS, credentials of tasks
    (v4([169, 254, 170, 23], 32), Metadata),  // AWS, credentials of pods
    (v4([169, 254, 42, 42], 32), Metadata),   // Scaleway
    (v4([169, 254, 0, 23], 32), Metadata),    // Tencent
    (v4([100, 100, 100, 200], 32), Metadata), // Alibaba
    (v4([168, 63, 129, 16], 32), Metadata),   // Azure's wire server, in a public range
    (v4([192, 0, 0, 192], 32), Metadata),     // Oracle
    (v4([0, 0, 0, 0], 32), Unspecified),      // RFC 1122, 3.2.1.3
    (v4([0, 0, 0, 0], 8), ThisNetwork),       // RFC 1122, 3.2.1.3
    (v4([10, 0, 0, 0], 8), Private),          // RFC 1918
    (v4([100, 64, 0, 0], 10), Cgnat),         // RFC 6598
    (v4([127, 0, 0, 0], 8), Loopback),        // RFC 1122, 3.2.1.3
    (v4([169, 254, 0, 0], 16), LinkLocal),    // RFC 3927
    (v4([172, 16, 0, 0], 12), Private),       // RFC 1918
    (v4([192, 0, 0, 9], 32), Anycast),        // PCP, RFC 7723
    (v4([192, 0, 0, 10], 32), Anycast),       // TURN, RFC 8155
    (v4([192, 0, 0, 0], 24), Reserved),       // protocols of the IETF, RFC 6890, 2.1
    (v4([192, 0, 2, 0], 24), Documentation),  // TEST-NET-1, RFC 5737
    (v4([192, 31, 196, 0], 24), Anycast),     // AS112, RFC 7535
    (v4([192, 52, 193, 0], 24), Anycast),     // AMT, RFC 7450
    (v4([192, 88, 99, 0], 24), Anycast),      // relays of 6to4, RFC 7526, and 6a44, RFC 6751
    (v4([192, 168, 0, 0], 16), Private),      // RFC 1918
    (v4([192, 175, 48, 0], 24), Anycast),     // AS112, RFC 7534
    (v4([198, 18, 0, 0], 15), Benchmarking),  // RFC 2544
    (v4([198, 51, 100, 0], 24), Documentation), // TEST-NET-2, RFC 5737
    (v4([203, 0, 113, 0], 24), Documentation), // TEST-NET-3, RFC 5737
    (v4([224, 0, 0, 0], 4), Multicast),       // RFC 5771
    (v4([255, 255, 255, 255], 32), Broadcast), // RFC 919, 7
    (v4([240, 0, 0, 0], 4), Reserved),        // RFC 1112, 4
];

/// The kinds of IPv6, without what an address wraps. The first network that has an address counts. What is in none
/// is reserved: only `2000::/3` was ever given out as global unicast (RFC 4291, section 2.4, and RFC 3587).
static V6: &[(Ipv6Net, Kind)] = &[
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), Metadata), // AWS
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), Metadata),  // AWS, credentials of pods
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), Metadata),  // Google
    (
        v6([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
        Metadata,
    ), // Oracle
    (v6([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200], 128), Metadata), // Alibaba
    (v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128), Metadata),   // Scaleway
    (v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128), Metadata), // Akamai
    (v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), Metadata), // OpenStack
    (v6([], 128), Unspecified),                                 // RFC 4291, 2.5.2
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), Loopback),              // RFC 4291, 2.5.3
    (NAT64, Public),                      // as far as what it wraps is, RFC 6052, 3.1
    (LOCAL_NAT64, Private),               // RFC 8215
    (v6([0x100], 64), Reserved),          // thrown away, RFC 6666
    (v6([0x100, 0, 0, 1], 64), Reserved), // a dummy, RFC 9780
    (TEREDO, Public),                     // as far as what it wraps is, RFC 4380
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 1], 128), Anycast), // PCP, RFC 7723
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 2], 128), Anycast), // TURN, RFC 8155
    (v6([0x2001, 1, 0, 0, 0, 0, 0, 3], 128), Anycast), // registering services, RFC 9665
    (v6([0x2001, 2, 0], 48), Benchmarking), // RFC 5180
    (v6([0x2001, 3], 32), Anycast),       // AMT, RFC 7450
    (v6([0x2001, 4, 0x112], 48), Anycast), // AS112, RFC 7535
    (v6([0x2001, 0x10], 28), Reserved),   // names of hosts: ORCHID, RFC 4843
    (v6([0x2001, 0x20], 28), Reserved),   // names of hosts: ORCHIDv2, RFC 7343
    (v6([0x2001, 0x30], 28), Reserved),   // names of drones, RFC 9374
    (v6([0x2001], 23), Reserved),         // protocols of the IETF, RFC 2928
    (v6([0x2001, 0xdb8], 32), Documentation), // RFC 3849
    (v6([0x2620, 0x4f, 0x8000], 48), Anycast), // AS112, RFC 7534
    (v6([0x3fff], 20), Documentation),    // RFC 9637
    (v6([0x2000], 3), Public),            // 6to4 too, as far as what it wraps is
    (v6([0x5f00], 16), Reserved),         // segments of routes, RFC 9602
    (v6([0xfc00], 7), UniqueLocal),       // RFC 4193
    (v6([0xfe80], 10), LinkLocal),        // RFC 4291, 2.5.6
    (v6([0xfec0], 10), SiteLocal),        // RFC 3879
    (v6([0xff00], 8), Multicast),         // RFC 4291, 2.7
];

const NAT64: Ipv6Net = v6([0x64, 0xff9b], 96);
const LOCAL_NAT64: Ipv6Net = v6([0x64, 0xff9b, 1], 48);
const TEREDO: Ipv6Net = v6([0x2001, 0], 32);

/// Brings a wrapped address to the lowest 32 bits.
type Lower = fn(u128) -> u128;

/// Networks whose addresses wrap an IPv4 address. IPv4-mapped ones are not here: they were made IPv4 before.
static FORMS: &[(Ipv6Net, Lower)] = &[
    (v6([], 96), |bits| bits), // IPv4-compatible, RFC 4291, 2.5.5.1
    (v6([0, 0, 0, 0, 0xffff, 0], 96), |bits| bits), // IPv4-translated, RFC 2765, 2.1
    (NAT64, |bits| bits),      // RFC 6052, 2.1
    (v6([0x64, 0xff9b, 1], 96), |bits| bits), // the first prefix of RFC 8215
    (v6([0x2002], 16), |bits| bits >> 80), // 6to4, RFC 3056, 2
    (TEREDO, |bits| bits >> 64), // its server, RFC 4380, 4
    (TEREDO, |bits| !bits),    // its client, RFC 4380, 4
];

/// The IPv4 addresses in an IPv6 one that can't be read in two ways.
fn wrapped(address: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let bits = address.to_bits();
    let forms = FORMS
        .iter()
        .filter(move |(within, _)| within.contains(&address));
    let isatap = is_isatap(bits).then_some(bits);
    forms
        .map(move |(_, lower)| lower(bits))
        .chain(isatap)
        .map(lowest)
}

/// Whether the interface is named as in RFC 5214, section 6.1, whatever the prefix. One bit tells whether the IPv4
/// address is unique in the world, and is not looked at: whoever makes up an address sets it at will.
fn is_isatap(bits: u128) -> bool {
    (bits >> 32) & 0xfdff_ffff == 0x5efe
}

/// How an address of RFC 8215 must be guarded, by what it may wrap.
///
/// Each network chooses its own prefix in `64:ff9b:1::/48`, of one of the lengths of RFC 6052, section 2.2, and so
/// where the IPv4 address stands. None of it is public anyway. Where any of the readings is an address that opens only
/// alone, so does this one: else a listed prefix would open it. All other readings may be chance.
fn behind_local_nat64(address: Ipv6Addr) -> Option<Kind> {
    if !LOCAL_NAT64.contains(&address) {
        return None;
    }
    let bits = address.to_bits();
    // Shorter prefixes leave out the octet after bit 64.
    let joined = (bits >> 64 << 56) | (bits & (u128::MAX >> 72));
    let readings = [joined >> 40, joined >> 32, joined >> 24, bits];
    let kinds = readings.map(|bits| v4_kind(lowest(bits))).into_iter();
    kinds.filter(|kind| kind.opens() == Opens::Alone).max()
}

fn v4_kind(address: Ipv4Addr) -> Kind {
    let row = V4.iter().find(|(network, _)| network.contains(&address));
    row.map_or(Public, |(_, kind)| *kind)
}

fn v6_kind(address: Ipv6Addr) -> Kind {
    let row = V6.iter().find(|(network, _)| network.contains(&address));
    row.map_or(Reserved, |(_, kind)| *kind)
}

/// The IPv4 address in the lowest 32 bits.
fn lowest(bits: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = bits.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

/// For the tables only, where a length that can't be doesn't compile.
const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// For the tables only, as [`v4`]. Segments that aren't written are zero.
const fn v6<const N: usize>(segments: [u16; N], length: u8) -> Ipv6Net {
    let (mut bits, mut index) = (0, 0);
    while index < N {
        bits |= (segments[index] as u128) << (112 - 16 * index);
        index += 1;
    }
    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length)
}

#[cfg(test)]
mod tests;
