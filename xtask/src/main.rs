//! `cargo xtask`: the commands a developer and CI run, one file a verb.
//!
//! Owns which steps run and in what order. It builds without an async runtime and without Wasmtime and
//! knows nothing of the product beyond file names and the words in `guest/guests.toml`.

#![forbid(unsafe_code)]

mod bench;
mod ci;
mod debian;
mod dist;
mod doc_check;
mod fuzz;
mod guests;
mod shipped;
mod steps;
mod test;
mod tidy;
mod units;

use std::process::ExitCode;

use anyhow::{Context, bail};
use lexopt::Arg;

/// How long `cargo xtask fuzz` spends on each target when `--seconds` is not given.
const FUZZ_SECONDS_DEFAULT: u64 = 60;

const USAGE: &str = "\
Usage: cargo xtask <verb>

  test                               install what tests need, build the guests, run every test
  ci                                 fmt, clippy, docs, tidy, a short fuzz run, then test
  fuzz [target] [--seconds N]        run the fuzz targets (default 60 seconds each)
  tidy                               check the house rules: arrows, lengths, names, pages, invariants
  guests                             build the test guests into guest/target/guests
  doc-check                          build the docs with warnings as errors, check links in Markdown
  dist [--plain] [--out FOLDER]      make the archive that ships, in target/dist-archive; --plain builds it once
  units                              boot the systemd units that ship, as root, in namespaces of its own
  bench [--plain] [--install-peers] [--peers a,b] [--seconds N] [--json FILE] [filter]
                                     measure against other servers; `bench --help` says more
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut args = lexopt::Parser::from_env();
    let verb = match args.next()? {
        Some(Arg::Value(verb)) => verb
            .into_string()
            .map_err(|verb| anyhow::anyhow!("the verb {} is not UTF-8", verb.display()))?,
        Some(Arg::Long("help") | Arg::Short('h')) | None => {
            print!("{USAGE}");
            return Ok(());
        }
        Some(other) => return Err(other.unexpected().into()),
    };
    match verb.as_str() {
        "dist" => return dist::run(&mut args),
        "bench" => return bench::run(args.raw_args()?.collect()),
        "fuzz" => {
            let (target, seconds) = fuzz_arguments(&mut args)?;
            return fuzz::run(target.as_deref(), seconds, fuzz::OptLevel::Full);
        }
        _ => {}
    }
    if let Some(extra) = args.next()? {
        return Err(extra.unexpected()).with_context(|| format!("`{verb}` takes no arguments"));
    }
    match verb.as_str() {
        "test" => test::run(None),
        "ci" => ci::run(),
        "tidy" => tidy::run(),
        "guests" => guests::run().map(|_| ()),
        "doc-check" => doc_check::run(),
        "units" => units::run(),
        other => bail!("there is no verb `{other}`\n\n{USAGE}"),
    }
}

fn fuzz_arguments(args: &mut lexopt::Parser) -> anyhow::Result<(Option<String>, u64)> {
    use lexopt::ValueExt as _;
    let mut target = None;
    let mut seconds = FUZZ_SECONDS_DEFAULT;
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("seconds") => seconds = args.value()?.parse()?,
            Arg::Value(value) if target.is_none() => target = Some(value.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok((target, seconds))
}
