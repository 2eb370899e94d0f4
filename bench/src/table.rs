//! The report as Markdown: servers side by side, the other measures, the targets, and what is missing.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use crate::report::{Measure, Report};
use crate::scenarios::{latency, throughput};
use crate::targets;

/// Where the generated part of a page begins and ends.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// Columns of the table of servers: heading, scenario, measure, digits after the point.
const COLUMNS: &[(&str, &str, &str, usize)] = &[
    ("requests/s", throughput::NAME, throughput::RATE, 0),
    ("of native", throughput::NAME, throughput::RATIO, 2),
    ("CPU us", throughput::NAME, throughput::CPU, 1),
    ("p50 us", throughput::NAME, throughput::P50, 0),
    ("p99 us", throughput::NAME, throughput::P99, 0),
    ("memory MiB", throughput::NAME, throughput::MEMORY, 0),
    (
        "first answer ms",
        throughput::NAME,
        throughput::FIRST_ANSWER,
        1,
    ),
    ("p50 over native us", latency::NAME, latency::P50_OVER, 0),
    ("p99 over native us", latency::NAME, latency::P99_OVER, 0),
];

/// The whole report. Writing to a String can't fail, so results of `write!` are not looked at.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    let machine: Vec<String> = report
        .machine
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let _ = writeln!(text, "Measured on {}.\n", machine.join("; "));
    servers(&mut text, report);
    others(&mut text, report);
    verdicts(&mut text, report);
    for skipped in report.skipped() {
        let _ = writeln!(text, "- {skipped}");
    }
    for failure in report.failures() {
        let _ = writeln!(text, "- FAILED {}", failure.replace('\n', " "));
    }
    text
}

fn is_column(measure: &Measure) -> bool {
    COLUMNS
        .iter()
        .any(|(_, scenario, name, _)| measure.scenario == *scenario && measure.name == *name)
}

fn servers(text: &mut String, report: &Report) {
    let mut subjects: Vec<&str> = Vec::new();
    for measure in report
        .measures()
        .iter()
        .filter(|measure| is_column(measure))
    {
        if !subjects.contains(&measure.subject.as_str()) {
            subjects.push(&measure.subject);
        }
    }
    if subjects.is_empty() {
        return;
    }
    let headings: Vec<&str> = COLUMNS.iter().map(|(heading, ..)| *heading).collect();
    let _ = writeln!(text, "| server | {} |", headings.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(COLUMNS.len()));
    for subject in subjects {
        let _ = write!(text, "| {subject} |");
        for (heading, scenario, name, digits) in COLUMNS {
            match report.find(scenario, subject, name) {
                Some(spread) if *heading == "of native" => {
                    let _ = write!(
                        text,
                        " {:.digits$} ({:.digits$}-{:.digits$}) |",
                        spread.median, spread.min, spread.max
                    );
                }
                Some(spread) => {
                    let _ = write!(text, " {:.digits$} |", spread.median);
                }
                None => text.push_str(" |"),
            }
        }
        text.push('\n');
    }
    text.push('\n');
}

fn others(text: &mut String, report: &Report) {
    let rest: Vec<&Measure> = report
        .measures()
        .iter()
        .filter(|measure| !is_column(measure))
        .collect();
    if rest.is_empty() {
        return;
    }
    text.push_str("| scenario | what | measure | median | min to max |\n|---|---|---|---:|---:|\n");
    for measure in rest {
        let spread = measure.spread;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2}{} | {:.2} to {:.2} |",
            measure.scenario,
            measure.subject,
            measure.name,
            spread.median,
            measure.unit,
            spread.min,
            spread.max
        );
    }
    text.push('\n');
}

fn verdicts(text: &mut String, report: &Report) {
    let mut verdicts = targets::judge(report);
    if report.is_partial {
        verdicts.retain(|verdict| verdict.measured.is_some());
    }
    if verdicts.is_empty() {
        return;
    }
    text.push_str("| target | bound | measured | met |\n|---|---:|---:|---|\n");
    for verdict in verdicts {
        let measured = verdict
            .measured
            .map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"));
        let met = match verdict.met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {measured} | {met} |",
            verdict.text, verdict.bound
        );
    }
    text.push('\n');
}

/// Replaces what stands between the markers of a page.
///
/// # Errors
/// When the page can't be read or written, or has no markers.
pub(crate) fn replace_in_page(path: &Path, report: &Report) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let replaced = replace(&page, &markdown(report))
        .with_context(|| format!("{} has no lines `{BEGIN}` and `{END}`", path.display()))?;
    std::fs::write(path, replaced).with_context(|| format!("could not write {}", path.display()))
}

fn replace(page: &str, generated: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{generated}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Spread;

    #[test]
    fn servers_stand_side_by_side_and_gaps_stay_empty() {
        let mut report = Report::new(vec![("CPU".to_owned(), "X".to_owned())], false);
        let spread = Spread::of([0.5, 0.4, 0.6]);
        report.add(throughput::NAME, "a", throughput::RATIO, "", spread);
        report.add(latency::NAME, "b", latency::P50_OVER, " us", spread);
        let text = markdown(&report);
        assert!(text.starts_with("Measured on CPU: X.\n"), "{text}");
        assert!(text.contains("| a | | 0.50 (0.40-0.60) | |"), "{text}");
        assert!(text.contains("| b | | | | | | | | 0 | |"), "{text}");
        assert!(text.contains("not measured"), "{text}");
    }

    #[test]
    fn only_the_part_between_the_markers_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let replaced = replace(&page, "new\n").expect("the markers are there");
        assert_eq!(
            replaced,
            format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n")
        );
        assert_eq!(replace("no markers", "new"), None);
    }
}
