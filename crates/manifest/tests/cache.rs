//! The cache in front of a function: off without its table, and what is wrong in it is told where it stands.

use everwarm_manifest::{App, Cache, Diagnostic, ErrorCode, Millis};

fn parse(lines: &str) -> Result<Option<Cache>, Vec<Diagnostic>> {
    let text = format!("name = \"shop\"\n[[function]]\n{lines}\n");
    App::parse(&text, "everwarm.toml")
        .map(|app| app.functions[0].cache.clone())
        .map_err(|errors| errors.iter().cloned().collect())
}

fn only(lines: &str) -> Diagnostic {
    let mut errors = parse(lines).expect_err("it is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[test]
fn cache_is_off_without_its_table_and_safe_with_an_empty_one() {
    assert_eq!(parse(""), Ok(None));
    assert_eq!(parse("[function.cache]"), Ok(Some(Cache::default())));
    let cache = parse("cache = { default_ttl = \"10s\", vary = [\"Accept\"], set_cookie = true }");
    let cache = cache.expect("it is valid").expect("it is there");
    assert_eq!(cache.default_ttl, Millis::from_secs(10));
    assert_eq!(cache.vary[0].as_str(), "accept");
    assert!(cache.set_cookie && !cache.authorization && !cache.ignore_cookies);
}

#[test]
fn fields_that_answers_cannot_depend_on_are_told_with_why() {
    for (name, says) in [
        ("host", "always a part"),
        ("Authorization", "`authorization = true`"),
        ("range", "the cache itself goes by"),
        ("if-none-match", "the cache itself goes by"),
        ("connection", "about the connection"),
        ("x-forwarded-for", "the host says"),
        ("x-request-id", "the host says"),
        ("everwarm-x", "the host says"),
        ("", "1 to 64"),
        ("a b", "1 to 64"),
        ("caf\u{e9}", "1 to 64"),
    ] {
        let error = only(&format!("[function.cache]\nvary = [\"{name}\"]"));
        assert_eq!(error.code, ErrorCode::InvalidValue);
        assert_eq!(error.place.line, 4);
        assert!(error.message.contains(says), "{}", error.message);
    }
    let twice = only("[function.cache]\nvary = [\"accept\", \"Accept\"]");
    assert_eq!(twice.message, "`vary` has `accept` twice");
    let both = only("[function.cache]\nvary = [\"cookie\"]\nignore_cookies = true");
    assert!(both.message.contains("can't see what is ignored"));
}

#[test]
fn other_mistakes_are_told_as_everywhere() {
    let unknown = only("[function.cache]\nttl = \"1s\"");
    assert_eq!(unknown.code, ErrorCode::UnknownKey);
    let unit = only("[function.cache]\ndefault_ttl = 10");
    assert!(
        unit.help
            .is_some_and(|help| help.contains("write it as text"))
    );
    assert_eq!(
        only("[function.cache]\ndefault_ttl = \"9000h\"").code,
        ErrorCode::LimitOutOfRange
    );
    assert_eq!(only("cache = true").code, ErrorCode::InvalidValue);
    let many: Vec<String> = (0..17).map(|number| format!("\"x-{number}\"")).collect();
    assert_eq!(
        only(&format!("[function.cache]\nvary = [{}]", many.join(", "))).code,
        ErrorCode::TooLarge
    );
}
