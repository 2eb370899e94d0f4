//! What a user is told about each mistake in a function's grants.

use everwarm_manifest::grants::BUCKETS_GRANTED_MAX;
use everwarm_manifest::{ADDRESSES_MAX, App, Diagnostic, ErrorCode, HTTP_GRANTS_MAX};

/// The only mistake of a function's grants.
fn only(grants: &str) -> Diagnostic {
    let text = format!("name = \"a\"\n[[function]]\n[function.grants]\n{grants}\n");
    match App::parse(&text, "everwarm.toml") {
        Err(errors) => {
            assert_eq!(errors.count(), 1, "{errors}");
            errors.diagnostics()[0].clone()
        }
        Ok(app) => panic!("no mistake was found: {app:?}"),
    }
}

#[test]
fn bad_grants_get_a_right_one_where_it_is_near() {
    for (grant, suggestion) in [
        ("api.example.com", Some("https://api.example.com")),
        ("*:8443", Some("https://*:8443")),
        ("api.example.com/v1", None),
        ("http:example.com", None),
        ("HTTPS://example.com", Some("https://example.com")),
        ("wss://example.com", None),
        ("://example.com", None),
        ("https://example.com/", Some("https://example.com")),
        ("https://example.com:1/", Some("https://example.com:1")),
        ("https://127.1/", None),
        ("https://example.com//", None),
        ("https://example.com/v1", None),
        ("https://example.com?a", None),
        ("https://example.com#a", None),
        ("https://user@example.com", None),
        ("https://user:password@example.com", None),
        ("https://", None),
        ("https://:80", None),
        ("https://**", None),
        ("https://*example.com", None),
        ("https://*.*.example.com", None),
        ("https://a.*.example.com", None),
        ("https://*.", None),
        ("https://*.10.0.0.7", None),
        ("https://*.[::1]", None),
        ("https://*.7", None),
        ("https://fd00::7", Some("https://[fd00::7]")),
        ("http://::ffff:10.0.0.7", Some("http://10.0.0.7")),
        ("http://[::ffff:10.0.0.7]", Some("http://10.0.0.7")),
        ("http://[::ffff:a00:7]:8080", Some("http://10.0.0.7:8080")),
        ("http://[fe80::1%eth0]", None),
        ("http://2130706433", None),
        ("http://0177.0.0.1", None),
        ("https://exämple.com", None),
        ("https://example.com:0", None),
        ("https://example.com:65536", None),
        ("https://example.com:*", None),
        ("https://users.internal", None),
        ("", None),
    ] {
        let diagnostic = only(&format!("http = [\"{grant}\"]"));
        assert_eq!(diagnostic.code, ErrorCode::BadGrant, "{grant}");
        assert_eq!(diagnostic.suggestion.as_deref(), suggestion, "{grant}");
        assert_eq!((diagnostic.place.line, diagnostic.place.column), (4, 9));
    }
}

#[test]
fn bad_grants_say_what_is_wrong_with_them() {
    for (grant, reason) in [
        ("example.com", "has no scheme"),
        ("https://example.com/v1", "has no path"),
        ("https://user@example.com", "has no user name"),
        ("https://*example.com", "`*` stands alone or before a name"),
        ("http://[::ffff:10.0.0.7]", "write it as IPv4"),
        ("http://127.1", "four decimal numbers"),
        ("https://fd00::7", "stands in brackets"),
        ("https://a.internal", "names in `internal` can't be granted"),
    ] {
        let message = only(&format!("http = [\"{grant}\"]")).message;
        assert!(message.starts_with(&format!("bad grant `{grant}`: ")));
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(
        only("http = [\"https://*.internal\"]").help.as_deref(),
        Some("`*.internal` is never looked up outside the node")
    );
}

#[test]
fn bad_addresses_get_a_right_one_where_it_is_near() {
    for (entry, suggestion) in [
        ("10.1.2.3/16", Some("10.1.0.0/16")),
        ("fd00::7/8", Some("fd00::/8")),
        ("::ffff:10.0.0.7", Some("10.0.0.7/32")),
        ("::ffff:10.1.2.3/112", Some("10.1.0.0/16")),
        ("::ffff:0:0/96", Some("0.0.0.0/0")),
        ("010.0.0.1", None),
        ("127.1", None),
        ("10.0.0.0/33", None),
        ("10.0.0.0/08", None),
        ("10.0.0.0/+8", None),
        ("10.0.0.0/", None),
        ("10.0.0.0/255.0.0.0", None),
        ("fd00::/129", None),
        ("fe80::1%eth0", None),
        ("[::1]", None),
        ("127.0.0.1:80", None),
        ("example.com", None),
        ("*", None),
        ("", None),
    ] {
        let diagnostic = only(&format!("addresses = [\"{entry}\"]"));
        assert_eq!(diagnostic.code, ErrorCode::BadGrant, "{entry}");
        assert_eq!(diagnostic.suggestion.as_deref(), suggestion, "{entry}");
    }
    for (written, network) in [
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("10.1.0.0/16", "10.1.0.0/16"),
    ] {
        let text =
            format!("name = \"a\"\n[[function]]\ngrants = {{ addresses = [\"{written}\"] }}");
        let app = App::parse(&text, "everwarm.toml").unwrap();
        assert_eq!(app.functions[0].grants.addresses[0].to_string(), network);
    }
}

#[test]
fn names_of_key_value_stores_are_short_and_visible() {
    let long = "a".repeat(65);
    for name in ["", "two words", "\\n", "caf\u{e9}", long.as_str()] {
        let diagnostic = only(&format!("kv = [\"{name}\"]"));
        assert_eq!(diagnostic.code, ErrorCode::BadGrant, "{name}");
        assert!(
            diagnostic
                .message
                .contains("1 to 64 visible ASCII characters")
        );
    }
    let diagnostic = only("kv = [\"default\", \"default\"]");
    assert_eq!(diagnostic.message, "`kv` has `default` twice");
    assert_eq!(
        only("kv = \"default\"").suggestion.as_deref(),
        Some("[\"default\"]")
    );
}

#[test]
fn an_entry_that_stands_there_twice_is_told_where_it_does_again() {
    let diagnostic = only("http = [\"https://a.b\", \"https://A.b.:443\"]");
    assert_eq!(diagnostic.code, ErrorCode::BadGrant);
    assert_eq!(diagnostic.message, "`http` has `https://a.b` twice");
    assert_eq!((diagnostic.place.line, diagnostic.place.column), (4, 24));
    let diagnostic = only("addresses = [\"10.0.0.7/32\", \"10.0.0.7\"]");
    assert_eq!(diagnostic.message, "`addresses` has `10.0.0.7/32` twice");
}

#[test]
fn grants_of_the_wrong_shape_say_how_to_write_them() {
    let diagnostic = only("https = []");
    assert_eq!(diagnostic.code, ErrorCode::UnknownKey);
    assert_eq!(diagnostic.suggestion.as_deref(), Some("http"));
    assert!(
        only("volumes = []")
            .help
            .unwrap()
            .contains("http, addresses")
    );
    let diagnostic = only("http = \"https://*\"");
    assert_eq!(diagnostic.code, ErrorCode::InvalidValue);
    assert_eq!(diagnostic.suggestion.as_deref(), Some("[\"https://*\"]"));
    assert_eq!(only("addresses = [7]").code, ErrorCode::InvalidValue);
    let table = "name = \"a\"\n[[function]]\ngrants = [\"https://*\"]";
    let errors = App::parse(table, "everwarm.toml").unwrap_err();
    assert_eq!(
        errors.diagnostics()[0].help.as_deref(),
        Some("write `[function.grants]` above its keys")
    );
}

#[test]
fn more_grants_than_there_may_be_are_refused() {
    let list = |count: usize, entry: fn(usize) -> String| {
        let entries: Vec<_> = (0..count).map(|n| format!("\"{}\"", entry(n))).collect();
        format!("[{}]", entries.join(","))
    };
    let name = |n| format!("https://a{n}");
    let address = |n| format!("10.0.0.{n}");
    let bucket = |n| format!("store-{n}");
    for (key, max, entry) in [
        ("http", HTTP_GRANTS_MAX, name as fn(usize) -> String),
        ("addresses", ADDRESSES_MAX, address),
        ("kv", BUCKETS_GRANTED_MAX, bucket),
    ] {
        let diagnostic = only(&format!("{key} = {}", list(max + 1, entry)));
        assert_eq!(diagnostic.code, ErrorCode::TooLarge);
        assert!(diagnostic.message.contains(key), "{}", diagnostic.message);
        let full = format!("grants = {{ {key} = {} }}", list(max, entry));
        assert!(App::parse(&format!("name = \"a\"\n[[function]]\n{full}"), "x").is_ok());
    }
}
