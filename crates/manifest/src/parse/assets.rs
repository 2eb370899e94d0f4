//! The tables `[[assets]]`: reads each and tells what is wrong with it, and what is wrong between them. What a path or a
//! glob is, is for `assets` of the crate to say.

use super::function::bad_route;
use super::table::{self, At, Reader, Tables};
use super::{keys, line_number, too_many};
use crate::assets::{ASSETS_MAX, ASSETS_NAME, AssetPath, Assets, AssetsAt, Glob, IMMUTABLE_MAX};
use crate::diagnostics::{ErrorCode, Finding, quoted};
use crate::names::FunctionName;

const ASSETS: Tables = Tables {
    kind: &keys::ASSETS,
    key: "assets",
    what: "`[[assets]]`",
    max: ASSETS_MAX,
};

/// All of them, as far as they could be read.
pub(super) fn read(text: &str, root: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<Assets> {
    let mut read: Vec<(Assets, At<()>)> = Vec::new();
    for reader in root.tables(&ASSETS, findings) {
        let Some((assets, at)) = one(&reader, findings) else {
            continue;
        };
        if let Some((_, first)) = read
            .iter()
            .find(|(other, _)| other.at.route().conflicts_with(assets.at.route()))
        {
            let line = line_number(text, first.span.start);
            let message = format!("the assets in line {line} are at `{}` already", assets.at);
            let finding = Finding::new(ErrorCode::RouteConflict, at.span, message);
            findings.push(
                finding.help("give each folder a place of its own, such as `at = \"/static\"`"),
            );
            continue;
        }
        read.push((assets, at));
    }
    read.into_iter().map(|(assets, _)| assets).collect()
}

/// One table, and where `at` stands.
fn one(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<(Assets, At<()>)> {
    if !reader.has("path") {
        let finding = Finding::new(
            ErrorCode::MissingKey,
            reader.span.clone(),
            "these assets have no `path`",
        );
        findings.push(finding.help("name the folder with the files: `path = \"public\"`"));
    }
    let path = folder(reader, "path", findings);
    let fallback = path_of_file(reader, findings);
    let immutable = immutable(reader, findings);
    let (at, span) = match reader.text("at", findings) {
        None if reader.has("at") => return None,
        None => (AssetsAt::default(), reader.span.clone()),
        Some(text) => match AssetsAt::parse(text.value) {
            Ok(at) => (at, text.span),
            Err(error) => {
                findings.push(bad_route(&text, &error));
                return None;
            }
        },
    };
    let assets = Assets {
        path: path?,
        at,
        fallback,
        immutable,
    };
    Some((assets, At { value: (), span }))
}

/// A folder of files below the manifest's.
pub(super) fn folder(
    reader: &Reader<'_, '_>,
    key: &str,
    findings: &mut Vec<Finding>,
) -> Option<AssetPath> {
    let text = reader.filled_text(key, findings)?;
    let plain = text.value.strip_prefix("./").unwrap_or(text.value);
    let plain = plain.strip_suffix('/').unwrap_or(plain);
    match AssetPath::new(plain) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("`{key}` can't be `{}`: {error}", quoted(text.value));
            let finding = Finding::new(ErrorCode::InvalidValue, text.span, message);
            findings.push(finding.help(
                "it is relative to the manifest's folder and below it: such files are in a folder of their own",
            ));
            None
        }
    }
}

fn path_of_file(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<AssetPath> {
    let text = reader.filled_text("fallback", findings)?;
    match AssetPath::new(text.value) {
        Ok(path) => Some(path),
        Err(error) => {
            let message = format!("`fallback` can't be `{}`: {error}", quoted(text.value));
            let finding = Finding::new(ErrorCode::InvalidValue, text.span, message);
            findings.push(finding.help("it is a file in the folder, such as `index.html`"));
            None
        }
    }
}

fn immutable(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<Glob> {
    let Some(array) = reader.array("immutable", findings) else {
        return Vec::new();
    };
    if let Some(first_over) = array.value.get(IMMUTABLE_MAX) {
        findings.push(too_many(
            first_over.span(),
            "globs in `immutable` of one folder",
            IMMUTABLE_MAX,
        ));
    }
    let mut globs = Vec::new();
    for item in array.value.iter().take(IMMUTABLE_MAX) {
        let Some(text) = table::text(item, "immutable", findings) else {
            continue;
        };
        match Glob::new(text.value) {
            Ok(glob) => globs.push(glob),
            Err(error) => {
                let message = format!("`immutable` can't have `{}`: {error}", quoted(text.value));
                findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
            }
        }
    }
    globs
}

/// A function can't be called what usage and logs call the files.
pub(super) fn check_names<'d>(
    assets: &[Assets],
    names: impl Iterator<Item = &'d At<FunctionName>>,
    findings: &mut Vec<Finding>,
) {
    if assets.is_empty() {
        return;
    }
    for name in names.filter(|name| name.value.as_str() == ASSETS_NAME) {
        let message = format!(
            "a function of an app with `[[assets]]` can't be called `{ASSETS_NAME}`: usage and logs have that name for the files"
        );
        findings.push(Finding::new(ErrorCode::BadName, name.span.clone(), message));
    }
}
