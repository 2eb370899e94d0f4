//! SQL databases: declared once, with a name, and granted only when they are there.

use everwarm_manifest::{App, DATABASES_MAX, Diagnostic, ErrorCode};

fn parse(declared: &str, granted: &str) -> Result<App, Vec<Diagnostic>> {
    let text =
        format!("name = \"shop\"\n{declared}\n[[function]]\n[function.grants]\nsql = {granted}\n");
    App::parse(&text, "everwarm.toml").map_err(|errors| errors.iter().cloned().collect())
}

fn only(declared: &str, granted: &str) -> Diagnostic {
    let mut errors = parse(declared, granted).expect_err("it is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

const DEFAULT: &str = "[[sql]]\nname = \"default\"";

#[test]
fn declared_database_may_be_granted_and_is_written_as_it_was_read() {
    let declared = format!("{DEFAULT}\nmigrations = \"./migrations\"\n[[sql]]\nname = \"events\"");
    let app = parse(&declared, "[\"events\", \"default\"]").expect("it is valid");
    assert_eq!(app.functions[0].grants.sql.len(), 2);
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
    assert!(parse("", "[]").expect("it is valid").sql.is_empty());
}

#[test]
fn database_that_is_not_declared_is_told_with_the_nearest_or_how_to_declare_it() {
    let diagnostic = only(DEFAULT, "[\"defualt\"]");
    assert_eq!(diagnostic.code, ErrorCode::BadGrant);
    assert_eq!(diagnostic.message, "the app has no database `defualt`");
    assert_eq!(diagnostic.suggestion.as_deref(), Some("default"));
    for declared in ["", DEFAULT] {
        let help = only(declared, "[\"events\"]").help.expect("what to do");
        assert!(help.contains("`[[sql]]`"), "{help}");
    }
    let diagnostic = only(DEFAULT, "[\"Default\"]");
    assert_eq!(diagnostic.suggestion.as_deref(), Some("default"));
    assert_eq!(
        only(DEFAULT, "[\"default\", \"default\"]").message,
        "`sql` has `default` twice"
    );
    assert_eq!(
        only(DEFAULT, "\"default\"").suggestion.as_deref(),
        Some("[\"default\"]")
    );
}

#[test]
fn databases_of_the_wrong_form_are_told_where_they_stand() {
    for (declared, code, said) in [
        (
            "[sql]\nname = \"default\"",
            ErrorCode::InvalidValue,
            "must be an array of tables",
        ),
        (
            "sql = [\"default\"]",
            ErrorCode::InvalidValue,
            "must be an array of tables",
        ),
        ("[[sql]]", ErrorCode::MissingKey, "has no name"),
        (
            "[[sql]]\nname = \"My Data\"",
            ErrorCode::BadName,
            "is no name",
        ),
        (
            "[[sql]]\nname = 7",
            ErrorCode::InvalidValue,
            "must be a string",
        ),
        (
            "[[sql]]\nname = \"a\"\nmigration = \"m\"",
            ErrorCode::UnknownKey,
            "unknown key",
        ),
        (
            "[[sql]]\nname = \"a\"\nmigrations = \"\"",
            ErrorCode::InvalidValue,
            "can't be empty",
        ),
        (
            "[[sql]]\nname = \"a\"\nmigrations = \"/etc\"",
            ErrorCode::InvalidValue,
            "below the manifest's",
        ),
        (
            "[[sql]]\nname = \"a\"\nmigrations = \"../up\"",
            ErrorCode::InvalidValue,
            "below the manifest's",
        ),
        (
            "[[sql]]\nname = \"a\"\n[[sql]]\nname = \"a\"",
            ErrorCode::InvalidValue,
            "line 3 is already called `a`",
        ),
    ] {
        let diagnostic = only(declared, "[]");
        assert_eq!(diagnostic.code, code, "{declared}");
        assert!(
            diagnostic.message.contains(said),
            "{declared}: {}",
            diagnostic.message
        );
    }
}

#[test]
fn more_databases_than_there_may_be_are_refused() {
    use std::fmt::Write as _;
    let mut declared = String::new();
    for number in 0..=DATABASES_MAX {
        writeln!(declared, "[[sql]]\nname = \"d{number}\"").expect("text takes all");
    }
    let diagnostic = only(&declared, "[]");
    assert_eq!(diagnostic.code, ErrorCode::TooLarge);
    assert!(
        diagnostic.message.contains("10 SQL databases"),
        "{}",
        diagnostic.message
    );
}

#[test]
fn database_elsewhere_has_a_url_and_a_secret_for_its_password() {
    let url = "url = \"postgres://shop@db.example.com/shop\"";
    let app = parse(
        &format!("{DEFAULT}\n{url}\npassword = \"DB_PASSWORD\""),
        "[\"default\"]",
    );
    let app = app.expect("it is valid");
    let database = &app.sql[0];
    let shown = database.url.as_ref().map(ToString::to_string);
    assert_eq!(
        shown.as_deref(),
        Some("postgres://shop@db.example.com/shop")
    );
    assert_eq!(
        database
            .password
            .as_ref()
            .map(everwarm_manifest::ConfigName::as_str),
        Some("DB_PASSWORD")
    );
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
}

#[test]
fn what_is_wrong_with_a_database_elsewhere_is_told_and_no_password_with_it() {
    for (lines, told) in [
        ("url = \"postgres://a:hunter2@db/shop\"", "name a secret"),
        ("url = \"mysql://a@db/shop\"", "postgres://user@host"),
        (
            "url = \"postgres://a@db/shop\"\npassword = \"hunter 2\"",
            "the name of a secret",
        ),
        ("password = \"DB_PASSWORD\"", "has no password"),
        (
            "url = \"postgres://a@db/shop\"\nmigrations = \"m\"",
            "alone",
        ),
    ] {
        let diagnostic = only(&format!("{DEFAULT}\n{lines}"), "[\"default\"]");
        assert_eq!(diagnostic.code, ErrorCode::InvalidValue, "{lines}");
        assert!(diagnostic.message.contains(told), "{}", diagnostic.message);
        assert!(!diagnostic.message.contains("hunter2"), "{lines}");
    }
}
