//! Functions that others of their app may call: by name, and only those that are there.

use everwarm_manifest::{App, ErrorCode};

fn app(front: &str, back: &str) -> String {
    format!(
        "name = \"shop\"\n[[function]]\nname = \"front\"\n{front}\n[[function]]\nname = \"back\"\n{back}\n"
    )
}

fn parse(text: &str) -> Result<App, Vec<(ErrorCode, String)>> {
    App::parse(text, "everwarm.toml").map_err(|errors| {
        let told = errors.iter().map(|it| (it.code, it.to_string()));
        told.collect()
    })
}

#[test]
fn function_may_be_granted_others_of_its_app() {
    let text = app(
        "[function.grants]\nfunctions = [\"back\"]",
        "routes = [\"/back\"]",
    );
    let parsed = parse(&text).expect("it is valid");
    assert_eq!(parsed.functions[0].grants.functions[0].as_str(), "back");
    let again = parsed.to_toml().expect("it has a TOML form");
    assert_eq!(parse(&again), Ok(parsed));
}

#[test]
fn function_that_is_called_needs_no_routes() {
    let granted = app("[function.grants]\nfunctions = [\"back\"]", "routes = []");
    let parsed = parse(&granted).expect("it is valid");
    assert!(parsed.functions[1].routes.is_empty());
    let again = parsed.to_toml().expect("it has a TOML form");
    assert_eq!(parse(&again), Ok(parsed));

    let errors = parse(&app("", "routes = []")).expect_err("nothing would reach it");
    let [(code, text)] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!(*code, ErrorCode::InvalidValue);
    assert!(text.contains("no function is granted this one"), "{text}");
}

#[test]
fn function_that_is_not_there_is_told_with_the_nearest() {
    let wrong = |name: &str| {
        let text = app(
            &format!("[function.grants]\nfunctions = [{name:?}]"),
            "routes = [\"/b\"]",
        );
        let errors = parse(&text).expect_err("there is no such function");
        let (code, text) = errors.into_iter().next().expect("errors are never empty");
        assert_eq!(code, ErrorCode::BadGrant, "{text}");
        text
    };
    assert!(wrong("bakc").contains("did you mean `back`?"));
    assert!(wrong("elsewhere").contains("its functions are front, back"));
    assert!(wrong("Back").contains("did you mean `back`?"));
}

#[test]
fn only_function_may_call_itself_by_the_apps_name() {
    let text = "name = \"shop\"\n[[function]]\n[function.grants]\nfunctions = [\"shop\"]\n";
    assert!(parse(text).is_ok());
}
