//! The tables `[[redis]]`: the app's Redis servers. Doesn't know who is granted them.

use super::databases::password;
use super::table::{At, Reader, Tables};
use super::{bad_name, keys};
use crate::app::RedisServer;
use crate::diagnostics::{ErrorCode, Finding, line_number};
use crate::grants::RedisUrl;
use crate::names::RedisName;

/// The most Redis servers of one app.
pub(crate) const REDIS_MAX: usize = 10;

const REDIS: Tables = Tables {
    kind: &keys::REDIS,
    key: "redis",
    what: "Redis servers",
    max: REDIS_MAX,
};

/// All of them, as far as they could be read.
pub(super) fn read(
    text: &str,
    root: &Reader<'_, '_>,
    findings: &mut Vec<Finding>,
) -> Vec<RedisServer> {
    let mut servers = Vec::new();
    let mut names: Vec<At<RedisName>> = Vec::new();
    for reader in root.tables(&REDIS, findings) {
        let url = url(&reader, findings);
        let password = password(&reader, findings);
        let Some(name) = name(&reader, findings) else {
            continue;
        };
        if let Some(first) = names.iter().find(|first| first.value == name.value) {
            let line = line_number(text, first.span.start);
            let message = format!(
                "the server in line {line} is already called `{}`",
                name.value
            );
            findings.push(Finding::new(ErrorCode::InvalidValue, name.span, message));
            continue;
        }
        servers.extend(url.map(|url| RedisServer {
            name: name.value.clone(),
            url,
            password,
        }));
        names.push(name);
    }
    servers
}

fn name(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<At<RedisName>> {
    if !reader.has("name") {
        let message = "this server has no name";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("an only one may be called `default`: `name = \"default\"`"));
        return None;
    }
    let text = reader.text("name", findings)?;
    match RedisName::new(text.value) {
        Ok(value) => Some(At {
            value,
            span: text.span,
        }),
        Err(error) => {
            findings.push(bad_name(&text, &error));
            None
        }
    }
}

fn url(reader: &Reader<'_, '_>, findings: &mut Vec<Finding>) -> Option<RedisUrl> {
    if !reader.has("url") {
        let message = "this server has no `url`";
        let finding = Finding::new(ErrorCode::MissingKey, reader.span.clone(), message);
        findings.push(finding.help("say where it is: `url = \"rediss://cache.example.com\"`"));
        return None;
    }
    let text = reader.filled_text("url", findings)?;
    match RedisUrl::parse(text.value) {
        Ok(url) => Some(url),
        Err(error) => {
            // It may have a password in it, which nobody should see again.
            let message = format!("bad `url`: {error}");
            findings.push(Finding::new(ErrorCode::InvalidValue, text.span, message));
            None
        }
    }
}
