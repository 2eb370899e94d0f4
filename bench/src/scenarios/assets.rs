//! A file of 10 KB a second: in pairs with native hyper, which has it in memory, and beside nginx where that is installed.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use crate::load::{http, wrk};
use crate::pairs::{self, Spread};
use crate::report::Report;
use crate::servers::{self, NGINX_FILES, Native, Nginx, Running, Server as _, app, command_up};
use crate::settings::Settings;

pub(crate) const NAME: &str = "assets";
pub(crate) const SUBJECT: &str = "file of 10 KB";
pub(crate) const TO_HYPER: &str = "ratio to native hyper";
pub(crate) const TO_NGINX: &str = "ratio to nginx";
const RATE: &str = "requests/s";
const P50: &str = "p50 under load";

const FILE_BYTES: usize = 10_240;
const FILE: &str = "file.txt";
const PATH: &str = "/file.txt";
const WARM_UP: Duration = Duration::from_secs(1);

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let missing = wrk::missing().or_else(|| Native.missing(settings));
    if let Some(why) = missing {
        report.skip(format!("{NAME} is skipped: {why}"));
        return Ok(());
    }
    let ours = start(settings)?;
    let native = start_native(settings)?;
    let pairs = compare(settings, &native, &ours)?;
    report.add(NAME, SUBJECT, TO_HYPER, "", ratios(&pairs));
    let rates = pairs.iter().map(|pair| pair.subject.requests_per_second);
    report.add(NAME, SUBJECT, RATE, "", Spread::of(rates));
    let p50s = pairs.iter().map(|pair| pair.subject.p50_us);
    report.add(NAME, SUBJECT, P50, " us", Spread::of(p50s));
    drop(native);
    if let Some(why) = Nginx.missing(settings) {
        report.skip(format!("{NAME} beside nginx is skipped: {why}"));
        return Ok(());
    }
    let nginx = start_nginx(settings)?;
    let pairs = compare(settings, &nginx, &ours)?;
    report.add(NAME, SUBJECT, TO_NGINX, "", ratios(&pairs));
    Ok(())
}

fn ratios(pairs: &[pairs::Pair<wrk::Run>]) -> Spread {
    let ratios = pairs
        .iter()
        .map(|pair| pair.subject.requests_per_second / pair.baseline.requests_per_second);
    Spread::of(ratios)
}

fn compare(
    settings: &Settings,
    baseline: &Running,
    subject: &Running,
) -> anyhow::Result<Vec<pairs::Pair<wrk::Run>>> {
    for server in [baseline, subject] {
        wrk::run(server.address, PATH, WARM_UP)?;
    }
    pairs::run(
        settings.rounds,
        || sample(baseline, settings.run_time),
        || sample(subject, settings.run_time),
    )
}

/// One run under full load, with the right answer before and after.
fn sample(server: &Running, time: Duration) -> anyhow::Result<wrk::Run> {
    check(&http::get(server.address, PATH)?)?;
    let run = wrk::run(server.address, PATH, time)?;
    check(&http::get(server.address, PATH)?)?;
    Ok(run)
}

fn check(answer: &http::Answer) -> anyhow::Result<()> {
    ensure!(
        answer.status == 200 && answer.body == content(),
        "expected the file, got {} and {} bytes",
        answer.status,
        answer.body.len()
    );
    Ok(())
}

/// What the native server answers too.
fn content() -> Vec<u8> {
    vec![b'x'; FILE_BYTES]
}

fn write(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    std::fs::write(folder.join(FILE), content())?;
    Ok(())
}

fn start(settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join("public"))?;
    let mut app = app("bench");
    app.lines("\n[[assets]]\npath = \"public\"");
    app.write(folder.path())?;
    let address = servers::free_address()?;
    let command = command_up(settings, folder.path(), address);
    servers::start_command(NAME, command, folder, address, PATH, check)
}

fn start_native(settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    let address = servers::free_address()?;
    let mut command = Native.command(settings, folder.path(), address)?;
    command.arg(FILE_BYTES.to_string());
    servers::start_command(&Native.name(), command, folder, address, PATH, check)
}

fn start_nginx(settings: &Settings) -> anyhow::Result<Running> {
    let folder = tempfile::tempdir()?;
    write(&folder.path().join(NGINX_FILES))?;
    let address = servers::free_address()?;
    let command = Nginx.command(settings, folder.path(), address)?;
    servers::start_command(&Nginx.name(), command, folder, address, PATH, check)
}
