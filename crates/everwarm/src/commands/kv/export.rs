//! `kv export`: all entries as lines of JSON. Into a file it is there whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use everwarm_api::client::{ClientError, KvStore};
use everwarm_api::messages::{BATCH_MAX, KvEntry};
use serde_json::json;

use super::super::input::TOO_LARGE;
use super::super::new_file::NewFile;
use super::{Keys, failed};
use crate::args::KvExportArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(super) async fn run(args: KvExportArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let store = client.kv(&args.app, &args.of.store);
    let keys = Keys::new(store, args.prefix);
    let file = args.file.filter(|path| path != Path::new("-"));
    let Some(path) = file else {
        let _stage = printer.stage("exporting");
        let exported = write(keys, store, &mut io::stdout()).await?;
        printer.note(&format!("{exported} entries are exported"));
        return Ok(Exit::Success);
    };
    let mut file = NewFile::begin(&path)?;
    let exported = {
        let _stage = printer.stage("exporting");
        write(keys, store, &mut file).await?
    };
    file.keep()?;
    let shown = json!({ "exported": exported, "file": path });
    printer.data(&shown, || {
        format!("{exported} entries are exported to {}\n", path.display())
    });
    Ok(Exit::Success)
}

/// Writes the entries of these keys, and says how many.
async fn write(
    mut keys: Keys<'_>,
    store: KvStore<'_>,
    out: &mut impl Write,
) -> Result<u64, Failure> {
    let failed = failed("write the export");
    let mut exported = 0;
    while let Some(page) = keys.next().await? {
        for batch in page.chunks(BATCH_MAX) {
            let entries = read(store, batch).await?;
            let mut lines = Vec::new();
            for entry in &entries {
                serde_json::to_writer(&mut lines, entry).map_err(|error| failed(error.into()))?;
                lines.push(b'\n');
            }
            out.write_all(&lines).map_err(&failed)?;
            exported += entries.len() as u64;
        }
    }
    out.flush().map_err(&failed)?;
    Ok(exported)
}

/// Reads entries at once, or in parts where they are too large together.
async fn read(store: KvStore<'_>, keys: &[String]) -> Result<Vec<KvEntry>, Failure> {
    let mut entries = Vec::with_capacity(keys.len());
    // The next part is the last.
    let mut parts = vec![keys];
    while let Some(part) = parts.pop() {
        match store.read(part.to_vec()).await {
            Ok(read) => entries.extend(read),
            Err(ClientError::Problem(problem)) if problem.code == TOO_LARGE && part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(entries)
}
