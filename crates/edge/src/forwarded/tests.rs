//! What trusted proxies may say, and what clients may say through them.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn proxies() -> TrustedProxies {
    "10.0.0.0/8, fd00::/8".parse().unwrap()
}

fn said(fields: &[(&'static str, &str)]) -> Said {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    resolve(&headers, PROXY.parse().unwrap(), &proxies())
}

fn client(fields: &[(&'static str, &str)]) -> String {
    said(fields).client.to_string()
}

#[test]
fn client_is_the_rightmost_address_that_is_not_trusted() {
    assert_eq!(client(&[]), PROXY);
    for (list, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("1.2.3.4, 203.0.113.7", "203.0.113.7"),
        ("1.2.3.4, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("203.0.113.7, unknown", PROXY),
        ("203.0.113.7, , 10.2.2.2", "10.2.2.2"),
        ("", PROXY),
    ] {
        assert_eq!(client(&[("x-forwarded-for", list)]), expected, "{list}");
    }
    let fields = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
    ];
    assert_eq!(client(&fields), "2.2.2.2", "several fields are one list");
}

#[test]
fn forwarded_is_read_as_its_standard_says() {
    let whole = said(&[(
        "forwarded",
        r#"for=1.1.1.1;host=evil, For="[2001:db8::7]:4711";Proto=HTTPS;host="shop.example.com""#,
    )]);
    assert_eq!(whole.client.to_string(), "2001:db8::7");
    assert_eq!(whole.https, Some(true));
    assert_eq!(whole.host.unwrap().as_str(), "shop.example.com");
    for broken in [
        "for=\"1.1.1.1",
        "for=1.1.1.1;for=2.2.2.2",
        "for",
        "for=_hidden",
    ] {
        assert_eq!(client(&[("forwarded", broken)]), PROXY, "{broken}");
    }
}

#[test]
fn what_the_two_forms_say_differently_is_not_believed() {
    let both = |forwarded| {
        said(&[
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "https"),
            ("forwarded", forwarded),
        ])
    };
    let same = both("for=2.2.2.2;proto=https");
    assert_eq!(
        (same.client.to_string().as_str(), same.https),
        ("2.2.2.2", Some(true))
    );
    let other = both("for=3.3.3.3;proto=http");
    assert_eq!(
        (other.client.to_string().as_str(), other.https),
        (PROXY, None)
    );
}

#[test]
fn scheme_and_host_are_those_of_the_clients_own_request() {
    let two_hops = said(&[
        ("x-forwarded-for", "9.9.9.9, 203.0.113.7, 10.0.0.2"),
        ("x-forwarded-proto", "https, https, http"),
        ("x-forwarded-host", "evil.example, shop.example.com, inner"),
    ]);
    assert_eq!(two_hops.https, Some(true));
    assert_eq!(two_hops.host.unwrap().as_str(), "shop.example.com");
    let alone = said(&[
        ("x-forwarded-for", "1.1.1.1, 10.0.0.2"),
        ("x-forwarded-proto", "https"),
    ]);
    assert_eq!(alone.https, Some(true));
    for host in ["a b", "user@host", "a/b", "", "a,", "café"] {
        let host = said(&[("x-forwarded-host", host)]).host;
        assert_eq!(host.filter(|host| host.as_str() != "a"), None);
    }
}

#[test]
fn list_of_networks_is_read_or_named() {
    let proxies = proxies();
    for (address, expected) in [
        ("10.255.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("fd12::1", true),
        ("11.0.0.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(proxies.has(address.parse().unwrap()), expected, "{address}");
    }
    assert_eq!(proxies.to_string(), "10.0.0.0/8,fd00::/8");
    assert!("".parse::<TrustedProxies>().unwrap().is_empty());
    let error = "10.0.0.0/33".parse::<TrustedProxies>().unwrap_err();
    assert!(error.to_string().contains("10.0.0.0/33"));
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        any::<[u16; 8]>().prop_map(IpAddr::from),
    ]
}

proptest! {
    /// Whatever a client writes in front, the address that the proxy saw is the client's.
    #[test]
    fn clients_tale_changes_nothing(tale in "[ -~]{0,60}", seen in address()) {
        prop_assume!(!proxies().has(seen));
        let list = format!("{tale}, {seen}");
        prop_assert_eq!(said(&[("x-forwarded-for", &list)]).client, seen.to_canonical());
        let quoted: String = tale.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        let element = format!("{quoted}, for=\"[{seen}]\"");
        prop_assert_eq!(said(&[("forwarded", &element)]).client, seen.to_canonical());
    }

    #[test]
    fn no_bytes_break_it(fields in prop::collection::vec((0_usize..4, prop::collection::vec(any::<u8>(), 0..40)), 0..6)) {
        let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(names[name], value);
            }
        }
        resolve(&headers, PROXY.parse().unwrap(), &proxies());
    }
}
