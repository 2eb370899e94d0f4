//! The throughput of every server as a bar chart, written as SVG by hand: a dozen rectangles need no
//! library.

use std::fmt::Write as _;

use crate::report::Report;
use crate::scenarios::throughput;

const BAR_HEIGHT: usize = 22;
const GAP: usize = 8;
const LABEL_WIDTH: usize = 220;
const BARS_WIDTH: f64 = 480.0;
const WIDTH: usize = 800;
const TOP: usize = 40;

/// The chart. Empty but valid when no throughput was measured.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "widths of bars are small and positive"
)]
pub(crate) fn svg(report: &Report) -> String {
    let bars: Vec<_> = report
        .measures()
        .iter()
        .filter(|measure| measure.scenario == throughput::NAME && measure.name == throughput::RATIO)
        .collect();
    let height = TOP + bars.len() * (BAR_HEIGHT + GAP) + GAP;
    let longest = bars.iter().map(|bar| bar.spread.median).fold(1.0, f64::max);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\">Hello, 32 connections: throughput as a part of native hyper's</text>\n"
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + index * (BAR_HEIGHT + GAP);
        let middle = y + BAR_HEIGHT * 3 / 4;
        let length = (bar.spread.median / longest * BARS_WIDTH).max(1.0) as usize;
        let fill = if bar.subject.starts_with("everwarm") {
            "#d9480f"
        } else {
            "#868e96"
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABEL_WIDTH}\" y=\"{y}\" width=\"{length}\" height=\"{BAR_HEIGHT}\" fill=\"{fill}\"/>\
             <text x=\"{}\" y=\"{middle}\">{:.2}</text>",
            LABEL_WIDTH - 8,
            escape(&bar.subject),
            LABEL_WIDTH + length + 8,
            bar.spread.median
        );
    }
    text.push_str("</svg>\n");
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::Spread;

    #[test]
    fn each_server_has_a_bar_with_its_value() {
        let mut report = Report::new(Vec::new(), false);
        for (name, value) in [("a<b", 0.5), ("native", 1.0)] {
            report.add(
                throughput::NAME,
                name,
                throughput::RATIO,
                "",
                Spread::of([value]),
            );
        }
        let svg = svg(&report);
        assert!(
            svg.contains("width=\"240\"") && svg.contains("width=\"480\""),
            "{svg}"
        );
        assert!(svg.contains("a&lt;b") && svg.contains(">0.50<"), "{svg}");
    }
}
