//! Folders that functions read, in a manifest: what they are, and what is told about each mistake.

use everwarm_manifest::{App, Diagnostic, ErrorCode, ManifestErrors};

fn manifest(mounts: &str) -> String {
    format!("name = \"a\"\n[[function]]\n[[function.mounts]]\n{mounts}\n")
}

fn mistakes(text: &str) -> ManifestErrors {
    match App::parse(text, "everwarm.toml") {
        Err(errors) => errors,
        Ok(app) => panic!("no mistake was found: {app:?}"),
    }
}

/// The only mistake of a manifest with a function that has these mounts.
fn only(mounts: &str) -> Diagnostic {
    let errors = mistakes(&manifest(mounts));
    assert_eq!(errors.count(), 1, "{errors}");
    errors.diagnostics()[0].clone()
}

#[test]
fn folder_is_at_its_own_name_unless_the_manifest_says_where() {
    let mounts = "path = \"./data/\"\n[[function.mounts]]\npath = \"data/maps\"\nat = \"/maps/\"";
    let app = App::parse(&manifest(mounts), "x").unwrap();
    let mounts: Vec<_> = app.functions[0]
        .mounts
        .iter()
        .map(|mount| (mount.path.as_str(), mount.at.as_str()))
        .collect();
    assert_eq!(mounts, [("data", "/data"), ("data/maps", "/maps")]);
    assert!(app.has_files());
    let again = App::parse(&app.to_toml().unwrap(), "x").unwrap();
    assert_eq!(again, app);
    let stored = serde_json::to_string(&app).unwrap();
    assert_eq!(serde_json::from_str::<App>(&stored).unwrap(), app);
    let none = App::parse("name = \"a\"\n[[function]]\n", "x").unwrap();
    assert!(!none.has_files());
    assert!(!serde_json::to_string(&none).unwrap().contains("mounts"));
}

#[test]
fn all_below_the_root_is_one_folder() {
    let app = App::parse(&manifest("path = \"data\"\nat = \"/\""), "x").unwrap();
    assert_eq!(app.functions[0].mounts[0].at.as_str(), "/");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (mounts, code, line, says) in [
        ("at = \"/data\"", ErrorCode::MissingKey, 3, "no `path`"),
        ("path = \"../up\"", ErrorCode::InvalidValue, 4, "`..`"),
        ("path = \".\"", ErrorCode::InvalidValue, 4, "`.`"),
        ("path = \"/srv\"", ErrorCode::InvalidValue, 4, "relative"),
        ("path = \"\"", ErrorCode::InvalidValue, 4, "empty"),
        ("path = 1", ErrorCode::InvalidValue, 4, "a string"),
        (
            "path = \"d\"\nat = \"data\"",
            ErrorCode::InvalidValue,
            5,
            "begins with `/`",
        ),
        (
            "path = \"d\"\nat = \"\"",
            ErrorCode::InvalidValue,
            5,
            "begins with `/`",
        ),
        (
            "path = \"d\"\nat = \"/a/../b\"",
            ErrorCode::InvalidValue,
            5,
            "`..`",
        ),
        (
            "path = \"d\"\nat = \"/a//b\"",
            ErrorCode::InvalidValue,
            5,
            "empty",
        ),
        (
            "path = \"d\"\nat = \"//\"",
            ErrorCode::InvalidValue,
            5,
            "empty",
        ),
        (
            "path = \"d\"\nat = \"/a\\\\b\"",
            ErrorCode::InvalidValue,
            5,
            "backslash",
        ),
        (
            "path = \"d\"\nat = 1",
            ErrorCode::InvalidValue,
            5,
            "a string",
        ),
        ("path = \"d\"\nta = \"/a\"", ErrorCode::UnknownKey, 5, "ta"),
        (
            "path = \"d\"\nat = \"/a\"\n[[function.mounts]]\npath = \"e\"\nat = \"/a/b\"",
            ErrorCode::InvalidValue,
            8,
            "one would hide the other",
        ),
        (
            "path = \"d\"\n[[function.mounts]]\npath = \"d\"",
            ErrorCode::InvalidValue,
            5,
            "one would hide the other",
        ),
    ] {
        let mistake = only(mounts);
        assert_eq!((mistake.code, mistake.place.line), (code, line), "{mounts}");
        assert!(mistake.to_string().contains(says), "{mistake}");
    }
}

#[test]
fn too_many_and_tables_of_another_form_are_told() {
    let many = (0..17).map(|number| format!("[[function.mounts]]\npath = \"d{number}\"\n"));
    let many = many.collect::<Vec<_>>().concat();
    let errors = mistakes(&format!("name = \"a\"\n[[function]]\n{many}"));
    assert_eq!(
        errors.diagnostics()[0].code,
        ErrorCode::TooLarge,
        "{errors}"
    );
    let errors = mistakes("name = \"a\"\n[[function]]\n[function.mounts]\npath = \"d\"\n");
    let told = errors.to_string();
    assert!(told.contains("[[function.mounts]]"), "{told}");
}

#[test]
fn functions_have_mounts_of_their_own() {
    let text = "name = \"a\"\n[[function]]\nname = \"b\"\nroutes = [\"/b\"]\n[[function.mounts]]\npath = \"d\"\n\
                [[function]]\nname = \"c\"\nroutes = [\"/c\"]\n";
    let app = App::parse(text, "x").unwrap();
    assert_eq!(app.functions[0].mounts.len(), 1);
    assert!(app.functions[1].mounts.is_empty());
}
