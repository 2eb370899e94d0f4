//! Which addresses open, and which don't however they are written.

use proptest::prelude::*;

use super::Opens::{Alone, Always, Listed, Never};
use super::*;

/// The edges of each range with their neighbours, and addresses that wrap others.
const CORPUS: &[(&str, Kind, Opens)] = &[
    ("0.0.0.0", Unspecified, Never),
    ("0.0.0.1", ThisNetwork, Listed),
    ("0.255.255.255", ThisNetwork, Listed),
    ("1.0.0.0", Public, Always),
    ("8.8.8.8", Public, Always),
    ("9.255.255.255", Public, Always),
    ("10.0.0.0", Private, Listed),
    ("10.255.255.255", Private, Listed),
    ("11.0.0.0", Public, Always),
    ("100.63.255.255", Public, Always),
    ("100.64.0.0", Cgnat, Listed),
    ("100.100.100.199", Cgnat, Listed),
    ("100.100.100.200", Metadata, Alone),
    ("100.100.100.201", Cgnat, Listed),
    ("100.127.255.255", Cgnat, Listed),
    ("100.128.0.0", Public, Always),
    ("126.255.255.255", Public, Always),
    ("127.0.0.0", Loopback, Listed),
    ("127.0.0.1", Loopback, Listed),
    ("127.255.255.255", Loopback, Listed),
    ("128.0.0.0", Public, Always),
    ("168.63.129.15", Public, Always),
    ("168.63.129.16", Metadata, Alone),
    ("168.63.129.17", Public, Always),
    ("169.253.255.255", Public, Always),
    ("169.254.0.0", LinkLocal, Alone),
    ("169.254.0.23", Metadata, Alone),
    ("169.254.42.42", Metadata, Alone),
    ("169.254.169.253", LinkLocal, Alone),
    ("169.254.169.254", Metadata, Alone),
    ("169.254.169.255", LinkLocal, Alone),
    ("169.254.170.2", Metadata, Alone),
    ("169.254.170.23", Metadata, Alone),
    ("169.254.255.255", LinkLocal, Alone),
    ("169.255.0.0", Public, Always),
    ("172.15.255.255", Public, Always),
    ("172.16.0.0", Private, Listed),
    ("172.31.255.255", Private, Listed),
    ("172.32.0.0", Public, Always),
    ("191.255.255.255", Public, Always),
    ("192.0.0.0", Reserved, Listed),
    ("192.0.0.8", Reserved, Listed),
    ("192.0.0.9", Anycast, Listed),
    ("192.0.0.10", Anycast, Listed),
    ("192.0.0.11", Reserved, Listed),
    ("192.0.0.170", Reserved, Listed),
    ("192.0.0.192", Metadata, Alone),
    ("192.0.0.255", Reserved, Listed),
    ("192.0.1.0", Public, Always),
    ("192.0.1.255", Public, Always),
    ("192.0.2.0", Documentation, Listed),
    ("192.0.2.255", Documentation, Listed),
    ("192.0.3.0", Public, Always),
    ("192.31.195.255", Public, Always),
    ("192.31.196.0", Anycast, Listed),
    ("192.31.196.255", Anycast, Listed),
    ("192.31.197.0", Public, Always),
    ("192.52.192.255", Public, Always),
    ("192.52.193.0", Anycast, Listed),
    ("192.52.193.255", Anycast, Listed),
    ("192.52.194.0", Public, Always),
    ("192.88.98.255", Public, Always),
    ("192.88.99.0", Anycast, Listed),
    ("192.88.99.255", Anycast, Listed),
    ("192.88.100.0", Public, Always),
    ("192.167.255.255", Public, Always),
    ("192.168.0.0", Private, Listed),
    ("192.168.255.255", Private, Listed),
    ("192.169.0.0", Public, Always),
    ("192.175.47.255", Public, Always),
    ("192.175.48.0", Anycast, Listed),
    ("192.175.48.255", Anycast, Listed),
    ("192.175.49.0", Public, Always),
    ("198.17.255.255", Public, Always),
    ("198.18.0.0", Benchmarking, Listed),
    ("198.19.255.255", Benchmarking, Listed),
    ("198.20.0.0", Public, Always),
    ("198.51.99.255", Public, Always),
    ("198.51.100.0", Documentation, Listed),
    ("198.51.100.255", Documentation, Listed),
    ("198.51.101.0", Public, Always),
    ("203.0.112.255", Public, Always),
    ("203.0.113.0", Documentation, Listed),
    ("203.0.113.255", Documentation, Listed),
    ("203.0.114.0", Public, Always),
    ("223.255.255.255", Public, Always),
    ("224.0.0.0", Multicast, Never),
    ("239.255.255.255", Multicast, Never),
    ("240.0.0.0", Reserved, Listed),
    ("255.255.255.254", Reserved, Listed),
    ("255.255.255.255", Broadcast, Never),
    ("::", Unspecified, Never),
    ("::1", Loopback, Listed),
    ("::2", ThisNetwork, Listed),
    ("::1:0:0", Reserved, Listed),
    ("64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("64:ff9b::1:0:0", Reserved, Listed),
    ("64:ff9b:0:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Private, Listed),
    ("64:ff9b:2::", Reserved, Listed),
    ("ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("100::", Reserved, Listed),
    ("100::ffff:ffff:ffff:ffff", Reserved, Listed),
    ("100:0:0:1::", Reserved, Listed),
    ("100:0:0:2::", Reserved, Listed),
    ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("2000::", Public, Always),
    ("2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Public, Always),
    ("2001:1::", Reserved, Listed),
    ("2001:1::1", Anycast, Listed),
    ("2001:1::2", Anycast, Listed),
    ("2001:1::3", Anycast, Listed),
    ("2001:1::4", Reserved, Listed),
    ("2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("2001:2::", Benchmarking, Listed),
    ("2001:2:0:ffff:ffff:ffff:ffff:ffff", Benchmarking, Listed),
    ("2001:2:1::", Reserved, Listed),
    ("2001:3::", Anycast, Listed),
    ("2001:3:ffff:ffff:ffff:ffff:ffff:ffff", Anycast, Listed),
    ("2001:4::", Reserved, Listed),
    ("2001:4:112::", Anycast, Listed),
    ("2001:4:112:ffff:ffff:ffff:ffff:ffff", Anycast, Listed),
    ("2001:4:113::", Reserved, Listed),
    ("2001:10::", Reserved, Listed),
    ("2001:20::", Reserved, Listed),
    ("2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("2001:200::", Public, Always),
    ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", Public, Always),
    ("2001:db8::", Documentation, Listed),
    (
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Documentation,
        Listed,
    ),
    ("2001:db9::", Public, Always),
    ("2003::", Public, Always),
    ("2606:4700:4700::1111", Public, Always),
    ("2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", Public, Always),
    ("2620:4f:8000::", Anycast, Listed),
    ("2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Anycast, Listed),
    ("2620:4f:8001::", Public, Always),
    ("3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Public, Always),
    ("3fff::", Documentation, Listed),
    (
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Documentation,
        Listed,
    ),
    ("3fff:1000::", Public, Always),
    ("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Public, Always),
    ("4000::", Reserved, Listed),
    ("5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("5f00::", Reserved, Listed),
    ("5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("5f01::", Reserved, Listed),
    ("fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("fc00::", UniqueLocal, Listed),
    ("fd00:42::42", Metadata, Alone),
    ("fd00:c1::a9fe:a9fe", Metadata, Alone),
    ("fd00:100::100:200", Metadata, Alone),
    ("fd00:a9fe:a9fe::1", Metadata, Alone),
    ("fd00:ec2::23", Metadata, Alone),
    ("fd00:ec2::253", UniqueLocal, Listed),
    ("fd00:ec2::254", Metadata, Alone),
    ("fd00:ec2::255", UniqueLocal, Listed),
    ("fd20:ce::254", Metadata, Alone),
    (
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        UniqueLocal,
        Listed,
    ),
    ("fe00::", Reserved, Listed),
    ("fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, Listed),
    ("fe80::", LinkLocal, Alone),
    ("fe80::a9fe:a9fe", Metadata, Alone),
    ("febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LinkLocal, Alone),
    ("fec0::", SiteLocal, Listed),
    ("feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", SiteLocal, Listed),
    ("ff00::", Multicast, Never),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast, Never),
    // IPv4-mapped
    ("::ffff:8.8.8.8", Public, Always),
    ("::ffff:10.0.0.1", Private, Listed),
    ("::ffff:127.0.0.1", Loopback, Listed),
    ("::ffff:169.254.169.254", Metadata, Alone),
    ("::ffff:0.0.0.0", Unspecified, Never),
    ("::ffff:255.255.255.255", Broadcast, Never),
    // IPv4-compatible and IPv4-translated
    ("::8.8.8.8", Reserved, Listed),
    ("::10.0.0.1", Private, Listed),
    ("::169.254.169.254", Metadata, Alone),
    ("::255.255.255.255", Broadcast, Never),
    ("::ffff:0:8.8.8.8", Reserved, Listed),
    ("::ffff:0:127.0.0.1", Loopback, Listed),
    // NAT64
    ("64:ff9b::8.8.8.8", Public, Always),
    ("64:ff9b::10.0.0.1", Private, Listed),
    ("64:ff9b::168.63.129.16", Metadata, Alone),
    ("64:ff9b::224.0.0.1", Multicast, Never),
    ("64:ff9b::", Unspecified, Never),
    ("64:ff9b::255.255.255.255", Broadcast, Never),
    // NAT64 for local use, behind prefixes of 96, 48, 56 and 64 bits
    ("64:ff9b:1::8.8.8.8", Private, Listed),
    ("64:ff9b:1::127.0.0.1", Loopback, Listed),
    ("64:ff9b:1::169.254.169.254", Metadata, Alone),
    ("64:ff9b:1::224.0.0.1", Multicast, Never),
    ("64:ff9b:1:7::169.254.169.254", Metadata, Alone),
    ("64:ff9b:1:808:8:800::", Private, Listed),
    ("64:ff9b:1:a9fe:a9:fe00:808:808", Metadata, Alone),
    ("64:ff9b:1:a9:fe:a9fe::", Metadata, Alone),
    ("64:ff9b:1:0:a9:fea9:fe00:0", Metadata, Alone),
    ("64:ff9b:1:7:0a:1:e0:0", Private, Listed),
    ("64:ff9b:1:a9fe:1:100::", LinkLocal, Alone),
    // 6to4
    ("2002:808:808::1", Public, Always),
    ("2002::", Unspecified, Never),
    ("2002:a00:1::1", Private, Listed),
    ("2002:7f00:1::1", Loopback, Listed),
    ("2002:a9fe:a9fe::1", Metadata, Alone),
    ("2002:a83f:8110::1", Metadata, Alone),
    ("2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Broadcast, Never),
    // Teredo: the server stands as it is, the client with all bits turned
    ("2001::", Unspecified, Never),
    ("2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Unspecified, Never),
    ("2001:0:808:808::f7f7:f7f7", Public, Always),
    ("2001:0:808:808::", Broadcast, Never),
    ("2001:0:808:808::fefe:fefe", Public, Always),
    ("2001:0:a00:1::f7f7:f7f6", Private, Listed),
    ("2001:0:808:808::f5ff:fffe", Private, Listed),
    ("2001:0:808:808::5601:5601", Metadata, Alone),
    ("2001:0:a9fe:a9fe::f7f7:f7f6", Metadata, Alone),
    // ISATAP
    ("2606:4700::5efe:8.8.8.8", Public, Always),
    ("2606:4700::5efe:10.0.0.1", Private, Listed),
    ("2606:4700::200:5efe:10.0.0.1", Private, Listed),
    ("2606:4700::100:5efe:10.0.0.1", Public, Always),
    ("2606:4700::5eff:10.0.0.1", Public, Always),
    ("2606:4700::200:5efe:169.254.169.254", Metadata, Alone),
    ("fe80::5efe:8.8.8.8", LinkLocal, Alone),
    ("fd00::5efe:8.8.8.8", UniqueLocal, Listed),
    ("2002:808:808::5efe:192.168.0.1", Private, Listed),
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn everything() -> Vec<IpNet> {
    networks(&["0.0.0.0/0", "::/0"])
}

#[test]
fn each_address_is_of_its_kind_and_opens_as_its_kind_does() {
    for (text, expected, opens) in CORPUS {
        let address = address(text);
        let canonical = address.to_canonical();
        assert_eq!(kind(address), *expected, "{text}");
        for (listed, opened) in [
            (vec![], *opens == Always),
            (everything(), matches!(opens, Always | Listed)),
            (vec![IpNet::from(canonical)], *opens != Never),
        ] {
            assert_eq!(is_permitted(address, &listed), opened, "{text} {listed:?}");
        }
    }
}

#[test]
fn corpus_has_both_edges_of_every_ipv4_network() {
    let has = |edge: IpAddr| CORPUS.iter().any(|(text, ..)| address(text) == edge);
    for (network, _) in V4 {
        assert!(has(network.network().into()), "{network}");
        assert!(has(network.broadcast().into()), "{network}");
    }
}

#[test]
fn only_a_listed_network_that_has_the_address_opens_it() {
    let listed = networks(&["10.1.0.0/16", "fd00:1::/32", "127.0.0.1/32"]);
    for (text, opened) in [
        ("10.1.0.0", true),
        ("10.1.255.255", true),
        ("10.0.255.255", false),
        ("10.2.0.0", false),
        ("fd00:1::7", true),
        ("fd00:2::7", false),
        ("127.0.0.1", true),
        ("127.0.0.2", false),
        ("8.8.8.8", true),
    ] {
        assert_eq!(is_permitted(address(text), &listed), opened, "{text}");
    }
}

#[test]
fn a_listed_ipv4_address_opens_its_mapped_form_and_no_other() {
    let listed = networks(&["10.0.0.1/32", "10.0.0.0/8"]);
    assert!(is_permitted(address("::ffff:10.0.0.1"), &listed));
    for text in [
        "::10.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::10.0.0.1",
        "2002:a00:1::1",
        "2001:0:808:808::f5ff:fffe",
        "2606:4700::5efe:10.0.0.1",
    ] {
        assert!(!is_permitted(address(text), &listed), "{text}");
        let itself = [IpNet::from(address(text))];
        assert!(is_permitted(address(text), &itself), "{text}");
    }
}

#[test]
fn a_listed_ipv6_network_has_no_ipv4_address() {
    for listed in ["::/0", "::ffff:0:0/96", "::ffff:10.0.0.1/128"] {
        let listed = networks(&[listed]);
        assert!(!is_permitted(address("10.0.0.1"), &listed), "{listed:?}");
        assert!(
            !is_permitted(address("::ffff:10.0.0.1"), &listed),
            "{listed:?}"
        );
    }
}

#[test]
fn metadata_and_link_local_addresses_open_one_by_one() {
    for (text, wide) in [
        ("169.254.169.254", "169.254.0.0/16"),
        ("169.254.169.254", "169.254.169.254/31"),
        ("169.254.7.7", "169.254.0.0/16"),
        ("::ffff:169.254.169.254", "169.254.0.0/16"),
        ("168.63.129.16", "168.63.129.0/24"),
        ("100.100.100.200", "100.64.0.0/10"),
        ("192.0.0.192", "192.0.0.0/24"),
        ("fd00:ec2::254", "fd00:ec2::254/127"),
        ("64:ff9b::169.254.169.254", "64:ff9b::/96"),
        ("64:ff9b:1:a9fe:a9:fe00::1", "64:ff9b:1::/48"),
        ("2002:a9fe:a9fe::1", "2002:a9fe:a9fe::/48"),
    ] {
        let alone = IpNet::from(address(text).to_canonical());
        assert!(!is_permitted(address(text), &networks(&[wide])), "{text}");
        let both = [networks(&[wide]), vec![alone]].concat();
        assert!(is_permitted(address(text), &both), "{text}");
    }
}

fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from_bits), non_public_v4()]
}

/// An address in one of the networks of the table, each as likely as the others.
fn non_public_v4() -> impl Strategy<Value = Ipv4Addr> {
    (0..V4.len(), any::<u32>()).prop_map(|(row, bits)| {
        let network = V4[row].0;
        Ipv4Addr::from_bits(network.network().to_bits() | (bits & network.hostmask().to_bits()))
    })
}

fn any_v6() -> impl Strategy<Value = Ipv6Addr> {
    let networks = V6.iter().map(|row| row.0);
    let networks: Vec<Ipv6Net> = networks.chain(FORMS.iter().map(|form| form.0)).collect();
    let inside = (0..networks.len(), any::<u128>()).prop_map(move |(row, bits)| {
        let (first, host) = (networks[row].network(), networks[row].hostmask());
        Ipv6Addr::from_bits(first.to_bits() | (bits & host.to_bits()))
    });
    prop_oneof![any::<u128>().prop_map(Ipv6Addr::from_bits), inside]
}

/// Every form that wraps the address, with what else may stand in it.
fn wrappings(address: Ipv4Addr, other: u128) -> Vec<Ipv6Addr> {
    let bits = u128::from(address.to_bits());
    let prefix = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
    let (teredo, isatap) = (prefix("2001:0:808:808::fefe:fefe"), other >> 64 << 64);
    let forms = [
        prefix("::ffff:0:0") | bits,
        prefix("64:ff9b::") | bits,
        prefix("64:ff9b:1::") | bits,
        prefix("::ffff:0:0:0") | bits,
        bits,
        prefix("2002::") | (bits << 80) | (other & (u128::MAX >> 48)),
        (teredo & !(0xffff_ffff << 64)) | (bits << 64),
        (teredo >> 32 << 32) | (!bits & 0xffff_ffff),
        isatap | (0x5efe << 32) | bits,
        isatap | (0x0200_5efe << 32) | bits,
    ];
    forms.map(Ipv6Addr::from_bits).to_vec()
}

proptest! {
    #[test]
    fn wrapping_makes_no_address_public(inner in non_public_v4(), other: u128) {
        prop_assert_ne!(kind(inner.into()), Public);
        for outer in wrappings(inner, other) {
            prop_assert_ne!(kind(outer.into()), Public, "{}", outer);
            prop_assert!(kind(outer.into()) >= kind(inner.into()), "{}", outer);
            let listed = [IpNet::from(IpAddr::from(inner))];
            let opened = is_permitted(outer.into(), &listed);
            let is_mapped = outer.to_ipv4_mapped().is_some();
            prop_assert!(!opened || is_mapped, "{}", outer);
        }
    }

    #[test]
    fn mapped_address_is_judged_as_ipv4(inner in any_v4(), wide in 0..=32_u8) {
        let outer = IpAddr::from(inner.to_ipv6_mapped());
        let listed = [IpNet::new_assert(inner.into(), wide)];
        prop_assert_eq!(kind(outer), kind(inner.into()));
        prop_assert_eq!(is_permitted(outer, &listed), is_permitted(inner.into(), &listed));
    }

    #[test]
    fn nat64_and_6to4_addresses_are_of_the_kind_that_they_wrap(inner in any_v4(), network: u16) {
        let bits = u128::from(inner.to_bits());
        let nat64 = Ipv6Addr::from_bits((0x0064_ff9b << 96) | bits);
        let six_to_four = (0x2002 << 112) | (bits << 80) | (u128::from(network) << 64) | 1;
        prop_assert_eq!(kind(nat64.into()), kind(inner.into()));
        prop_assert_eq!(kind(Ipv6Addr::from_bits(six_to_four).into()), kind(inner.into()));
    }

    #[test]
    fn without_a_list_only_public_addresses_open(v4 in any_v4(), v6 in any_v6()) {
        for address in [IpAddr::from(v4), IpAddr::from(v6)] {
            prop_assert_eq!(is_permitted(address, &[]), kind(address) == Public);
        }
    }

    #[test]
    fn a_list_of_everything_opens_nothing_that_opens_alone_or_never(
        v4 in any_v4(),
        v6 in any_v6(),
    ) {
        for address in [IpAddr::from(v4), IpAddr::from(v6)] {
            let expected = matches!(kind(address).opens(), Always | Listed);
            prop_assert_eq!(is_permitted(address, &everything()), expected);
        }
    }

    #[test]
    fn public_ipv6_is_global_unicast_or_translated(address in any_v6()) {
        let global: Ipv6Net = "2000::/3".parse().unwrap();
        let is_mapped = address.to_ipv4_mapped().is_some();
        let may_be = is_mapped || global.contains(&address) || NAT64.contains(&address);
        prop_assert!(may_be || kind(address.into()) != Public);
    }

    /// What the standard library says of an address, which keeps lists of its own.
    #[test]
    fn nothing_that_the_standard_library_calls_special_is_public(v4 in any_v4(), v6 in any_v6()) {
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!special || kind(v4.into()) != Public);
        let special = v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local()
            || v6.is_unicast_link_local() || v6.is_multicast();
        prop_assert!(!special || kind(v6.into()) != Public);
    }
}
