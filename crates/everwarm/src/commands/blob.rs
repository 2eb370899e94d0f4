//! `blob`: what an app keeps as streams. None is ever whole in memory; `blob::input` is where one that is written comes
//! from.

mod input;

use std::io::{self, Write as _};
use std::path::Path;

use everwarm_api::client::{
    Blob, BlobIf, BlobList, ClientError, NO_BLOB, NOT_AS_ASKED, UploadError,
};
use everwarm_api::messages::BlobInfo;
use serde_json::json;

use super::new_file::NewFile;
use crate::args::{BlobCommand, BlobGetArgs, BlobLsArgs, BlobPutArgs, BlobRmArgs, ContainerArgs};
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::table::visible;
use crate::time;

/// Blobs that are asked for at once.
const BLOBS_A_PAGE: u32 = 1_000;

pub(crate) async fn run(command: BlobCommand, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        BlobCommand::Ls(args) => list(args, printer).await,
        BlobCommand::Get(args) => get(args, printer).await,
        BlobCommand::Put(args) => put(args, printer).await,
        BlobCommand::Rm(args) => remove(args, printer).await,
    }
}

async fn list(args: BlobLsArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let blobs = client.blobs(&args.of.app, &args.of.container);
    let mut after: Option<String> = None;
    loop {
        let asked = BlobList {
            prefix: args.prefix.as_deref(),
            after: after.as_deref(),
            limit: Some(BLOBS_A_PAGE),
        };
        let page = blobs.list(asked).await?;
        for blob in &page.items {
            printer.event(blob);
            printer.say(&line(blob));
        }
        after = page.next;
        if after.is_none() {
            return Ok(Exit::Success);
        }
    }
}

/// A blob for people. There may be too many for columns as wide as their widest cell.
fn line(blob: &BlobInfo) -> String {
    let when = time::utc_to_the_second(blob.created_ms);
    format!("{when}  {:>12}  {}", blob.size, visible(&blob.name))
}

async fn get(args: BlobGetArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
    // Before anything is asked for.
    let file = file.map(NewFile::begin).transpose()?;
    let blobs = client.blobs(&args.of.app, &args.of.container);
    let found = blobs.get(&args.name).await?;
    let mut blob = found.ok_or_else(|| no_blob(&args.of))?;
    let _stage = printer.stage("reading");
    let Some(mut file) = file else {
        return print(&mut blob).await;
    };
    while let Some(piece) = blob.piece().await? {
        file.add(&piece)?;
    }
    let path = file.path().to_owned();
    file.keep()?;
    let mut shown = json!(blob.info());
    shown["file"] = json!(path);
    printer.data(&shown, || {
        format!("{} bytes are in {}\n", blob.info().size, path.display())
    });
    Ok(Exit::Success)
}

/// Writes a blob to standard output. A part of it mustn't be taken for the whole: the exit code says so.
async fn print(blob: &mut Blob) -> Result<Exit, Failure> {
    let failed = |error: io::Error| {
        let message = format!("couldn't write to standard output: {error}");
        Failure::uncoded(Exit::Failure, message)
    };
    while let Some(piece) = blob.piece().await? {
        io::stdout().write_all(&piece).map_err(failed)?;
    }
    io::stdout().flush().map_err(failed)?;
    Ok(Exit::Success)
}

fn no_blob(of: &ContainerArgs) -> Failure {
    let ContainerArgs { app, container } = of;
    let message = format!("there is no blob of that name in the container `{container}` of {app}");
    Failure::new(Exit::Failure, NO_BLOB, message)
}

async fn put(args: BlobPutArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let (source, from) = input::open(args.file)?;
    let condition = if args.if_absent {
        BlobIf::Absent
    } else {
        BlobIf::Any
    };
    let blobs = client.blobs(&args.of.app, &args.of.container);
    let put = {
        let _stage = printer.stage("writing");
        let content_type = args.content_type.as_deref();
        blobs
            .upload(&args.name, source, content_type, condition)
            .await
    };
    let put = put.map_err(|error| match error {
        UploadError::Source(error) => {
            let message = format!("couldn't read {from}: {error}; nothing is written");
            Failure::uncoded(Exit::Failure, message)
        }
        UploadError::Client(ClientError::Problem(problem)) if problem.code == NOT_AS_ASKED => {
            let ContainerArgs { app, container } = &args.of;
            let message = format!(
                "there is a blob of that name already in the container `{container}` of {app}, and it stays as it is"
            );
            Failure::new(Exit::Failure, NOT_AS_ASKED, message)
        }
        UploadError::Client(error) => unanswered(error),
    })?;
    printer.data(&put, || {
        format!("{} has {} bytes now\n", visible(&put.name), put.size)
    });
    Ok(Exit::Success)
}

/// Why a blob isn't known to be written. Without an answer it may be, all of it.
fn unanswered(error: ClientError) -> Failure {
    let is_unanswered = matches!(
        error,
        ClientError::Unreachable { .. } | ClientError::Strange { .. }
    );
    let mut failure = Failure::from(error);
    if is_unanswered {
        let hint = " If all of it was sent, the blob may be there: `everwarm blob ls` tells";
        failure.message.push_str(hint);
    }
    failure
}

async fn remove(args: BlobRmArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    let blobs = client.blobs(&args.of.app, &args.of.container);
    let mut removed = 0_u64;
    for name in &args.names {
        removed += u64::from(blobs.remove(name, BlobIf::Any).await?);
    }
    printer.data(&json!({ "removed": removed }), || {
        let plural = if removed == 1 { "" } else { "s" };
        format!("{removed} blob{plural} removed\n")
    });
    Ok(Exit::Success)
}
