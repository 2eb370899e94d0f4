//! Where telemetry is sent, and of how many requests traces are recorded.

use std::env;
use std::fmt;
use std::str::FromStr;

use everwarm_node::telemetry::otlp::{Headers, NotHeaders, OtlpConfig, OtlpUrl};
use serde::Serialize;

use crate::args::OtlpArgs;
use crate::exit::{Exit, Failure};

/// Keys of the collector, as OpenTelemetry's own tools have them. They are in no flag and no file: both are shown.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// A part of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio(f64);

/// A text that is no [`Ratio`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotARatio;

impl fmt::Display for NotARatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it isn't a number from 0 to 1, as in 0.1")
    }
}

impl std::error::Error for NotARatio {}

impl FromStr for Ratio {
    type Err = NotARatio;

    fn from_str(text: &str) -> Result<Self, NotARatio> {
        let ratio = text.parse().map_err(|_| NotARatio)?;
        Self::new(ratio).ok_or(NotARatio)
    }
}

impl Ratio {
    fn new(ratio: f64) -> Option<Self> {
        (0.0..=1.0).contains(&ratio).then_some(Self(ratio))
    }

    /// Out of `u32::MAX`.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 0 to 1"
    )]
    fn of_max(self) -> u32 {
        (self.0 * f64::from(u32::MAX)) as u32
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the file may say of it.
#[derive(Default)]
pub(super) struct FromFile {
    pub(super) otlp_endpoint: Option<String>,
    pub(super) otlp_sample_ratio: Option<f64>,
}

/// See the module's documentation.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::struct_field_names, reason = "the names are the flags'")]
pub(crate) struct Otlp {
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_sample_ratio: Option<f64>,
    #[serde(skip)]
    url: Option<OtlpUrl>,
    #[serde(skip)]
    headers: Headers,
}

impl Otlp {
    /// Resolves flags and environment, the file, and defaults.
    ///
    /// # Errors
    /// The name of what isn't one, and why.
    pub(super) fn resolve(args: &OtlpArgs, file: FromFile) -> Result<Self, (&'static str, String)> {
        let from_file = file.otlp_endpoint.map(|text| text.parse::<OtlpUrl>());
        let from_file = from_file
            .transpose()
            .map_err(|error| ("otlp-endpoint", error.to_string()))?;
        let ratio = file.otlp_sample_ratio;
        let ratio = ratio.map(|ratio| Ratio::new(ratio).ok_or(NotARatio));
        let ratio = ratio
            .transpose()
            .map_err(|error| ("otlp-sample-ratio", error.to_string()))?;
        let url = args.otlp_endpoint.clone().or(from_file);
        // Without a collector it is another program's, which may know other forms.
        let headers = url.as_ref().and_then(|_| env::var(HEADERS).ok());
        let headers = headers.unwrap_or_default();
        Ok(Self {
            otlp_endpoint: url.as_ref().map(ToString::to_string),
            url,
            otlp_sample_ratio: args.otlp_sample_ratio.or(ratio).map(|Ratio(ratio)| ratio),
            headers: headers
                .parse()
                .map_err(|error: NotHeaders| (HEADERS, error.to_string()))?,
        })
    }

    /// What flags and the environment say, where there is no file.
    pub(crate) fn of_args(args: &OtlpArgs) -> Result<Self, Failure> {
        Self::resolve(args, FromFile::default())
            .map_err(|(name, reason)| Failure::uncoded(Exit::Usage, format!("`{name}`: {reason}")))
    }

    /// As the node has it.
    pub(crate) fn config(&self) -> Option<OtlpConfig> {
        let url = self.url.clone()?;
        let ratio = self.otlp_sample_ratio.map_or(Ratio(1.0), Ratio);
        Some(OtlpConfig {
            url,
            headers: self.headers.clone(),
            recorded: ratio.of_max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_is_from_none_to_all() {
        assert_eq!("0".parse::<Ratio>().unwrap().of_max(), 0);
        assert_eq!("1".parse::<Ratio>().unwrap().of_max(), u32::MAX);
        assert_eq!("0.5".parse::<Ratio>().unwrap().of_max(), u32::MAX / 2);
        for wrong in ["-0.1", "1.1", "NaN", "half", ""] {
            assert!(wrong.parse::<Ratio>().is_err(), "{wrong}");
        }
    }
}
