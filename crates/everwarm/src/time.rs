//! Times for people, in UTC.

const DAY_S: u64 = 24 * 3_600;

/// Milliseconds since 1970 as `2026-01-31 12:34`.
pub(crate) fn utc(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (year, month, day) = date(seconds / DAY_S);
    let (hour, minute) = (seconds % DAY_S / 3_600, seconds % 3_600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// As [`utc`], with seconds.
pub(crate) fn utc_to_the_second(ms: u64) -> String {
    format!("{}:{:02}", utc(ms), ms / 1_000 % 60)
}

/// The date of a day since 1970 (Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00"),
            (951_782_399_000, "2000-02-28 23:59"),
            (951_782_400_000, "2000-02-29 00:00"),
            (1_709_164_800_000, "2024-02-29 00:00"),
            (1_709_251_200_000, "2024-03-01 00:00"),
            (1_798_761_599_000, "2026-12-31 23:59"),
            (4_107_542_400_000, "2100-03-01 00:00"),
        ] {
            assert_eq!(utc(ms), expected);
        }
    }
}
