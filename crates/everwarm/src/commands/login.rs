//! `login`: keep a node's address and a token for it.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use everwarm_api::client::Client;
use everwarm_api::token::Token;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::args::LoginArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// More than any token has.
const TOKEN_BYTES_MAX: u64 = 4_096;

pub(crate) async fn run(args: LoginArgs, printer: &Printer) -> Result<Exit, Failure> {
    let text = read(&args)?;
    let token = Token::parse(text.expose_secret())
        .map_err(|error| Failure::new(Exit::Usage, "EW5002", error.to_string()))?;
    let node = args.node.trim_end_matches('/');
    let authority = args.ca.as_deref().map(read_authority).transpose()?;
    let pem = authority.as_deref().map(str::as_bytes);
    let client = Client::with_authority(node, token.clone(), None, pem)?;
    // A token that the node refuses isn't kept.
    let identity = client.who_am_i().await?;
    let path = credentials::keep(node, &token, authority.as_deref())?;
    let whose = identity.tenant.as_deref().map_or_else(
        || "of the node".to_owned(),
        |tenant| format!("of tenant {tenant}"),
    );
    printer.data(
        &json!({"node": node, "identity": identity, "kept_in": path}),
        || {
            format!(
                "logged in to {node} with the token `{}` ({whose}, scope {}); kept in {}\n",
                identity.name,
                identity.scope.as_str(),
                path.display()
            )
        },
    );
    Ok(Exit::Success)
}

/// An authority's certificate. It is kept with the token: the file may go.
fn read_authority(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::uncoded(
            Exit::Usage,
            format!("couldn't read {}: {error}", path.display()),
        )
    })
}

fn read(args: &LoginArgs) -> Result<SecretString, Failure> {
    if let Some(path) = &args.token_file {
        let text = std::fs::read_to_string(path);
        return text.map(SecretString::from).map_err(|error| {
            Failure::uncoded(
                Exit::Usage,
                format!("couldn't read {}: {error}", path.display()),
            )
        });
    }
    let failed = |error: std::io::Error| {
        Failure::uncoded(Exit::Failure, format!("couldn't read the token: {error}"))
    };
    if std::io::stdin().is_terminal() {
        eprintln!("Token for {} (it isn't shown):", args.node);
        let typed = console::Term::stderr().read_secure_line();
        return typed.map(SecretString::from).map_err(failed);
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(TOKEN_BYTES_MAX)
        .read_to_string(&mut text);
    read.map_err(failed)?;
    Ok(text.into())
}
