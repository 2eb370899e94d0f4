//! `man`: a page for each verb, for the archive that is installed. Hidden: nobody needs it who has the archive.

use std::fs;

use clap::CommandFactory;

use crate::args::{Args, ManArgs};
use crate::exit::{Exit, Failure};

pub(crate) fn run(args: &ManArgs) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Args::command(), folder));
    written.map_err(|error| {
        let message = format!("couldn't write to {}: {error}", folder.display());
        Failure::new(Exit::Failure, "EW4021", message)
    })?;
    Ok(Exit::Success)
}
