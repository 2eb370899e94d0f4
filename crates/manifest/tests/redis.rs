//! Redis servers: declared with a place, and granted only when they are there.

use everwarm_manifest::{App, Diagnostic, ErrorCode};

fn parse(declared: &str, granted: &str) -> Result<App, Vec<Diagnostic>> {
    let text = format!(
        "name = \"shop\"\n{declared}\n[[function]]\n[function.grants]\nredis = {granted}\n"
    );
    App::parse(&text, "everwarm.toml").map_err(|errors| errors.iter().cloned().collect())
}

fn only(declared: &str, granted: &str) -> Diagnostic {
    let mut errors = parse(declared, granted).expect_err("it is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

const CACHE: &str = "[[redis]]\nname = \"cache\"\nurl = \"rediss://cache.example.com\"";

#[test]
fn declared_server_may_be_granted_and_is_written_as_it_was_read() {
    let app = parse(
        &format!("{CACHE}\npassword = \"REDIS_PASSWORD\""),
        "[\"cache\"]",
    );
    let app = app.expect("it is valid");
    assert!(app.redis[0].url.tls());
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
}

#[test]
fn mistakes_are_told_where_they_stand_and_no_password_with_them() {
    for (declared, code, said) in [
        (
            "[[redis]]\nname = \"a\"",
            ErrorCode::MissingKey,
            "has no `url`",
        ),
        (
            "[[redis]]\nurl = \"redis://a.org\"",
            ErrorCode::MissingKey,
            "has no name",
        ),
        (
            "[[redis]]\nname = \"a\"\nurl = \"redis://:geheim@a.org\"",
            ErrorCode::InvalidValue,
            "a password has no place in a manifest",
        ),
        (
            &format!("{CACHE}\n{CACHE}"),
            ErrorCode::InvalidValue,
            "line 3 is already called `cache`",
        ),
    ] {
        let diagnostic = only(declared, "[]");
        assert_eq!(diagnostic.code, code, "{declared}");
        let message = &diagnostic.message;
        assert!(
            message.contains(said) && !message.contains("geheim"),
            "{message}"
        );
    }
    let diagnostic = only(CACHE, "[\"cahce\"]");
    assert_eq!(diagnostic.message, "the app has no Redis server `cahce`");
    assert_eq!(diagnostic.suggestion.as_deref(), Some("cache"));
}
