//! `schema`: the manifest's JSON schema.

use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) fn run(printer: &Printer) -> Exit {
    printer.stdout(everwarm_manifest::schema().as_bytes());
    Exit::Success
}
