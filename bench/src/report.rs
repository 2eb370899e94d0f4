//! What was measured, as data: the table, the plot, the targets and the JSON are all read from here.

use serde_json::{Value, json};

use crate::machine::Description;
use crate::pairs::Spread;

/// One number.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) scenario: &'static str,
    /// The server, or what else was measured.
    pub(crate) subject: String,
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) spread: Spread,
}

/// All that one run of the bench found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Description,
    /// Only some scenarios or servers were asked for.
    pub(crate) is_partial: bool,
    measures: Vec<Measure>,
    skipped: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    pub(crate) fn new(machine: Description, is_partial: bool) -> Self {
        Self {
            machine,
            is_partial,
            measures: Vec::new(),
            skipped: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Notes a measure and shows it at once: a run takes minutes.
    pub(crate) fn add(
        &mut self,
        scenario: &'static str,
        subject: &str,
        name: &'static str,
        unit: &'static str,
        spread: Spread,
    ) {
        eprintln!(
            "   {subject}: {name} {:.2}{unit} ({:.2} to {:.2})",
            spread.median, spread.min, spread.max
        );
        self.measures.push(Measure {
            scenario,
            subject: subject.to_owned(),
            name,
            unit,
            spread,
        });
    }

    /// Notes what did not take part. Each reason once.
    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !self.skipped.contains(&why) {
            eprintln!("   {why}");
            self.skipped.push(why);
        }
    }

    /// Notes that a scenario, or a server in one, failed.
    pub(crate) fn fail(&mut self, what: &str, error: &str) {
        self.failures.push(format!("{what}: {error}"));
    }

    pub(crate) fn measures(&self) -> &[Measure] {
        &self.measures
    }

    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// A measure's spread, when it was taken.
    pub(crate) fn find(&self, scenario: &str, subject: &str, name: &str) -> Option<Spread> {
        self.measures
            .iter()
            .find(|measure| {
                measure.scenario == scenario && measure.subject == subject && measure.name == name
            })
            .map(|measure| measure.spread)
    }

    /// Everything as JSON.
    pub(crate) fn json(&self) -> Value {
        let machine: serde_json::Map<String, Value> = self
            .machine
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let measures: Vec<Value> = self
            .measures
            .iter()
            .map(|measure| {
                json!({
                    "scenario": measure.scenario,
                    "subject": measure.subject,
                    "name": measure.name,
                    "unit": measure.unit.trim(),
                    "median": measure.spread.median,
                    "min": measure.spread.min,
                    "max": measure.spread.max,
                })
            })
            .collect();
        let targets: Vec<Value> = crate::targets::judge(self)
            .into_iter()
            .map(|verdict| {
                json!({
                    "target": verdict.text,
                    "bound": verdict.bound,
                    "measured": verdict.measured,
                    "met": verdict.met(),
                })
            })
            .collect();
        json!({
            "machine": machine,
            "measures": measures,
            "targets": targets,
            "skipped": self.skipped,
            "failures": self.failures,
        })
    }
}
