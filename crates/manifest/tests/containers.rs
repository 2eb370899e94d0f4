//! Containers of blobs: declared once, with a name, and granted only when they are there.

use everwarm_manifest::{App, CONTAINERS_MAX, Diagnostic, ErrorCode};

fn parse(declared: &str, granted: &str) -> Result<App, Vec<Diagnostic>> {
    let text = format!(
        "name = \"shop\"\n{declared}\n[[function]]\n[function.grants]\nblobs = {granted}\n"
    );
    App::parse(&text, "everwarm.toml").map_err(|errors| errors.iter().cloned().collect())
}

fn only(declared: &str, granted: &str) -> Diagnostic {
    let mut errors = parse(declared, granted).expect_err("it is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

const PHOTOS: &str = "[[blobs]]\nname = \"photos\"";

#[test]
fn declared_container_may_be_granted_and_is_written_as_it_was_read() {
    let declared = format!("{PHOTOS}\n[[blobs]]\nname = \"videos\"");
    let app = parse(&declared, "[\"videos\", \"photos\"]").expect("it is valid");
    assert_eq!(app.functions[0].grants.blobs.len(), 2);
    let again = app.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("it is valid"), app);
    assert!(parse("", "[]").expect("it is valid").blobs.is_empty());
}

#[test]
fn container_that_is_not_declared_is_told_with_the_nearest_or_how_to_declare_it() {
    let diagnostic = only(PHOTOS, "[\"fotos\"]");
    assert_eq!(diagnostic.code, ErrorCode::BadGrant);
    assert_eq!(
        diagnostic.message,
        "the app has no container of blobs `fotos`"
    );
    assert_eq!(diagnostic.suggestion.as_deref(), Some("photos"));
    let help = only("", "[\"videos\"]").help.expect("what to do");
    assert!(help.contains("`[[blobs]]`"), "{help}");
    assert_eq!(
        only(PHOTOS, "[\"photos\", \"photos\"]").message,
        "`blobs` has `photos` twice"
    );
}

#[test]
fn containers_of_the_wrong_form_are_told_where_they_stand() {
    for (declared, code, said) in [
        (
            "[blobs]\nname = \"photos\"",
            ErrorCode::InvalidValue,
            "must be an array of tables",
        ),
        ("[[blobs]]", ErrorCode::MissingKey, "has no name"),
        (
            "[[blobs]]\nname = \"My Photos\"",
            ErrorCode::BadName,
            "is no name",
        ),
        (
            "[[blobs]]\nname = \"a\"\nbucket = \"b\"",
            ErrorCode::UnknownKey,
            "unknown key",
        ),
        (
            "[[blobs]]\nname = \"a\"\n[[blobs]]\nname = \"a\"",
            ErrorCode::InvalidValue,
            "is already called `a`",
        ),
    ] {
        let diagnostic = only(declared, "[]");
        assert_eq!(diagnostic.code, code, "{declared}");
        assert!(diagnostic.message.contains(said), "{}", diagnostic.message);
    }
    let many = (0..=CONTAINERS_MAX).map(|number| format!("[[blobs]]\nname = \"c{number}\"\n"));
    let many = many.collect::<Vec<_>>().concat();
    assert_eq!(only(&many, "[]").code, ErrorCode::TooLarge);
}
