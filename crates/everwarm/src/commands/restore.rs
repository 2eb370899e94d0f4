//! `restore`: a data folder of a backup.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use everwarm_node::backup::{Restored, check, restore};
use serde_json::json;

use crate::args::RestoreArgs;
use crate::exit::{Exit, Failure};
use crate::printer::{Printer, size};
use crate::settings;
use crate::time;

pub(crate) fn run(args: &RestoreArgs, printer: &Printer) -> Result<Exit, Failure> {
    let unreadable = |error: io::Error| {
        let message = format!("couldn't read {}: {error}", args.file.display());
        Failure::uncoded(Exit::Usage, message)
    };
    let archive: Box<dyn Read> = if args.file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(&args.file).map_err(unreadable)?))
    };
    if args.check {
        let scratch = scratch()?;
        let restored = check(archive, scratch.path())?;
        show(&restored, &args.file, None, "whole", printer);
        return Ok(Exit::Success);
    }
    let data_dir = settings::node_data_dir(args.data_dir.clone());
    let restored = restore(archive, &data_dir)?;
    show(&restored, &data_dir, None, "restored", printer);
    printer.note(&format!(
        "serve it: everwarm serve --data-dir {}",
        data_dir.display()
    ));
    Ok(Exit::Success)
}

fn scratch() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir().map_err(|error| {
        let message = format!("couldn't make a temporary folder: {error}");
        Failure::uncoded(Exit::Failure, message)
    })
}

/// Says what a backup holds. Without `bytes`, those of its artifacts.
pub(super) fn show(
    restored: &Restored,
    path: &Path,
    bytes: Option<u64>,
    what: &str,
    printer: &Printer,
) {
    let bytes = bytes.unwrap_or(restored.artifact_bytes);
    printer.data(
        &json!({
            "file": path,
            "made_ms": restored.made.0,
            "everwarm": restored.everwarm,
            "artifacts": restored.artifacts,
            "artifact_bytes": restored.artifact_bytes,
            "bytes": bytes,
            "blobs_elsewhere": restored.blobs_elsewhere.blobs,
        }),
        || {
            let elsewhere = restored.blobs_elsewhere;
            let elsewhere = match elsewhere.blobs {
                0 => String::new(),
                blobs => format!(
                    "not in it: {blobs} blobs, {}, which are in an S3 bucket\n",
                    size(usize::try_from(elsewhere.bytes).unwrap_or(usize::MAX))
                ),
            };
            format!(
                "{what}: {} (of {} UTC, by everwarm {}, {} components, {})\n{elsewhere}",
                path.display(),
                time::utc(restored.made.0),
                restored.everwarm,
                restored.artifacts,
                size(usize::try_from(bytes).unwrap_or(usize::MAX)),
            )
        },
    );
}
