//! Ten thousand functions with room for the code of few.

use super::node::{App, Data, host};
use super::{ERRORS, FUNCTIONS, RESIDENT};
use crate::load::http;
use crate::pairs::Spread;
use crate::report::Report;
use crate::scenarios::disk::distinct;
use crate::settings::Settings;

pub(crate) const NAME: &str = "scale-functions";
const COUNT: usize = 10_000;
const PER_APP: usize = 100;
const RESIDENT_MAX: &str = "256MiB";

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let data = Data::new()?;
    let hello = std::fs::read(settings.guest("hello", "0.2")?)?;
    eprintln!("   deploying {COUNT} functions");
    let arguments = ["--resident-max", RESIDENT_MAX];
    let node = data.start_empty(settings, &arguments)?;
    for first in (0..COUNT).step_by(PER_APP) {
        let mut app = App::new(&format!("many-{first}"));
        for index in first..first + PER_APP {
            app.function(
                &format!("f{index}"),
                &format!("/{index}"),
                distinct(&hello, index).into(),
                "",
            );
        }
        node.deploy(&app)?;
    }
    let mut errors = 0_u32;
    for index in 0..COUNT {
        let host = host(&format!("many-{}", index / PER_APP * PER_APP));
        let answered = http::get_from_host(node.address, &host, &format!("/{index}"));
        if answered.and_then(|answer| answer.check_hello()).is_err() {
            errors += 1;
        }
    }
    report.add(NAME, FUNCTIONS, ERRORS, "", Spread::of([f64::from(errors)]));
    report.add(
        NAME,
        FUNCTIONS,
        RESIDENT,
        " MiB",
        Spread::of(super::node::mib(&node)),
    );
    Ok(())
}
