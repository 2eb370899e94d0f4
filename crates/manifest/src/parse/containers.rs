//! The tables `[[blobs]]`: the app's containers of blobs. Doesn't know who is granted them.

use super::keys;
use super::table::{At, Reader, Tables};
use crate::app::BlobContainer;
use crate::diagnostics::{ErrorCode, Finding, line_number, quoted};
use crate::names::{ContainerName, nearest_name};

/// The most containers of blobs of one app.
pub const CONTAINERS_MAX: usize = 10;

/// A container with a name.
pub(super) struct Declared {
    pub(super) name: At<ContainerName>,
}

impl Declared {
    pub(super) fn finish(self) -> BlobContainer {
        BlobContainer {
            name: self.name.value,
        }
    }
}

const BLOBS: Tables = Tables {
    kind: &keys::BLOBS,
    key: "blobs",
    what: "containers of blobs",
    max: CONTAINERS_MAX,
};

pub(super) fn read(
    text: &str,
    root: &Reader<'_, '_>,
    findings: &mut Vec<Finding>,
) -> Vec<Declared> {
    let mut containers: Vec<Declared> = Vec::new();
    for reader in root.tables(&BLOBS, findings) {
        let Some(declared) = declared(&reader, findings) else {
            continue;
        };
        let same = containers
            .iter()
            .find(|it| it.name.value == declared.name.value);
        if let Some(first) = same {
            let line = line_number(text, first.name.span.start);
            let message = format!(
                "the container in line {line} is already called `{}`",
                declared.name.value
            );
            let span = declared.name.span.clone();
            findings.push(Finding::new(ErrorCode::InvalidValue, span, message));
            continue;
        }
        containers.push(declared);
    }
    containers
}

fn declared(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<Declared> {
    if !reader.has("name") {
        let message = "this container has no name";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("an only one may be called `default`: `name = \"default\"`"));
        return None;
    }
    let text = reader.text("name", findings)?;
    match ContainerName::new(text.value) {
        Ok(value) => Some(Declared {
            name: At {
                value,
                span: text.span,
            },
        }),
        Err(error) => {
            let message = format!("`{}` is no name: {error}", quoted(text.value));
            let finding = Finding::new(ErrorCode::BadName, text.span, message);
            findings.push(finding.suggest(nearest_name(text.value)));
            None
        }
    }
}
