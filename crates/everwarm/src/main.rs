//! The Everwarm command line: reads what was typed, resolves what was meant, and runs one verb. The
//! only crate that prints.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod credentials;
mod doctor;
mod exit;
mod port;
mod printer;
mod session;
mod settings;
mod stop;
mod table;
mod telemetry;
mod templates;
mod time;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use everwarm_node::Mimalloc;

use crate::args::{Args, Command};
use crate::printer::Printer;
use crate::settings::{Environment, Output};

/// Measured, a fiftieth to a twentieth of a request's CPU time less than with the system's allocator. Without huge
/// pages: every thread zeroed some, which was a tenth of a start and half of an idle node's resident memory. What
/// that costs requests is in docs/performance.md.
#[global_allocator]
static ALLOCATOR: Mimalloc = Mimalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::CompileComponent = args.command {
        // The node's own child: it speaks to the node that started it, and to nobody else.
        return everwarm_node::compiler_main();
    }
    let output = Output::resolve(&args.output, &Environment::of_process());
    let printer = Printer::new(output);
    let exit = commands::run(args.command, &printer).unwrap_or_else(|failure| {
        printer.failure(&failure);
        failure.exit
    });
    exit.into()
}
