//! One file a verb. Here is only which verb runs, and on what runtime.

mod admin;
mod apps;
mod audit;
mod backup;
mod blob;
pub(crate) mod build;
mod cache;
mod completions;
mod deploy;
mod doctor;
mod input;
mod invoke;
mod kv;
mod login;
mod logs;
mod man;
mod new;
mod new_file;
mod restore;
mod rm;
mod schema;
mod secret;
mod serve;
mod tenant;
mod token;
mod traffic;
mod triggers;
mod up;
mod usage;
mod versions;

use std::future::Future;
use std::time::Duration;

use everwarm_node::sockets::inherited;

use crate::args::Command;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::stop::Stop;

/// How long threads may still take at the end.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs the verb that was typed.
pub(crate) fn run(command: Command, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        Command::New(args) => new::run(args, printer),
        Command::Build(args) => wait(build::run(args, printer)),
        Command::Doctor(args) => wait(doctor::run(&args, printer)),
        Command::Completions(args) => Ok(completions::run(&args, printer)),
        Command::Man(args) => man::run(&args),
        Command::Schema => Ok(schema::run(printer)),
        Command::Up(args) => listening(up::run(args, printer)),
        Command::Invoke(args) => wait(invoke::run(args, printer)),
        Command::Serve(args) => {
            // Before the runtime has threads.
            let inherited = inherited()
                .map_err(|error| Failure::new(Exit::Node, error.code(), error.to_string()))?;
            listening(serve::run(args, inherited, printer))
        }
        Command::Login(args) => wait(login::run(args, printer)),
        Command::Deploy(args) => wait(deploy::run(args, printer)),
        Command::Apps(args) => wait(apps::run(args, printer)),
        Command::Versions(args) => wait(versions::run(args, printer)),
        Command::Promote(args) => wait(traffic::promote(args, printer)),
        Command::Rollback(args) => wait(traffic::roll_back(args, printer)),
        Command::Rm(args) => wait(rm::run(args, printer)),
        Command::Logs(args) => wait(logs::run(args, printer)),
        Command::Kv(command) => wait(kv::run(command, printer)),
        Command::Blob(command) => wait(blob::run(command, printer)),
        Command::Queue(command) => wait(triggers::queue(command, printer)),
        Command::Schedule(command) => wait(triggers::schedule(command, printer)),
        Command::Cache(command) => wait(cache::run(command, printer)),
        Command::Usage(args) => wait(usage::run(args, printer)),
        Command::Audit(args) => wait(audit::run(args, printer)),
        Command::Backup(args) => wait(backup::run(args, printer)),
        Command::Restore(args) => restore::run(&args, printer),
        Command::Tenant(command) => wait(tenant::run(command, printer)),
        Command::Token(command) => wait(token::run(command, printer)),
        Command::Secret(command) => wait(secret::run(command, printer)),
        // `main` has started it already.
        Command::CompileComponent => Ok(Exit::Usage),
    }
}

/// Runs a verb that waits for something to its end, or until the user interrupts it.
fn wait(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    listening(async {
        // Ended by a signal's own action, the compiler would go on alone.
        let mut stop = Stop::listen()?;
        tokio::select! {
            biased;
            () = stop.requested() => Ok(Exit::Interrupted),
            ended = verb => ended,
        }
    })
}

/// Runs a verb that listens for signals itself.
fn listening(verb: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::uncoded(Exit::Failure, format!("couldn't start threads: {error}"))
        })?;
    let ended = runtime.block_on(verb);
    // Whatever still blocks, as a read of standard input, isn't waited for.
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    ended
}
