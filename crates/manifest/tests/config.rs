//! Values and secrets of a function: by valid names, and a name is only one of the two.

use everwarm_manifest::{App, CONFIG_MAX, ErrorCode, SECRETS_GRANTED_MAX};

fn parse(function: &str) -> Result<App, Vec<(ErrorCode, String)>> {
    let text = format!("name = \"shop\"\n[[function]]\n{function}\n");
    App::parse(&text, "everwarm.toml").map_err(|errors| {
        let told = errors.iter().map(|it| (it.code, it.to_string()));
        told.collect()
    })
}

fn only(function: &str) -> (ErrorCode, String) {
    let mut errors = parse(function).expect_err("it has a mistake");
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[test]
fn values_and_secrets_read_back_as_they_were_written() {
    let parsed = parse(
        "[function.config]\nREGION = \"eu\"\nempty = \"\"\n[function.grants]\nsecrets = [\"STRIPE_KEY\", \"_x\"]",
    )
    .expect("it is valid");
    let function = &parsed.functions[0];
    assert_eq!(function.config["REGION"], "eu");
    assert_eq!(function.config["empty"], "");
    assert_eq!(function.grants.secrets[0].as_str(), "STRIPE_KEY");
    let again = parsed.to_toml().expect("it has a TOML form");
    assert_eq!(App::parse(&again, "again.toml").expect("valid"), parsed);
}

#[test]
fn name_that_can_not_be_is_told_with_one_that_can() {
    let (code, text) = only("config = { \"stripe-key\" = \"1\" }");
    assert_eq!(code, ErrorCode::InvalidValue);
    assert!(text.contains("did you mean `stripe_key`?"), "{text}");
    let (code, text) = only("[function.grants]\nsecrets = [\"2FA\"]");
    assert_eq!(code, ErrorCode::BadGrant);
    assert!(text.contains("did you mean `_2FA`?"), "{text}");
    let (code, text) = only("[function.config]\nA = 1");
    assert_eq!(code, ErrorCode::InvalidValue);
    assert!(text.contains("must be a string"), "{text}");
    let (_, text) = only("config = \"A=1\"");
    assert!(text.contains("config = { NAME = \"value\" }"), "{text}");
}

#[test]
fn name_is_a_value_or_a_secret_and_given_once() {
    let (code, text) =
        only("[function.config]\nKEY = \"1\"\n[function.grants]\nsecrets = [\"KEY\"]");
    assert_eq!(code, ErrorCode::BadGrant);
    assert!(text.contains("everwarm.toml:6:"), "{text}");
    assert!(
        text.contains("`KEY` is a value in [function.config]"),
        "{text}"
    );
    let (_, text) = only("[function.grants]\nsecrets = [\"KEY\", \"KEY\"]");
    assert!(text.contains("`secrets` has `KEY` twice"), "{text}");
}

#[test]
fn only_so_many_values_and_secrets_are_read() {
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| format!("N{n}")).collect() };
    let secrets = format!(
        "[function.grants]\nsecrets = {:?}",
        names(SECRETS_GRANTED_MAX + 1)
    );
    assert!(
        only(&secrets)
            .1
            .contains("more than 100 entries in `secrets`")
    );
    let values: Vec<String> = names(CONFIG_MAX + 1)
        .iter()
        .map(|name| format!("{name} = \"\""))
        .collect();
    let config = format!("[function.config]\n{}", values.join("\n"));
    assert!(only(&config).1.contains("more than 256 values in `config`"));
}
