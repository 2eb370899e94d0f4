//! `secret`: the secrets of an app, and the keys that seal them. Values come from standard input, and are shown nowhere.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use everwarm_api::messages::{Secret, SecretRollback};
use everwarm_node::secrets::{Key, KeyRing, VALUE_BYTES_MAX, read_keys, value, write_keys};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::args::{
    AppsArgs, NewKeyArgs, SecretCommand, SecretLsArgs, SecretRmArgs, SecretRollbackArgs,
    SecretSetArgs,
};
use crate::credentials;
use crate::exit::{Exit, Failure, told};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

pub(crate) async fn run(command: SecretCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        SecretCommand::Set(args) => set(args, printer).await,
        SecretCommand::Ls(args) => list(args, printer).await,
        SecretCommand::Rollback(args) => roll_back(args, printer).await,
        SecretCommand::Rm(args) => remove(args, printer).await,
        SecretCommand::RotateKey(args) => rotate_key(args, printer).await,
        SecretCommand::NewKey(args) => new_key(&args, printer),
    }
}

async fn set(args: SecretSetArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let value = read(&args)?;
    let secret = client.put_secret(&args.app, &args.name, &value).await?;
    printer.data(&secret, || {
        let version = secret.version.unwrap_or_default();
        let granted = if secret.functions.is_empty() {
            format!(
                "no function that serves is granted it: add \"{}\" to `secrets` in [function.grants]",
                secret.name
            )
        } else {
            format!("functions that get it: {}", secret.functions.join(", "))
        };
        format!("{} is set, version {version}; {granted}\n", secret.name)
    });
    Ok(Exit::Success)
}

/// The value, from whoever types it or from a pipe.
fn read(args: &SecretSetArgs) -> Result<SecretString, Failure> {
    let failed = |error: std::io::Error| {
        let message = format!("couldn't read the secret from standard input: {error}");
        Failure::uncoded(Exit::Failure, message)
    };
    let mut bytes = Vec::new();
    if std::io::stdin().is_terminal() {
        eprintln!("Value of {} (it isn't shown):", args.name);
        let typed = console::Term::stderr().read_secure_line();
        bytes = typed.map_err(failed)?.into_bytes();
    } else {
        // One byte more than a value has, and one line's end: what is too large is seen to be.
        bytes.reserve_exact(VALUE_BYTES_MAX + 3);
        let stdin = std::io::stdin().lock();
        let read = stdin
            .take(VALUE_BYTES_MAX as u64 + 3)
            .read_to_end(&mut bytes);
        read.map_err(failed)?;
        if !args.raw {
            cut_newline(&mut bytes);
        }
    }
    value(bytes).map_err(|error| Failure::new(Exit::Usage, error.code(), error.to_string()))
}

/// What `echo` and editors put behind a value isn't part of it.
fn cut_newline(bytes: &mut Vec<u8>) {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
}

async fn list(args: SecretLsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let secrets = client.secrets(&args.app).await?.items;
    printer.data(&secrets, || {
        let rows: Vec<_> = secrets.iter().map(row).collect();
        let columns = [
            Column::Left("SECRET"),
            Column::Left("VERSION"),
            Column::Left("SET (UTC)"),
            Column::Left("KEPT"),
            Column::Left("FUNCTIONS"),
        ];
        table(columns, &rows)
    });
    for secret in &secrets {
        if let Some(why) = &secret.unreadable {
            printer.note(&format!("{} can't be read: {why}", secret.name));
        }
    }
    Ok(Exit::Success)
}

fn row(secret: &Secret) -> [String; 5] {
    let mut versions = secret.versions.iter();
    let current = versions.find(|version| Some(version.version) == secret.version);
    let kept: Vec<String> = secret
        .versions
        .iter()
        .map(|version| version.version.to_string())
        .collect();
    [
        secret.name.clone(),
        secret
            .version
            .map_or("not set".to_owned(), |version| version.to_string()),
        current.map_or(String::new(), |version| time::utc(version.set_ms)),
        kept.join(" "),
        secret.functions.join(" "),
    ]
}

async fn roll_back(args: SecretRollbackArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let rollback = SecretRollback { version: args.to };
    let secret = client
        .roll_back_secret(&args.app, &args.name, &rollback)
        .await?;
    printer.data(&secret, || {
        let version = secret.version.unwrap_or_default();
        format!("{} is version {version} again\n", secret.name)
    });
    Ok(Exit::Success)
}

async fn remove(args: SecretRmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    client.remove_secret(&args.app, &args.name).await?;
    printer.data(&json!({"removed": args.name}), || {
        format!("{} is removed, with all its versions\n", args.name)
    });
    Ok(Exit::Success)
}

async fn rotate_key(args: AppsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let rotation = client.rotate_secrets_key().await?;
    printer.data(&rotation, || {
        format!(
            "secrets are sealed with the key {}; {} versions were sealed anew\n",
            rotation.key, rotation.resealed
        )
    });
    if rotation.unreadable > 0 {
        printer.note(&format!(
            "{} versions can't be read with any key of the node: its log names them",
            rotation.unreadable
        ));
    }
    if !rotation.unused.is_empty() {
        printer.note(&format!(
            "these keys seal nothing any more but what older backups have: {}",
            rotation.unused.join(", ")
        ));
    }
    Ok(Exit::Success)
}

fn new_key(args: &NewKeyArgs, printer: &Printer) -> Result<Exit, Failure> {
    let key = Key::random().map_err(|error| {
        let message = format!("the operating system gave no random numbers: {error}");
        Failure::uncoded(Exit::Failure, message)
    })?;
    let id = key.id();
    let Some(file) = &args.file else {
        let text = key.to_text();
        let shown = text.expose_secret();
        printer.note("Whoever has this key can read what it seals. Keep it where backups aren't.");
        printer.data(&json!({"id": id.to_string(), "key": shown}), || {
            format!("{shown}\n")
        });
        return Ok(Exit::Success);
    };
    let ring = put_first(file, key)?;
    write_keys(file, &ring)
        .map_err(|error| Failure::new(Exit::Failure, error.code(), told(&error)))?;
    let shown = json!({"id": id.to_string(), "file": file, "keys": ring.ids().count()});
    printer.data(&shown, || {
        format!(
            "the key {id} is the first in {}; `everwarm secret rotate-key`, or a start of the node, seals with it\n",
            file.display()
        )
    });
    Ok(Exit::Success)
}

/// The keys of a file, if it is there, with one more before them.
fn put_first(file: &Path, key: Key) -> Result<KeyRing, Failure> {
    if !file.exists() {
        return Ok(KeyRing::new(key));
    }
    let ring =
        read_keys(file).map_err(|error| Failure::new(Exit::Usage, error.code(), told(&error)))?;
    ring.with_first(key).map_err(|error| {
        let message = format!("the keys in {}: {error}", file.display());
        Failure::uncoded(Exit::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::cut_newline;

    #[test]
    fn one_newline_at_the_end_is_no_part_of_a_value() {
        for (text, expected) in [
            ("x", "x"),
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\n\n", "x\n"),
            ("\n", ""),
            ("", ""),
        ] {
            let mut bytes = text.as_bytes().to_vec();
            cut_newline(&mut bytes);
            assert_eq!(bytes, expected.as_bytes(), "{text:?}");
        }
    }
}
