//! Amounts with units: bytes and milliseconds, and their text (`"128MiB"`, `"50ms"`). Doesn't know
//! which amounts are sensible: `limits` does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The text of [`ByteSize::UNLIMITED`].
pub const UNLIMITED: &str = "unlimited";

/// Units of a quantity, largest first. The first that divides an amount is the one it is shown in.
type Units = &'static [(&'static str, u64)];

const BYTE_UNITS_SHOWN: Units = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];
const BYTE_UNITS_READ: Units = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const TIME_UNITS: Units = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A number of bytes. `u64::MAX` means without limit.
///
/// Its text is a whole number and one of the units `B`, `KB`, `MB`, `GB` (powers of 1000), `KiB`, `MiB`,
/// `GiB` (powers of 1024); or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

impl ByteSize {
    /// No limit at all. More than any other size.
    pub const UNLIMITED: Self = Self(u64::MAX);

    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many KiB (1024 bytes); [`UNLIMITED`](Self::UNLIMITED) when that is more than 64 bits hold.
    pub const fn kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// So many MiB (1024 KiB); [`UNLIMITED`](Self::UNLIMITED) when that is more than 64 bits hold.
    pub const fn mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// So many GiB (1024 MiB); [`UNLIMITED`](Self::UNLIMITED) when that is more than 64 bits hold.
    pub const fn gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }

    /// The number of bytes; `u64::MAX` without limit.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Whether there is no limit.
    pub const fn is_unlimited(self) -> bool {
        self.0 == u64::MAX
    }
}

/// A duration in whole milliseconds.
///
/// Its text is a whole number and one of the units `ms`, `s`, `m`, `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Millis(u64);

impl Millis {
    /// So many milliseconds.
    pub const fn new(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// So many seconds; saturates at what 64 bits hold.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// The number of milliseconds.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The same as the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// Why a text is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text doesn't start with a whole number.
    #[error("expected a whole number and a unit, such as `{example}`")]
    NoNumber {
        /// A text that is right.
        example: &'static str,
    },
    /// The number is there, the unit is missing or unknown.
    #[error("unknown unit {unit:?}: the units are {units}")]
    BadUnit {
        /// What stands where the unit belongs.
        unit: String,
        /// All units, comma-separated.
        units: String,
        /// The whole text with the nearest unit.
        suggestion: Option<String>,
    },
    /// More than 64 bits hold.
    #[error("the number is too large")]
    TooLarge,
}

fn read(text: &str, units: Units, example: &'static str) -> Result<u64, QuantityError> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err(QuantityError::NoNumber { example });
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(bad_unit(digits, unit, units));
    };
    let number: u64 = digits.parse().map_err(|_| QuantityError::TooLarge)?;
    number.checked_mul(*factor).ok_or(QuantityError::TooLarge)
}

fn bad_unit(digits: &str, unit: &str, units: Units) -> QuantityError {
    let wanted = unit.trim().to_ascii_lowercase();
    let nearest = units.iter().map(|(name, _)| *name).find(|name| {
        let name = name.to_ascii_lowercase();
        // `M`, `mb`, `mib`, `seconds`, `sec`: the unit itself in another case, its first letter, or spelled out.
        name == wanted || (wanted.len() == 1 && name.starts_with(&wanted))
    });
    let spelled_out = || match wanted.as_str() {
        "sec" | "secs" | "second" | "seconds" => Some("s"),
        "min" | "mins" | "minute" | "minutes" => Some("m"),
        "hour" | "hours" => Some("h"),
        "msec" | "millis" | "milliseconds" => Some("ms"),
        "byte" | "bytes" => Some("B"),
        _ => None,
    };
    let spelled_out = || spelled_out().filter(|unit| units.iter().any(|(name, _)| name == unit));
    QuantityError::BadUnit {
        unit: unit.chars().take(20).collect(),
        units: units
            .iter()
            .rev()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", "),
        suggestion: nearest
            .or_else(spelled_out)
            .map(|unit| format!("{digits}{unit}")),
    }
}

fn show(amount: u64, units: Units, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, factor): &&(&str, u64)| amount.is_multiple_of(*factor) && amount != 0;
    match units.iter().find(fits).or(units.last()) {
        Some((unit, factor)) => f.pad(&format!("{}{unit}", amount / factor)),
        None => Ok(()),
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unlimited() {
            f.pad(UNLIMITED)
        } else {
            show(self.0, BYTE_UNITS_SHOWN, f)
        }
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text == UNLIMITED {
            return Ok(Self::UNLIMITED);
        }
        match read(text, BYTE_UNITS_READ, "128MiB")? {
            u64::MAX => Err(QuantityError::TooLarge),
            bytes => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, TIME_UNITS, f)
    }
}

impl FromStr for Millis {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        read(text, TIME_UNITS, "50ms").map(Self)
    }
}

macro_rules! text_form {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = QuantityError;

            fn try_from(text: String) -> Result<Self, QuantityError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(quantity: $name) -> String {
                quantity.to_string()
            }
        }
    };
}

text_form!(ByteSize);
text_form!(Millis);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_size_reads_back_from_its_text(bytes: u64) {
            let size = ByteSize::new(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn every_duration_reads_back_from_its_text(milliseconds: u64) {
            let duration = Millis::new(milliseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9]{0,30}\\PC{0,5}") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<Millis>();
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_divides_them() {
        for (size, text) in [
            (ByteSize::new(0), "0B"),
            (ByteSize::new(1023), "1023B"),
            (ByteSize::kib(1), "1KiB"),
            (ByteSize::mib(128), "128MiB"),
            (ByteSize::mib(1536), "1536MiB"),
            (ByteSize::gib(4), "4GiB"),
            (ByteSize::UNLIMITED, "unlimited"),
        ] {
            assert_eq!(size.to_string(), text);
        }
    }

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_divides_them() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (50, "50ms"),
            (1_500, "1500ms"),
            (30_000, "30s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(Millis::new(milliseconds).to_string(), text);
        }
    }

    #[test]
    fn decimal_and_binary_units_differ() {
        assert_eq!("1MB".parse(), Ok(ByteSize::new(1_000_000)));
        assert_eq!("1MiB".parse(), Ok(ByteSize::new(1_048_576)));
    }

    #[test]
    fn a_wrong_unit_gets_the_nearest_right_one() {
        for (text, suggestion) in [
            ("128M", Some("128MiB")),
            ("128mb", Some("128MB")),
            ("128 MiB", Some("128MiB")),
            ("5bytes", Some("5B")),
            ("128", None),
            ("128TiB", None),
        ] {
            match text.parse::<ByteSize>() {
                Err(QuantityError::BadUnit {
                    suggestion: got, ..
                }) => assert_eq!(got.as_deref(), suggestion),
                other => panic!("{text}: {other:?}"),
            }
        }
        for (text, suggestion) in [
            ("30sec", Some("30s")),
            ("5minutes", Some("5m")),
            ("50MS", Some("50ms")),
        ] {
            match text.parse::<Millis>() {
                Err(QuantityError::BadUnit {
                    suggestion: got, ..
                }) => assert_eq!(got.as_deref(), suggestion),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_64_bits_cannot_hold_is_refused() {
        for text in [
            "18446744073709551615B",
            "18446744073709551616B",
            "99999999999GiB",
        ] {
            assert_eq!(
                text.parse::<ByteSize>(),
                Err(QuantityError::TooLarge),
                "{text}"
            );
        }
        assert_eq!(
            "-1s".parse::<Millis>(),
            Err(QuantityError::NoNumber { example: "50ms" })
        );
        assert_eq!(
            "1.5s".parse::<Millis>(),
            Err(QuantityError::NoNumber { example: "50ms" })
        );
    }
}
