//! Folders of files in a manifest: what they are, and what is told about each mistake.

use everwarm_manifest::{App, Diagnostic, ErrorCode, ManifestErrors};

fn mistakes(text: &str) -> ManifestErrors {
    match App::parse(text, "everwarm.toml") {
        Err(errors) => errors,
        Ok(app) => panic!("no mistake was found: {app:?}"),
    }
}

/// The only mistake of a manifest with a name and `[[assets]]`, whose keys are `assets`.
fn only_of_assets(assets: &str) -> Diagnostic {
    let errors = mistakes(&format!("name = \"a\"\n[[assets]]\n{assets}\n"));
    assert_eq!(errors.count(), 1, "{errors}");
    errors.diagnostics()[0].clone()
}

#[test]
fn assets_alone_are_an_app_and_their_mistakes_are_told() {
    let app = App::parse("name = \"a\"\n[[assets]]\npath = \"./public/\"\n", "x").unwrap();
    assert!(app.functions.is_empty());
    assert_eq!(app.assets[0].path.as_str(), "public");
    assert_eq!(app.assets[0].at.to_string(), "/");
    for (assets, code, line, says) in [
        ("at = \"/\"", ErrorCode::MissingKey, 2, "no `path`"),
        ("path = \"../up\"", ErrorCode::InvalidValue, 3, "`..`"),
        ("path = \".\"", ErrorCode::InvalidValue, 3, "`.`"),
        ("path = \"/srv\"", ErrorCode::InvalidValue, 3, "relative"),
        ("path = 1", ErrorCode::InvalidValue, 3, "a string"),
        (
            "path = \"p\"\nat = \"static\"",
            ErrorCode::BadRoute,
            4,
            "static",
        ),
        (
            "path = \"p\"\nat = \"/{id}\"",
            ErrorCode::BadRoute,
            4,
            "parameters",
        ),
        ("path = \"p\"\nat = \"/a/*\"", ErrorCode::BadRoute, 4, "`*`"),
        (
            "path = \"p\"\nfallback = \"/i.html\"",
            ErrorCode::InvalidValue,
            4,
            "relative",
        ),
        (
            "path = \"p\"\nimmutable = [\"a**\"]",
            ErrorCode::InvalidValue,
            4,
            "`**`",
        ),
        (
            "path = \"p\"\nfalback = \"a\"",
            ErrorCode::UnknownKey,
            4,
            "falback",
        ),
        (
            "path = \"p\"\n[[assets]]\npath = \"q\"",
            ErrorCode::RouteConflict,
            4,
            "line 2",
        ),
    ] {
        let diagnostic = only_of_assets(assets);
        assert_eq!(diagnostic.code, code, "{assets}: {diagnostic}");
        assert_eq!(diagnostic.place.line, line, "{assets}: {diagnostic}");
        assert!(diagnostic.message.contains(says), "{assets}: {diagnostic}");
    }
    let named =
        mistakes("name = \"a\"\n[[function]]\nname = \"assets\"\n[[assets]]\npath = \"p\"\n");
    assert_eq!(named.diagnostics()[0].code, ErrorCode::BadName);
    assert!(App::parse("name = \"a\"\n[[function]]\nname = \"assets\"\n", "x").is_ok());
}

#[test]
fn function_and_assets_may_have_one_route() {
    let text = "name = \"a\"\n[[function]]\n[[assets]]\npath = \"p\"\nat = \"www.example.com/\"\n[[assets]]\npath = \"p\"\n";
    let app = App::parse(text, "x").unwrap();
    let routes: Vec<_> = app.routes().map(ToString::to_string).collect();
    assert_eq!(routes, ["/*", "www.example.com/*", "/*"]);
    assert_eq!(App::parse(&app.to_toml().unwrap(), "x").unwrap(), app);
}
