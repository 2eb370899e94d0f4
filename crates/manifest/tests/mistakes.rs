//! What a user is told about each mistake in a manifest: code, place, message and suggestion.

use everwarm_manifest::{App, Diagnostic, ErrorCode, ManifestErrors};

fn mistakes(text: &str) -> ManifestErrors {
    match App::parse(text, "everwarm.toml") {
        Err(errors) => errors,
        Ok(app) => panic!("no mistake was found: {app:?}"),
    }
}

/// The only mistake of a manifest with a name and one function, whose keys are `function`.
fn only(function: &str) -> Diagnostic {
    let errors = mistakes(&format!("name = \"a\"\n[[function]]\n{function}\n"));
    assert_eq!(errors.count(), 1, "{errors}");
    errors.diagnostics()[0].clone()
}

fn place(diagnostic: &Diagnostic) -> (usize, usize) {
    (diagnostic.place.line, diagnostic.place.column)
}

#[test]
fn unknown_key_names_file_line_and_suggestion() {
    let errors = mistakes("name = \"a\"\n[[function]]\n  isolaton = \"serial\"\n");
    assert_eq!(
        errors.to_string(),
        "everwarm.toml:3:3: EW1002 unknown key `isolaton`; did you mean `isolation`?\n \
         3 |   isolaton = \"serial\"\n   |   ^^^^^^^^"
    );
}

#[test]
fn unknown_key_that_belongs_elsewhere_says_where() {
    let diagnostic = only("cpu_time = \"1s\"");
    assert_eq!(diagnostic.code, ErrorCode::UnknownKey);
    assert_eq!(
        diagnostic.help.as_deref(),
        Some("`cpu_time` belongs in [function.limits]")
    );
    let diagnostic = only("[function.limits]\nroutes = [\"/\"]");
    assert_eq!(
        diagnostic.help.as_deref(),
        Some("`routes` belongs in [[function]]")
    );
}

#[test]
fn unknown_key_like_no_other_gets_the_list_of_keys() {
    let diagnostic = only("[function.limits]\nwhatever = 1");
    assert_eq!(diagnostic.suggestion, None);
    assert!(
        diagnostic
            .help
            .unwrap()
            .contains("memory, cpu_time, wall_time")
    );
    for key in ["functions", "Function", "fuction", "build-command"] {
        let errors = mistakes(&format!("name = \"a\"\n{key} = 1\n[[function]]"));
        assert_eq!(errors.diagnostics()[0].code, ErrorCode::UnknownKey, "{key}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    let errors = mistakes(
        r#"
name = "My App"
[biuld]
[[function]]
world = "wasi-0.4"
isolation = "concurent"
routes = ["api", 7]
env = { A = 1 }
[function.limits]
memory = "128"
cpu_time = 5
concurrency = 0
wall_time = "25h"
"#,
    );
    let told: Vec<_> = errors
        .iter()
        .map(|d| (d.place.line, d.code.as_str(), d.suggestion.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (2, "EW1008", Some("my-app")),
            (3, "EW1002", Some("build")),
            (5, "EW1003", Some("wasi-0.2")),
            (6, "EW1003", Some("concurrent")),
            (7, "EW1006", Some("/api")),
            (7, "EW1003", None),
            (8, "EW1003", None),
            (10, "EW1003", None),
            (11, "EW1003", None),
            (12, "EW1009", Some("1")),
            (13, "EW1009", Some("24h")),
        ]
    );
}

#[test]
fn syntax_errors_have_a_place() {
    let errors = mistakes("name = \"a\"\nkey = = 1\n[[function]\n");
    let first = &errors.diagnostics()[0];
    assert_eq!((first.code, first.place.line), (ErrorCode::Syntax, 2));
    assert!(errors.iter().any(|d| d.place.line == 3), "{errors}");
    let twice = mistakes("name = \"a\"\nname = \"b\"\n");
    assert_eq!(
        (twice.diagnostics()[0].code, place(&twice.diagnostics()[0])),
        (ErrorCode::Syntax, (2, 1))
    );
}

#[test]
fn wrong_types_name_what_was_expected_and_what_was_found() {
    let message = |function| only(function).message;
    assert_eq!(
        message("component = 1"),
        "`component` must be a string, but is an integer"
    );
    assert_eq!(
        message("limits = true"),
        "`limits` must be a table, but is a boolean"
    );
    assert_eq!(
        message("env = [1]"),
        "`env` must be a table, but is an array"
    );
    let diagnostic = only("routes = \"/\"");
    assert_eq!(
        diagnostic.message,
        "`routes` must be an array of strings, but is a string"
    );
    assert_eq!(diagnostic.suggestion.as_deref(), Some("[\"/\"]"));
    let errors = mistakes("name = \"a\"\n[function]\n");
    assert_eq!(
        errors.diagnostics()[0].help.as_deref(),
        Some("write `[[function]]` with two brackets")
    );
}

#[test]
fn missing_keys_say_what_to_write() {
    let errors = mistakes("");
    let told: Vec<_> = errors
        .iter()
        .map(|d| (d.code, d.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (ErrorCode::MissingKey, "missing key `name`"),
            (ErrorCode::MissingKey, "the app has no function")
        ]
    );
    assert!(errors.iter().all(|d| d.help.is_some()));
    assert_eq!(
        mistakes("name = \"a\"\nfunction = []").diagnostics()[0].code,
        ErrorCode::MissingKey
    );
}

#[test]
fn only_a_single_function_may_go_without_a_name() {
    let errors =
        mistakes("name = \"a\"\n[[function]]\nroutes = [\"/a\"]\n[[function]]\nname = \"b\"");
    assert_eq!(errors.count(), 1);
    let diagnostic = &errors.diagnostics()[0];
    assert_eq!(
        (diagnostic.code, diagnostic.place.line),
        (ErrorCode::MissingKey, 2)
    );
    let app = App::parse("name = \"a\"\n[[function]]", "x").unwrap();
    assert_eq!(app.functions[0].name.as_str(), "a");
}

#[test]
fn route_conflict_names_both_routes_both_functions_and_the_line() {
    let errors = mistakes(
        r#"name = "a"
[[function]]
name = "users"
routes = ["/", "/u/{id}"]
[[function]]
name = "people"
routes = ["/p", "/u/{name}"]
"#,
    );
    assert_eq!(errors.count(), 1);
    let diagnostic = &errors.diagnostics()[0];
    assert_eq!(diagnostic.code, ErrorCode::RouteConflict);
    assert_eq!(place(diagnostic), (7, 17));
    assert_eq!(
        diagnostic.message,
        "the route `/u/{name}` of function `people` matches the same requests as `/u/{id}` of function `users` in line 4"
    );
}

#[test]
fn two_functions_without_routes_conflict() {
    let errors = mistakes("name = \"a\"\n[[function]]\nname = \"b\"\n[[function]]\nname = \"c\"\n");
    let diagnostic = &errors.diagnostics()[0];
    assert_eq!(
        (diagnostic.code, diagnostic.place.line),
        (ErrorCode::RouteConflict, 4)
    );
    assert!(
        diagnostic
            .help
            .as_deref()
            .unwrap()
            .contains("without `routes`")
    );
}

#[test]
fn one_function_with_a_route_twice_is_told_so() {
    let diagnostic = only("routes = [\"/x\", \"/%78\"]");
    assert_eq!(diagnostic.code, ErrorCode::RouteConflict);
    assert!(
        diagnostic
            .message
            .starts_with("function `a` has the route `/x` twice"),
        "{}",
        diagnostic.message
    );
}

#[test]
fn bad_routes_get_a_right_one_where_it_is_near() {
    for (route, suggestion) in [
        ("api", Some("/api")),
        ("example.com", Some("example.com/*")),
        ("https://example.com/a", Some("example.com/a")),
        ("/a/**", Some("/a/*")),
        ("/a/{*rest}", Some("/a/*")),
        ("/a/*/b", None),
        ("*/a", None),
        ("/a//b", None),
        ("/a?b=c", None),
        ("example.com:80/", None),
    ] {
        let diagnostic = only(&format!("routes = [\"{route}\"]"));
        assert_eq!(diagnostic.code, ErrorCode::BadRoute, "{route}");
        assert_eq!(diagnostic.suggestion.as_deref(), suggestion, "{route}");
        assert_eq!(place(&diagnostic), (3, 11));
    }
    assert_eq!(only("routes = []").code, ErrorCode::InvalidValue);
}

#[test]
fn duplicate_function_names_the_line_of_the_first() {
    let errors = mistakes(
        "name = \"a\"\n[[function]]\nname = \"b\"\nroutes = [\"/b\"]\n[[function]]\nname = \"b\"\nroutes = [\"/c\"]\n",
    );
    assert_eq!(errors.count(), 1);
    let diagnostic = &errors.diagnostics()[0];
    assert_eq!(
        (diagnostic.code, place(diagnostic)),
        (ErrorCode::DuplicateFunction, (6, 8))
    );
    assert_eq!(
        diagnostic.message,
        "the function in line 3 is already called `b`"
    );
}

#[test]
fn bad_names_get_a_valid_one() {
    let diagnostic = only("name = \"My_Function\"");
    assert_eq!(diagnostic.code, ErrorCode::BadName);
    assert_eq!(diagnostic.suggestion.as_deref(), Some("my-function"));
}

#[test]
fn limits_outside_their_bounds_get_the_nearest_that_is_allowed() {
    for (key, value, suggestion) in [
        ("memory", "\"1KiB\"", "1MiB"),
        ("memory", "\"5GiB\"", "4GiB"),
        ("memory", "\"unlimited\"", "4GiB"),
        ("cpu_time", "\"0ms\"", "1ms"),
        ("cpu_time", "\"6m\"", "5m"),
        ("wall_time", "\"0s\"", "1ms"),
        ("concurrency", "0", "1"),
        ("concurrency", "-5", "1"),
        ("concurrency", "100001", "100000"),
        ("concurrency", "9999999999", "100000"),
        ("request_body", "\"17GiB\"", "16GiB"),
        ("background_time", "\"2h\"", "1h"),
        ("subrequests", "-1", "0"),
        ("subrequests", "10001", "10000"),
        ("subrequests", "9999999999", "10000"),
    ] {
        let diagnostic = only(&format!("[function.limits]\n{key} = {value}"));
        assert_eq!(
            diagnostic.code,
            ErrorCode::LimitOutOfRange,
            "{key} = {value}"
        );
        assert_eq!(
            diagnostic.suggestion.as_deref(),
            Some(suggestion),
            "{key} = {value}"
        );
        assert!(
            diagnostic.message.contains("must be from"),
            "{}",
            diagnostic.message
        );
    }
}

#[test]
fn limits_that_are_no_quantities_say_how_to_write_them() {
    let diagnostic = only("[function.limits]\nmemory = 128");
    assert_eq!(diagnostic.code, ErrorCode::InvalidValue);
    assert_eq!(
        diagnostic.help.as_deref(),
        Some("write it as text, such as `memory = \"128MiB\"`, not 128")
    );
    assert_eq!(
        only("[function.limits]\nmemory = \"128M\"")
            .suggestion
            .as_deref(),
        Some("128MiB")
    );
    assert_eq!(
        only("[function.limits]\ncpu_time = \"fast\"").suggestion,
        None
    );
    assert_eq!(
        only("[function.limits]\nconcurrency = \"1\"").code,
        ErrorCode::InvalidValue
    );
    assert_eq!(
        only("[function.limits]\nconcurrency = 1.5").code,
        ErrorCode::InvalidValue
    );
}

#[test]
fn concurrent_isolation_with_wasi_0_2_is_refused_whatever_the_order_of_the_keys() {
    for function in [
        "isolation = \"concurrent\"\nworld = \"wasi-0.2\"",
        "world = \"wasi-0.2\"\nisolation = \"concurrent\"",
    ] {
        let diagnostic = only(function);
        assert_eq!(diagnostic.code, ErrorCode::IsolationWorldConflict);
        assert!(diagnostic.help.is_some());
    }
}

#[test]
fn environment_variables_have_names_and_values_that_a_process_can_have() {
    for env in [
        "{ \"\" = \"x\" }",
        "{ \"A=B\" = \"x\" }",
        "{ \"A\\u0000\" = \"x\" }",
        "{ A = \"\\u0000\" }",
        "{ A = 1 }",
    ] {
        assert_eq!(
            only(&format!("env = {env}")).code,
            ErrorCode::InvalidValue,
            "{env}"
        );
    }
}

#[test]
fn texts_that_would_be_lost_are_refused() {
    assert_eq!(only("component = \"\"").code, ErrorCode::InvalidValue);
    for build in [
        "command = \" \"",
        "package = \"--config\"",
        "package = \"a b\"",
        "watch = [\"\"]",
        "watch = [1]",
    ] {
        let errors = mistakes(&format!("name = \"a\"\n[build]\n{build}\n[[function]]"));
        assert_eq!(errors.count(), 1, "{build}");
        assert_eq!(
            errors.diagnostics()[0].code,
            ErrorCode::InvalidValue,
            "{build}"
        );
    }
}

#[test]
fn a_manifest_that_is_too_large_is_not_read() {
    let large = format!(
        "name = \"a\"\n#{}",
        "x".repeat(everwarm_manifest::MANIFEST_BYTES_MAX)
    );
    assert_eq!(mistakes(&large).diagnostics()[0].code, ErrorCode::TooLarge);
    let functions = "[[function]]\n".repeat(everwarm_manifest::FUNCTIONS_MAX + 1);
    let errors = mistakes(&format!("name = \"a\"\n{functions}"));
    let too_large = errors
        .iter()
        .chain(errors.iter().last())
        .filter(|d| d.code == ErrorCode::TooLarge)
        .count();
    assert!(
        too_large > 0 || errors.count() > errors.diagnostics().len(),
        "{errors}"
    );
    let routes: Vec<_> = (0..=everwarm_manifest::ROUTES_MAX)
        .map(|n| format!("\"/{n}\""))
        .collect();
    assert_eq!(
        only(&format!("routes = [{}]", routes.join(","))).code,
        ErrorCode::TooLarge
    );
    let env: Vec<_> = (0..=everwarm_manifest::ENV_MAX)
        .map(|n| format!("K{n} = \"\""))
        .collect();
    assert_eq!(
        only(&format!("env = {{ {} }}", env.join(","))).code,
        ErrorCode::TooLarge
    );
}

#[test]
fn bytes_that_are_not_utf_8_are_told_with_their_place() {
    let error = App::parse_bytes(b"name = \"a\"\n# caf\xe9\n", "everwarm.toml").unwrap_err();
    let diagnostic = &error.diagnostics()[0];
    assert_eq!(
        (diagnostic.code, place(diagnostic)),
        (ErrorCode::TooLarge, (2, 6))
    );
    let mut large = vec![b'#'; everwarm_manifest::MANIFEST_BYTES_MAX];
    large.extend("é".as_bytes());
    assert_eq!(
        App::parse_bytes(&large, "x").unwrap_err().diagnostics()[0].code,
        ErrorCode::TooLarge
    );
    assert!(App::parse_bytes(b"name = \"a\"\n[[function]]", "x").is_ok());
}

#[test]
fn mistakes_are_data_for_programs_too() {
    let json = serde_json::to_value(mistakes("name = \"a\"\nfoo = 1\n[[function]]\n")).unwrap();
    assert_eq!(json["diagnostics"][0]["code"], "EW1002");
    assert_eq!(json["diagnostics"][0]["file"], "everwarm.toml");
    assert_eq!(json["diagnostics"][0]["line"], 2);
    assert_eq!(json["diagnostics"][0]["column"], 1);
}

#[test]
fn every_code_is_told_by_the_manifest_that_its_page_shows() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    for code in ErrorCode::ALL {
        let page = std::fs::read_to_string(format!("{pages}/{code}.md"))
            .unwrap_or_else(|e| panic!("{code}: {e}"));
        assert!(page.starts_with(&format!("# {code}")), "{code}");
        if code == ErrorCode::TooLarge {
            continue;
        }
        let manifest = page
            .split("```toml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap();
        let errors = mistakes(manifest);
        assert!(errors.iter().all(|d| d.code == code), "{code}: {errors}");
        let shown = page
            .split("```text\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .unwrap();
        assert_eq!(shown.trim_end(), errors.to_string(), "{code}");
    }
}
