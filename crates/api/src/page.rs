//! The page on the admin API, made of the list of operations. A test holds `docs/api.md` against it.

use std::fmt::Write as _;

use crate::operations::{ALL, Body, Operation};

/// The text of `docs/api.md`. Writing to a String can't fail, so results of `write!` are not looked at.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for operation in ALL {
        one(&mut text, operation);
    }
    text
}

const HEAD: &str = "\
# The admin API

This page is made of the operations in `crates/api`; `GET /openapi.json` has them with all their types.

Every request has a token: `authorization: Bearer ewt_...`. With a token of the node, `everwarm-tenant` says for which
tenant it acts. What fails answers with problem details (RFC 9457) and a [code](errors/README.md).
";

fn one(text: &mut String, operation: &Operation) {
    let Operation {
        id,
        method,
        path,
        scope,
        node_only,
        summary,
        ..
    } = operation;
    let whose = if *node_only { ", of the node" } else { "" };
    let _ = write!(
        text,
        "\n## {id}\n\n`{method} {path}`: {summary}. Needs the scope `{}`{whose}.\n",
        scope.as_str()
    );
    for parameter in operation.parameters {
        let place = parameter.place.as_str();
        let _ = write!(
            text,
            "\n- `{}` ({place}): {}",
            parameter.name, parameter.meaning
        );
    }
    if !operation.parameters.is_empty() {
        text.push('\n');
    }
    let taken = body(operation.request);
    let given = body(operation.response);
    let _ = match (taken, given) {
        (None, None) => Ok(()),
        (Some(taken), None) => writeln!(text, "\nTakes {taken}."),
        (None, Some(given)) => writeln!(text, "\nGives {given}."),
        (Some(taken), Some(given)) => writeln!(text, "\nTakes {taken}, gives {given}."),
    };
}

fn body(body: Body) -> Option<String> {
    match body {
        Body::Nothing => None,
        Body::Bytes => Some("bytes".to_owned()),
        Body::Other { meaning, .. } => Some(meaning.to_owned()),
        Body::Json(schema) => Some(format!("`{}`", (schema.name)())),
    }
}

#[cfg(test)]
mod tests {
    /// Says so when it is to be written anew.
    const UPDATE: &str = "EVERWARM_UPDATE_PAGES";

    #[test]
    fn page_is_what_the_operations_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
        let expected = super::markdown();
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/api.md is out of date: run this test with {UPDATE}=1"
        );
    }
}
