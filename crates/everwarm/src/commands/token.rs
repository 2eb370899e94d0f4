//! `token`: who may ask a node for what.

use everwarm_api::messages::{NewToken, Scope, TokenInfo};
use serde_json::json;

use crate::args::{ScopeArg, TokenCommand, TokenLsArgs, TokenNewArgs, TokenRmArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::{Column, table};
use crate::time;

const DAY_S: u64 = 24 * 3_600;

pub(crate) async fn run(command: TokenCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        TokenCommand::Ls(args) => list(args, printer).await,
        TokenCommand::New(args) => make(args, printer).await,
        TokenCommand::Rm(args) => remove(args, printer).await,
    }
}

async fn list(args: TokenLsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let tokens = client.tokens(args.of_node).await?.items;
    printer.data(&tokens, || {
        let rows: Vec<_> = tokens.iter().map(row).collect();
        let columns = [
            Column::Left("TOKEN"),
            Column::Left("NAME"),
            Column::Left("SCOPE"),
            Column::Left("MADE (UTC)"),
            Column::Left("EXPIRES (UTC)"),
        ];
        table(columns, &rows)
    });
    Ok(Exit::Success)
}

fn row(token: &TokenInfo) -> [String; 5] {
    [
        token.id.clone(),
        token.name.clone(),
        token.scope.as_str().to_owned(),
        time::utc(token.created_ms),
        token.expires_ms.map_or("never".to_owned(), time::utc),
    ]
}

async fn make(args: TokenNewArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let new = NewToken {
        name: args.name,
        scope: match args.scope {
            ScopeArg::Read => Scope::Read,
            ScopeArg::Deploy => Scope::Deploy,
            ScopeArg::Admin => Scope::Admin,
        },
        lifetime_s: args.days.map(|days| days * DAY_S),
        of_node: args.of_node,
    };
    let made = client.make_token(&new).await?;
    printer.note("This is the only time that the token is shown:");
    printer.data(&made, || format!("{}\n", made.token));
    Ok(Exit::Success)
}

async fn remove(args: TokenRmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    client.remove_token(&args.id, args.of_node).await?;
    printer.data(&json!({"removed": args.id}), || {
        format!("token {} is revoked\n", args.id)
    });
    Ok(Exit::Success)
}
