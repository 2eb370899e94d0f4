//! The tables `[[sql]]`: the app's SQL databases. Doesn't know who is granted them, and reads no folder.

use std::path::{Component, Path, PathBuf};

use super::keys;
use super::table::{At, Reader, Tables};
use crate::app::SqlDatabase;
use crate::config::ConfigName;
use crate::diagnostics::{ErrorCode, Finding, line_number, quoted};
use crate::grants::PostgresUrl;
use crate::names::{DatabaseName, nearest_name};

/// The most SQL databases of one app.
pub const DATABASES_MAX: usize = 10;

/// A database with a name.
pub(super) struct Declared {
    pub(super) name: At<DatabaseName>,
    migrations: Option<PathBuf>,
    url: Option<PostgresUrl>,
    password: Option<ConfigName>,
}

impl Declared {
    pub(super) fn finish(self) -> SqlDatabase {
        SqlDatabase {
            name: self.name.value,
            migrations: self.migrations,
            url: self.url,
            password: self.password,
        }
    }
}

const SQL: Tables = Tables {
    kind: &keys::SQL,
    key: "sql",
    what: "SQL databases",
    max: DATABASES_MAX,
};

pub(super) fn read(
    text: &str,
    root: &Reader<'_, '_>,
    findings: &mut Vec<Finding>,
) -> Vec<Declared> {
    let mut databases: Vec<Declared> = Vec::new();
    for reader in root.tables(&SQL, findings) {
        let Some(declared) = declared(&reader, findings) else {
            continue;
        };
        let same = databases
            .iter()
            .find(|it| it.name.value == declared.name.value);
        if let Some(first) = same {
            let line = line_number(text, first.name.span.start);
            let message = format!(
                "the database in line {line} is already called `{}`",
                declared.name.value
            );
            let span = declared.name.span.clone();
            findings.push(Finding::new(ErrorCode::InvalidValue, span, message));
            continue;
        }
        databases.push(declared);
    }
    databases
}

fn declared(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<Declared> {
    let migrations = migrations(reader, findings);
    let url = url(reader, findings);
    let password = password(reader, findings);
    if !reader.has("url") && reader.has("password") {
        let message = "a database that the node keeps has no password";
        let finding = Finding::new(ErrorCode::InvalidValue, reader.span.clone(), message);
        findings
            .push(finding.help("`password` is for a Postgres server: say where it is in `url`"));
    }
    if reader.has("url") && reader.has("migrations") {
        let message = "`migrations` are applied to databases that the node keeps alone";
        let finding = Finding::new(ErrorCode::InvalidValue, reader.span.clone(), message);
        findings.push(finding.help("apply them to the server with a tool of your own"));
    }
    if !reader.has("name") {
        let message = "this database has no name";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("an only one may be called `default`: `name = \"default\"`"));
        return None;
    }
    let text = reader.text("name", findings)?;
    match DatabaseName::new(text.value) {
        Ok(value) => Some(Declared {
            name: At {
                value,
                span: text.span,
            },
            migrations,
            url,
            password,
        }),
        Err(error) => {
            let message = format!("`{}` is no name: {error}", quoted(text.value));
            let finding = Finding::new(ErrorCode::BadName, text.span, message);
            findings.push(finding.suggest(nearest_name(text.value)));
            None
        }
    }
}

/// A folder below the manifest's: what is deployed is what stands beside the manifest.
fn migrations(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<PathBuf> {
    let text = reader.filled_text("migrations", findings)?;
    let path = Path::new(text.value);
    let is_below = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_below {
        let message = format!(
            "`migrations` can't be `{}`: it is a folder below the manifest's",
            quoted(text.value)
        );
        findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
        return None;
    }
    Some(path.to_owned())
}

/// Where the server is.
fn url(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<PostgresUrl> {
    let text = reader.filled_text("url", findings)?;
    match PostgresUrl::parse(text.value) {
        Ok(url) => Some(url),
        Err(error) => {
            // It may have a password in it, which nobody should see again.
            let message = format!("bad `url`: {error}");
            findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
            None
        }
    }
}

/// The name of the secret that is the password.
pub(super) fn password(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<ConfigName> {
    let text = reader.filled_text("password", findings)?;
    match ConfigName::new(text.value) {
        Ok(name) => Some(name),
        Err(error) => {
            let message = format!("`password` is the name of a secret: {error}");
            let finding = Finding::new(ErrorCode::InvalidValue, text.span, message);
            findings.push(finding.suggest(ConfigName::nearest(text.value)));
            None
        }
    }
}
