//! `doctor`: shows what `crate::doctor` found on this machine.

use serde::Serialize;

use crate::args::DoctorArgs;
use crate::doctor::{self, Check, Status};
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// What JSON says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(crate) async fn run(args: &DoctorArgs, printer: &Printer) -> Result<Exit, Failure> {
    let checks = doctor::checks(args.listen).await;
    let ok = checks.iter().all(|check| check.status != Status::Missing);
    let report = Report {
        ok,
        checks: &checks,
    };
    printer.data(&report, || {
        let mut text: String = checks.iter().map(|check| line(printer, check)).collect();
        text.push_str(if ok {
            "\nEverything that Everwarm needs is here.\n"
        } else {
            "\nSomething is missing: run the commands above.\n"
        });
        text
    });
    Ok(if ok { Exit::Success } else { Exit::Failure })
}

fn line(printer: &Printer, check: &Check) -> String {
    let word = match check.status {
        Status::Ok => printer.out("ok     ").green(),
        Status::Warning => printer.out("warning").yellow(),
        Status::Missing => printer.out("missing").red(),
    };
    let fix = match &check.fix {
        Some(fix) => format!("\n         -> {fix}"),
        None => String::new(),
    };
    format!("{word}  {}: {}{fix}\n", check.name, check.found)
}
