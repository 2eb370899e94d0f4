//! `backup`: a copy of all that a node keeps, in a file that is there whole or not at all.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use everwarm_api::client::Archive;
use everwarm_node::backup::{Restored, check};

use super::new_file::NewFile;
use super::restore;
use crate::args::BackupArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::time;

pub(crate) async fn run(args: BackupArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.node)?;
    if args.file.as_deref() == Some(Path::new("-")) {
        let mut archive = client.back_up().await?;
        while let Some(piece) = archive.piece().await? {
            io::stdout()
                .write_all(&piece)
                .map_err(failed("write to standard output"))?;
        }
        return Ok(Exit::Success);
    }
    let path = args.file.unwrap_or_else(default_name);
    let file = NewFile::begin(&path)?;
    let archive = client.back_up().await?;
    let (restored, bytes) = keep(archive, file).await?;
    restore::show(&restored, &path, Some(bytes), "backed up", printer);
    Ok(Exit::Success)
}

fn default_name() -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = now.unwrap_or_default().as_millis();
    let stamp = time::utc(u64::try_from(ms).unwrap_or(u64::MAX));
    format!("everwarm-{}.tar", stamp.replace(' ', "-").replace(':', "")).into()
}

/// Writes the archive, checks what was written, and gives it its name.
async fn keep(mut archive: Archive, mut file: NewFile) -> Result<(Restored, u64), Failure> {
    let mut bytes = 0;
    while let Some(piece) = archive.piece().await? {
        file.add(&piece)?;
        bytes += piece.len() as u64;
    }
    let scratch = tempfile::tempdir_in(file.folder()).map_err(failed("write the backup"))?;
    let checked = check(io::BufReader::new(file.written()?), scratch.path())?;
    file.keep()?;
    Ok((checked, bytes))
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::uncoded(Exit::Failure, format!("couldn't {doing}: {error}"))
}
