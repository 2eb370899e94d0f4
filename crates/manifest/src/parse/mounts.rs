//! The tables `[[function.mounts]]`: reads each and tells what is wrong with it, and what is wrong between them. What a path
//! is, is for `mounts` of the crate to say.

use super::keys;
use super::table::{At, Reader, Tables};
use crate::diagnostics::{ErrorCode, Finding, quoted};
use crate::mounts::{MOUNTS_MAX, Mount, MountAt};

const MOUNTS: Tables = Tables {
    kind: &keys::MOUNTS,
    key: "mounts",
    what: "`[[function.mounts]]` of one function",
    max: MOUNTS_MAX,
};

/// All of a function's, as far as they could be read.
pub(super) fn read(function: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Vec<Mount> {
    let mut read: Vec<Mount> = Vec::new();
    for reader in function.tables(&MOUNTS, findings) {
        let Some(At { value: mount, span }) = one(&reader, findings) else {
            continue;
        };
        if let Some(other) = read.iter().find(|other| other.at.overlaps(&mount.at)) {
            let message = format!(
                "the folders `{}` and `{}` are at `{}` and `{}`: one would hide the other",
                other.path, mount.path, other.at, mount.at
            );
            let finding = Finding::new(ErrorCode::InvalidValue, span, message);
            findings.push(
                finding.help("give each folder a path of its own, none below that of another"),
            );
            continue;
        }
        read.push(mount);
    }
    read
}

/// One table, and where `at` stands.
fn one(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<At<Mount>> {
    if !reader.has("path") {
        let message = "this mount has no `path`";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("name the folder with the files: `path = \"data\"`"));
    }
    let path = super::assets::folder(reader, "path", findings);
    let (at, span) = match reader.text("at", findings) {
        None if reader.has("at") => return None,
        None => (None, reader.span.clone()),
        Some(text) => match MountAt::parse(text.value) {
            Ok(at) => (Some(at), text.span),
            Err(error) => {
                let message = format!("`at` can't be `{}`: {error}", quoted(text.value));
                let finding = Finding::new(ErrorCode::InvalidValue, text.span, message);
                findings.push(
                    finding.help("it is where the function sees the folder, such as `/data`"),
                );
                return None;
            }
        },
    };
    let path = path?;
    let at = at.unwrap_or_else(|| MountAt::of(&path));
    Some(At {
        value: Mount { path, at },
        span,
    })
}
