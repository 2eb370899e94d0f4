//! `completions`: a script that teaches a shell the verbs and flags.

use clap::CommandFactory;

use crate::args::{Args, CompletionsArgs};
use crate::exit::Exit;
use crate::printer::Printer;

pub(crate) fn run(args: &CompletionsArgs, printer: &Printer) -> Exit {
    let mut script = Vec::new();
    let mut command = Args::command();
    clap_complete::generate(args.shell, &mut command, "everwarm", &mut script);
    printer.stdout(&script);
    Exit::Success
}
