//! What the node counts, from the text that `/metrics` has into OTLP: so nothing is counted twice, and nothing is left
//! out. Pure.
//!
//! Reads the text that this node writes (OpenMetrics 1.0): counters, gauges and histograms.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use super::encode::text;

/// One metric with all its series.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reading {
    name: String,
    help: String,
    kind: Kind,
    series: Vec<Series>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Kind {
    #[default]
    Gauge,
    Counter,
    Histogram,
}

/// One series: its labels, and its number, or the parts of its histogram.
#[derive(Debug, Default, PartialEq)]
struct Series {
    labels: Vec<(String, String)>,
    number: f64,
    sum: f64,
    count: f64,
    /// Ends of buckets, each with how many are in it or in one before.
    buckets: Vec<(f64, f64)>,
}

/// The metrics of a text. A line that isn't understood is passed over.
pub(super) fn read(text: &str) -> Vec<Reading> {
    let mut readings: Vec<Reading> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            let (name, help) = said.split_once(' ').unwrap_or((said, ""));
            let reading = of(&mut readings, name);
            reading.help = unescaped(help);
        } else if let Some(said) = line.strip_prefix("# TYPE ") {
            if let Some((name, kind)) = said.split_once(' ') {
                of(&mut readings, name).kind = match kind {
                    "counter" => Kind::Counter,
                    "histogram" => Kind::Histogram,
                    _ => Kind::Gauge,
                };
            }
        } else if !line.starts_with('#')
            && let Some(reading) = readings.last_mut()
        {
            reading.take(line);
        }
    }
    readings.retain(|reading| !reading.series.is_empty());
    readings
}

fn of<'r>(readings: &'r mut Vec<Reading>, name: &str) -> &'r mut Reading {
    if readings.last().is_none_or(|last| last.name != name) {
        readings.push(Reading {
            name: name.to_owned(),
            ..Reading::default()
        });
    }
    readings
        .last_mut()
        .expect("one was pushed if there was none")
}

impl Reading {
    /// How many data points it becomes.
    pub(super) fn points(&self) -> usize {
        self.series.len()
    }

    /// Takes a sample: `name{labels} value`.
    fn take(&mut self, line: &str) -> Option<()> {
        let rest = line.strip_prefix(&self.name)?;
        let at = rest.find(['{', ' '])?;
        let (suffix, rest) = rest.split_at(at);
        let (mut labels, rest) = labels(rest)?;
        let number: f64 = rest.split_whitespace().next()?.parse().ok()?;
        let end = labels.iter().position(|(name, _)| name == "le");
        let end = end.filter(|_| suffix == "_bucket");
        let end = end.map(|place| labels.remove(place).1);
        // The lines of one histogram stand together.
        if self.series.last().is_none_or(|last| last.labels != labels) {
            self.series.push(Series {
                labels,
                ..Series::default()
            });
        }
        let series = self.series.last_mut()?;
        match suffix {
            "_bucket" => series.buckets.push((end?.parse().ok()?, number)),
            "_sum" => series.sum = number,
            "_count" => series.count = number,
            _ => series.number = number,
        }
        Some(())
    }

    /// As OTLP has it.
    pub(super) fn into_metric(self, began: u64, now: u64) -> Metric {
        let cumulative = AggregationTemporality::Cumulative.into();
        let numbers = |series: Vec<Series>, began| {
            let points = series.into_iter().map(|series| NumberDataPoint {
                attributes: attributes(&series.labels),
                start_time_unix_nano: began,
                time_unix_nano: now,
                value: Some(whole(series.number)),
                ..NumberDataPoint::default()
            });
            points.collect()
        };
        let data = match self.kind {
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: numbers(self.series, 0),
            }),
            Kind::Counter => Data::Sum(Sum {
                data_points: numbers(self.series, began),
                aggregation_temporality: cumulative,
                is_monotonic: true,
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: self
                    .series
                    .into_iter()
                    .map(|series| series.into_histogram(began, now))
                    .collect(),
                aggregation_temporality: cumulative,
            }),
        };
        Metric {
            name: self.name,
            description: self.help,
            data: Some(data),
            ..Metric::default()
        }
    }
}

impl Series {
    fn into_histogram(self, began: u64, now: u64) -> HistogramDataPoint {
        let mut before = 0;
        let mut counts = Vec::with_capacity(self.buckets.len());
        for (_, until) in &self.buckets {
            let until = count(*until);
            counts.push(until.saturating_sub(before));
            before = until;
        }
        let ends = self.buckets.iter().map(|(end, _)| *end);
        HistogramDataPoint {
            attributes: attributes(&self.labels),
            start_time_unix_nano: began,
            time_unix_nano: now,
            count: count(self.count),
            sum: Some(self.sum),
            bucket_counts: counts,
            explicit_bounds: ends.filter(|end| end.is_finite()).collect(),
            ..HistogramDataPoint::default()
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative; a cast of others ends at the bounds"
)]
fn count(number: f64) -> u64 {
    number as u64
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "what is whole and small enough is told as such"
)]
fn whole(number: f64) -> Value {
    // Beyond it not every whole number is a float.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX {
        Value::AsInt(number as i64)
    } else {
        Value::AsDouble(number)
    }
}

fn attributes(labels: &[(String, String)]) -> Vec<KeyValue> {
    labels
        .iter()
        .map(|(name, value)| text(name, value))
        .collect()
}

/// The labels at the beginning of a text, and what is behind them.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    let Some(mut rest) = text.strip_prefix('{') else {
        return Some((labels, text));
    };
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, value) = rest.split_once("=\"")?;
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        labels.push((name.to_owned(), unescaped(&value[..end])));
        rest = &value[end + 1..];
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP everwarm_requests Requests that are over.
# TYPE everwarm_requests counter
everwarm_requests_total{app=\"a\",path=\"q\\\"u,o}te\\\\\"} 3
everwarm_requests_total{app=\"b\",path=\"\"} 4
# HELP everwarm_seconds Time.
# TYPE everwarm_seconds histogram
everwarm_seconds_sum{app=\"a\"} 1.5
everwarm_seconds_count{app=\"a\"} 3
everwarm_seconds_bucket{le=\"0.5\",app=\"a\"} 1
everwarm_seconds_bucket{le=\"1.0\",app=\"a\"} 3
everwarm_seconds_bucket{le=\"+Inf\",app=\"a\"} 3
# HELP everwarm_connections Connections.
# TYPE everwarm_connections gauge
everwarm_connections 7
# HELP everwarm_nothing Nobody has counted.
# TYPE everwarm_nothing counter
# EOF
";

    #[test]
    fn counters_gauges_and_histograms_are_read() {
        let metrics: Vec<Metric> = read(TEXT)
            .into_iter()
            .map(|reading| reading.into_metric(1, 2))
            .collect();
        let [requests, seconds, connections] = &metrics[..] else {
            panic!("{metrics:?}");
        };
        assert_eq!(requests.name, "everwarm_requests");
        assert_eq!(requests.description, "Requests that are over.");
        let Some(Data::Sum(sum)) = &requests.data else {
            panic!("{requests:?}");
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.data_points[1].value, Some(Value::AsInt(4)));
        let quoted = text("path", "q\"u,o}te\\");
        assert_eq!(sum.data_points[0].attributes, [text("app", "a"), quoted]);
        let Some(Data::Histogram(histogram)) = &seconds.data else {
            panic!("{seconds:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(1.5)));
        assert_eq!(point.bucket_counts, [1, 2, 0]);
        assert_eq!(point.explicit_bounds, [0.5, 1.0]);
        let Some(Data::Gauge(gauge)) = &connections.data else {
            panic!("{connections:?}");
        };
        assert_eq!(gauge.data_points[0].value, Some(Value::AsInt(7)));
    }

    #[test]
    fn nonsense_is_passed_over() {
        for text in [
            "",
            "{",
            "x 1\n",
            "# TYPE x gauge\nx{a=\"b 1\nx{} what\nx\ny 1\n",
            "# TYPE\n# HELP\n# TYPE x\n",
        ] {
            assert!(read(text).is_empty(), "{text:?}");
        }
    }
}
