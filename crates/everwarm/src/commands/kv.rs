//! `kv`: what an app keeps by key. Single values, and removing many; `kv::export` and `kv::import` carry all of them.

mod export;
mod import;

use std::io::{self, Write as _};

use bytes::Bytes;
use everwarm_api::client::{KvQuery, KvStore, NO_VALUE};
use everwarm_api::messages::{BATCH_MAX, Base64, KvEntry, VALUE_BYTES_MAX};
use serde_json::json;

use super::input::{self, Input};
use crate::args::{KvCommand, KvGetArgs, KvLsArgs, KvPutArgs, KvRmArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::visible;

/// Keys that are asked for at once.
const KEYS_A_PAGE: u32 = 1_000;

pub(crate) async fn run(command: KvCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        KvCommand::Get(args) => get(args, printer).await,
        KvCommand::Put(args) => put(args, printer).await,
        KvCommand::Ls(args) => list(args, printer).await,
        KvCommand::Rm(args) => remove(args, printer).await,
        KvCommand::Export(args) => export::run(args, printer).await,
        KvCommand::Import(args) => import::run(args, printer).await,
    }
}

async fn get(args: KvGetArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let found = client.kv(&args.app, &args.of.store).get(&args.key).await?;
    let Some(found) = found else {
        let (app, store) = (&args.app, &args.of.store);
        let message = format!("there is nothing under this key in the store `{store}` of {app}");
        return Err(Failure::new(Exit::Failure, NO_VALUE, message));
    };
    if !printer.output().json {
        write_out(&found.bytes)?;
        return Ok(Exit::Success);
    }
    let mut shown = json!(KvEntry {
        key: args.key,
        value: Base64(found.bytes),
        expires_ms: found.expires_ms,
    });
    shown["revision"] = json!(found.revision);
    printer.event(&shown);
    Ok(Exit::Success)
}

/// Writes what was asked for to standard output. A part of it mustn't be taken for the whole.
fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(failed("write to standard output"))
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::uncoded(Exit::Failure, format!("couldn't {doing}: {error}"))
}

async fn put(args: KvPutArgs, printer: &Printer) -> Result<Exit, Failure> {
    let ttl_s = args.ttl.map(|ttl| ttl.as_u64().div_ceil(1_000));
    if ttl_s == Some(0) {
        return Err(Failure::uncoded(
            Exit::Usage,
            "`--ttl` is longer than nothing",
        ));
    }
    let client = credentials::client(&args.of.node)?;
    let value = if let Some(text) = args.value {
        Bytes::from(text)
    } else {
        let what = Input {
            name: "value",
            bytes_max: VALUE_BYTES_MAX,
            too_large: "keep it in parts",
        };
        input::read(what, args.file).await?
    };
    let bytes = value.len();
    let store = client.kv(&args.app, &args.of.store);
    let put = store.put(&args.key, value, ttl_s).await?;
    let shown = json!({
        "key": args.key,
        "bytes": bytes,
        "revision": put.revision,
        "expires_ms": put.expires_ms,
    });
    printer.data(&shown, || {
        format!("{} has {bytes} bytes now\n", visible(&args.key))
    });
    Ok(Exit::Success)
}

async fn list(args: KvLsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let mut keys = Keys::new(client.kv(&args.app, &args.of.store), args.prefix);
    while let Some(page) = keys.next().await? {
        for key in page {
            printer.event(&json!({ "key": key }));
            printer.say(&visible(&key));
        }
    }
    Ok(Exit::Success)
}

async fn remove(args: KvRmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let store = client.kv(&args.app, &args.of.store);
    let mut removed = 0;
    if let Some(prefix) = args.prefix {
        let _stage = printer.stage("removing");
        let mut keys = Keys::new(store, Some(prefix));
        while let Some(page) = keys.next().await? {
            removed += remove_all(store, &page).await?;
        }
    } else {
        removed = remove_all(store, &args.keys).await?;
    }
    printer.data(&json!({ "removed": removed }), || {
        let plural = if removed == 1 { "" } else { "s" };
        format!("{removed} value{plural} removed\n")
    });
    Ok(Exit::Success)
}

async fn remove_all(store: KvStore<'_>, keys: &[String]) -> Result<u64, Failure> {
    let mut removed = 0;
    for batch in keys.chunks(BATCH_MAX) {
        removed += u64::from(store.remove_all(batch.to_vec()).await?);
    }
    Ok(removed)
}

/// The keys of a store, page by page.
struct Keys<'a> {
    store: KvStore<'a>,
    prefix: Option<String>,
    after: Option<String>,
    is_over: bool,
}

impl<'a> Keys<'a> {
    fn new(store: KvStore<'a>, prefix: Option<String>) -> Self {
        Self {
            store,
            prefix,
            after: None,
            is_over: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<String>>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let asked = KvQuery {
            prefix: self.prefix.as_deref(),
            after: self.after.as_deref(),
            limit: Some(KEYS_A_PAGE),
        };
        let page = self.store.keys(asked).await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.items))
    }
}
