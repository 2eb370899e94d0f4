//! What grants allow, and how strictly a guest's target is read before it is compared with them.

use everwarm_manifest::{
    App, GrantError, Grants, HttpGrant, HttpScheme, HttpTarget, TargetError, TargetHost,
};
use proptest::prelude::*;

use HttpScheme::{Http, Https};

fn grant(text: &str) -> HttpGrant {
    HttpGrant::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The target that `scheme://authority` names.
fn target(text: &str) -> HttpTarget {
    let (scheme, authority) = text.split_once("://").expect("a target has a scheme");
    let scheme = if scheme == "http" { Http } else { Https };
    HttpTarget::parse(scheme, authority).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Authorities that are read, and the normal form of their target.
const READ: &[(HttpScheme, &str, &str)] = &[
    (Https, "api.example.com", "https://api.example.com"),
    (Https, "api.example.com:443", "https://api.example.com"),
    (Https, "api.example.com:80", "https://api.example.com:80"),
    (Http, "api.example.com:80", "http://api.example.com"),
    (Http, "api.example.com:443", "http://api.example.com:443"),
    (Http, "a:1", "http://a:1"),
    (Http, "a:65535", "http://a:65535"),
    (Https, "API.Example.COM", "https://api.example.com"),
    (Https, "example.com.", "https://example.com"),
    (Https, "example.com.:8443", "https://example.com:8443"),
    (Http, "localhost", "http://localhost"),
    (Http, "_dns.a-b", "http://_dns.a-b"),
    (Https, "xn--caf-dma.example", "https://xn--caf-dma.example"),
    (Http, "users.internal", "http://users.internal"),
    (Http, "10.0.0.7", "http://10.0.0.7"),
    (Http, "10.0.0.7:8080", "http://10.0.0.7:8080"),
    (Http, "127.0.0.1.", "http://127.0.0.1"),
    (Http, "[::1]", "http://[::1]"),
    (Http, "[0:0::0001]:80", "http://[::1]"),
    (Http, "[FD00::7]:8080", "http://[fd00::7]:8080"),
    (Http, "[::ffff:10.0.0.7]", "http://10.0.0.7"),
    (Http, "[::FFFF:7f00:1]:81", "http://127.0.0.1:81"),
    // Deprecated, and no IPv4 address to any system: it stays what it is, and it isn't public.
    (Http, "[::127.0.0.1]", "http://[::7f00:1]"),
    // The last label is no number, so no resolver reads an address.
    (Http, "127.0.0.1.example", "http://127.0.0.1.example"),
    (Http, "0xg", "http://0xg"),
    (Http, "1a", "http://1a"),
    (Http, "7.x0", "http://7.x0"),
];

/// Authorities that are refused, and why.
const REFUSED: &[(&str, TargetError)] = &[
    // User names, and what looks like one.
    ("user@example.com", TargetError::Userinfo),
    ("user:password@example.com", TargetError::Userinfo),
    ("example.com@", TargetError::Userinfo),
    ("@example.com", TargetError::Userinfo),
    ("a@b@c", TargetError::Userinfo),
    ("example.com:80@10.0.0.1", TargetError::Userinfo),
    ("[::1]@example.com", TargetError::Userinfo),
    ("[::1@example.com]", TargetError::Userinfo),
    ("example.com%40evil.example", TargetError::Encoded),
    ("example.com%40evil.example:80", TargetError::Encoded),
    ("user%3Apassword%40a", TargetError::Encoded),
    // Percent-encoding and characters that no name has.
    ("ex%61mple.com", TargetError::Encoded),
    ("%31%32%37.0.0.1", TargetError::Encoded),
    ("a%00b", TargetError::Encoded),
    ("exämple.com", TargetError::NotAscii),
    ("ⓔxample.com", TargetError::NotAscii),
    ("１２７.0.0.1", TargetError::NotAscii),
    ("example。com", TargetError::NotAscii),
    ("a\u{ad}b", TargetError::NotAscii),
    ("example.com/", TargetError::Character),
    ("example.com/a:80", TargetError::Character),
    ("example.com\\evil.example", TargetError::Character),
    ("example.com?a", TargetError::Character),
    ("example.com#a", TargetError::Character),
    (" example.com", TargetError::Character),
    ("example.com ", TargetError::Character),
    ("example .com", TargetError::Character),
    ("example.com\t", TargetError::Character),
    ("example.com\r\nhost", TargetError::Character),
    ("example.com\0", TargetError::Character),
    ("*.example.com", TargetError::Character),
    ("*", TargetError::Character),
    ("a,b", TargetError::Character),
    ("::1]", TargetError::Brackets),
    // No host, or labels that can't be.
    ("", TargetError::NoHost),
    (".", TargetError::NoHost),
    (":80", TargetError::NoHost),
    (".:80", TargetError::NoHost),
    ("..", TWO_DOTS),
    ("example.com..", TWO_DOTS),
    ("a..b", TWO_DOTS),
    (".example.com", TWO_DOTS),
    // Numbers that `inet_aton` reads as an address.
    ("2130706433", TargetError::Numeric),
    ("2130706433.", TargetError::Numeric),
    ("0", TargetError::Numeric),
    ("017700000001", TargetError::Numeric),
    ("0x7f000001", TargetError::Numeric),
    ("0X7F000001", TargetError::Numeric),
    ("0x", TargetError::Numeric),
    ("0x7f.1", TargetError::Numeric),
    ("127.0x1", TargetError::Numeric),
    ("127.1", TargetError::Numeric),
    ("127.0.1", TargetError::Numeric),
    ("0177.0.0.1", TargetError::Numeric),
    ("127.0.0.01", TargetError::Numeric),
    ("127.0.0.0x1", TargetError::Numeric),
    ("256.0.0.1", TargetError::Numeric),
    ("127.0.0.1.1", TargetError::Numeric),
    ("example.1", TargetError::Numeric),
    // IPv6.
    ("::1", TargetError::Brackets),
    ("::1:80", TargetError::Brackets),
    ("example.com:80:81", TargetError::Brackets),
    ("[::1", TargetError::Ipv6),
    ("[]", TargetError::Ipv6),
    ("[::1]x", TargetError::Ipv6),
    ("[::1].", TargetError::Ipv6),
    ("[[::1]]", TargetError::Ipv6),
    ("[127.0.0.1]", TargetError::Ipv6),
    ("[example.com]", TargetError::Ipv6),
    ("[v1.a]", TargetError::Ipv6),
    ("[::ffff:0177.0.0.1]", TargetError::Ipv6),
    ("[::1 ]", TargetError::Ipv6),
    ("[fe80::1%eth0]", TargetError::Zone),
    ("[fe80::1%25eth0]:80", TargetError::Zone),
    // Ports.
    ("example.com:", TargetError::Port),
    ("[::1]:", TargetError::Port),
    (":", TargetError::Port),
    ("example.com:0", TargetError::Port),
    ("example.com:00", TargetError::Port),
    ("example.com:080", TargetError::Port),
    ("example.com:65536", TargetError::Port),
    ("example.com:99999999999999999999", TargetError::Port),
    ("example.com:+80", TargetError::Port),
    ("example.com:-80", TargetError::Port),
    ("example.com: 80", TargetError::Port),
    ("example.com:80 ", TargetError::Port),
    ("example.com:80/", TargetError::Port),
    ("example.com:0x50", TargetError::Port),
    ("example.com:８０", TargetError::Port),
    ("example.com:http", TargetError::Port),
    ("[::1]:80:81", TargetError::Port),
];

const TWO_DOTS: TargetError = TargetError::Name {
    reason: "there is nothing between two dots",
};

#[test]
fn a_target_is_read_in_its_one_normal_form() {
    for (scheme, authority, normal) in READ {
        match HttpTarget::parse(*scheme, authority) {
            Ok(target) => assert_eq!(target.to_string(), *normal, "{authority:?}"),
            Err(error) => panic!("{authority:?}: {error}"),
        }
    }
}

#[test]
fn a_target_that_could_be_read_in_two_ways_is_refused() {
    for (authority, error) in REFUSED {
        for scheme in HttpScheme::ALL {
            let read = HttpTarget::parse(scheme, authority);
            assert_eq!(read, Err(*error), "{authority:?}");
        }
    }
}

#[test]
fn a_target_has_a_name_that_fits_into_dns() {
    let longest = format!("{}a", "a.".repeat(126));
    assert!(HttpTarget::parse(Http, &longest).is_ok());
    for too_long in ["a".repeat(64), format!("{longest}.b"), "a".repeat(1 << 20)] {
        let read = HttpTarget::parse(Http, &too_long);
        assert!(matches!(read, Err(TargetError::Name { .. })), "{read:?}");
    }
}

#[test]
fn a_refused_target_is_told_without_repeating_it() {
    for (authority, error) in REFUSED {
        let text = error.to_string();
        assert!(authority.len() < 8 || !text.contains(authority), "{text}");
    }
    let numeric = TargetError::Numeric.to_string();
    assert!(numeric.contains("four decimal numbers"), "{numeric}");
}

#[test]
fn a_mapped_address_is_the_ipv4_address_to_grants() {
    let host = target("http://[::ffff:10.0.0.7]").host;
    assert_eq!(host, TargetHost::Address([10, 0, 0, 7].into()));
    assert!(grant("http://10.0.0.7").allows(&target("http://[::ffff:a00:7]")));
}

#[test]
fn grants_are_shown_in_normal_form() {
    for (written, normal) in [
        ("https://api.example.com", "https://api.example.com"),
        ("https://API.example.com.:443", "https://api.example.com"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("https://*.Example.org:8443", "https://*.example.org:8443"),
        ("https://*.example.org:443", "https://*.example.org"),
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("http://[FD00:0::7]:80", "http://[fd00::7]"),
        ("https://*", "https://*"),
        ("http://*:80", "http://*"),
        ("http://*:8080", "http://*:8080"),
        ("https://*.com", "https://*.com"),
    ] {
        assert_eq!(grant(written).to_string(), normal);
        assert_eq!(grant(normal), grant(written));
    }
}

#[test]
fn grants_allow_their_scheme_host_and_port_only() {
    for (granted, allowed, denied) in [
        (
            "https://api.example.com",
            &["https://api.example.com", "https://API.example.com.:443"][..],
            &[
                "http://api.example.com",
                "http://api.example.com:443",
                "https://api.example.com:8443",
                "https://example.com",
                "https://a.api.example.com",
                "https://api.example.com.evil.example",
            ][..],
        ),
        (
            "https://*.example.org:8443",
            &["https://a.example.org:8443", "https://a.b.example.org:8443"],
            &[
                "https://a.example.org",
                "https://example.org:8443",
                "https://badexample.org:8443",
                "https://a.example.org.evil.example:8443",
            ],
        ),
        (
            "http://10.0.0.7:8080",
            &["http://10.0.0.7:8080"],
            &[
                "http://10.0.0.7",
                "http://10.0.0.8:8080",
                "http://[::a00:7]:8080",
            ],
        ),
        (
            "http://[fd00::7]",
            &["http://[fd00:0:0::7]", "http://[fd00::7]:80"],
            &["http://[fd00::8]", "https://[fd00::7]:80"],
        ),
    ] {
        let granted = grant(granted);
        for text in allowed {
            assert!(granted.allows(&target(text)), "{granted} {text}");
        }
        for text in denied {
            assert!(!granted.allows(&target(text)), "{granted} {text}");
        }
    }
}

#[test]
fn every_host_means_names_and_public_addresses() {
    let every = grant("https://*");
    for text in [
        "https://example.com",
        "https://localhost",
        "https://internal.example",
        "https://notinternal",
        "https://1.1.1.1",
        "https://[2606:4700:4700::1111]",
    ] {
        assert!(every.allows(&target(text)), "{text}");
    }
    for text in [
        "http://example.com",
        "https://example.com:8443",
        "https://127.0.0.1",
        "https://169.254.169.254",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::a00:1]",
        "https://[fd00:ec2::254]",
    ] {
        assert!(!every.allows(&target(text)), "{text}");
    }
}

#[test]
fn no_grant_reaches_names_that_never_leave_the_node() {
    for text in [
        "https://internal",
        "https://users.internal",
        "https://a.USERS.Internal.",
    ] {
        assert!(target(text).is_internal());
        assert!(!grant("https://*").allows(&target(text)), "{text}");
        assert_eq!(HttpGrant::parse(text), Err(GrantError::Internal));
    }
    for text in ["https://*.internal", "http://*.a.internal:80"] {
        assert_eq!(HttpGrant::parse(text), Err(GrantError::Internal));
    }
    assert!(!target("https://notinternal").is_internal());
}

#[test]
fn grants_refuse_every_host_that_targets_refuse() {
    for (authority, error) in REFUSED {
        let text = format!("https://{authority}");
        let refused = HttpGrant::parse(&text);
        assert!(refused.is_err() || authority.contains('*'), "{text:?}");
        let told_otherwise = authority.contains(['@', '/', '?', '#', '*']);
        if let (false, Err(GrantError::Host { reason, .. })) = (told_otherwise, refused) {
            assert_eq!(reason, *error, "{text:?}");
        }
    }
}

#[test]
fn an_app_that_was_stored_before_grants_existed_has_none() {
    let stored = r#"{"name":"a","function":[{"name":"a","routes":["/*"],"isolation":"request",
        "limits":{"memory":"128MiB","cpu_time":"50ms","wall_time":"30s","concurrency":1000,
        "request_body":"10MiB","response_body":"100MiB","background_time":"30s"}}]}"#;
    let app: App = serde_json::from_str(stored).unwrap();
    let parsed = App::parse("name = \"a\"\n[[function]]", "everwarm.toml").unwrap();
    assert_eq!(app, parsed);
    assert!(app.functions[0].grants.is_empty());
    assert!(!serde_json::to_string(&app).unwrap().contains("grants"));
}

#[test]
fn stored_grants_are_strings_that_are_checked_again() {
    let stored = r#"{"http":["https://*"],"addresses":["10.1.0.0/16","127.0.0.1/32"]}"#;
    let grants: Grants = serde_json::from_str(stored).unwrap();
    assert!(!grants.is_empty());
    assert_eq!(serde_json::to_string(&grants).unwrap(), stored);
    for wrong in [
        r#"{"http":["example.com"]}"#,
        r#"{"addresses":["10.1.2.3/16"]}"#,
        r#"{"addresses":["010.0.0.0/8"]}"#,
        r#"{"sockets":[]}"#,
    ] {
        assert!(serde_json::from_str::<Grants>(wrong).is_err(), "{wrong}");
    }
}

fn scheme() -> impl Strategy<Value = HttpScheme> {
    prop_oneof![Just(Http), Just(Https)]
}

/// Hosts as guests may write them, right ones for the most part.
fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9_-]{1,8}){0,3}\\.?",
        "([a-z]\\.)?internal",
        any::<[u8; 4]>().prop_map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
        any::<[u16; 8]>().prop_map(|groups| format!("[{}]", std::net::Ipv6Addr::from(groups))),
        any::<[u8; 4]>().prop_map(|bytes| format!("[::ffff:{}]", std::net::Ipv4Addr::from(bytes))),
    ]
}

proptest! {
    #[test]
    fn any_authority_is_a_target_or_refused(scheme in scheme(), authority in "\\PC{0,40}|[a-f0-9x.:%@\\[\\]/\\\\ *]{0,24}") {
        if let Ok(target) = HttpTarget::parse(scheme, &authority) {
            let shown = target.to_string();
            let (_, authority) = shown.split_once("://").unwrap();
            prop_assert_eq!(HttpTarget::parse(scheme, authority), Ok(target), "its text means the same");
        }
    }

    #[test]
    fn a_target_is_shown_as_the_grant_that_allows_it(
        scheme in scheme(),
        host in host(),
        port in proptest::option::of(1_u16..),
    ) {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let Ok(target) = HttpTarget::parse(scheme, &format!("{host}{port}")) else {
            return Ok(());
        };
        match HttpGrant::parse(&target.to_string()) {
            Ok(grant) => {
                prop_assert!(grant.allows(&target));
                prop_assert_eq!(grant.to_string(), target.to_string());
            }
            Err(error) => prop_assert!(target.is_internal() && error == GrantError::Internal, "{}", error),
        }
    }

    #[test]
    fn any_text_is_a_grant_or_refused(text in "(https?://)?\\PC{0,40}|https?://[a-f0-9x.:\\[\\]*]{0,24}") {
        if let Ok(grant) = HttpGrant::parse(&text) {
            prop_assert_eq!(HttpGrant::parse(&grant.to_string()), Ok(grant), "its text means the same");
        }
    }
}
