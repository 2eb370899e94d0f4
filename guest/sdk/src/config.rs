//! Configuration by name: values of the manifest, and secrets of the app. How the host is asked is `sys`.

use std::fmt;

use crate::sys;

/// The value of a name: one of `[function.config]`, or a secret that the function is granted. `None` when it is neither.
///
/// A secret is read when this is called: one that is set anew is there at the next call, without a deploy. Nothing is
/// kept here.
///
/// ```
/// use everwarm_sdk::{Error, Result, config};
///
/// #[everwarm_sdk::http]
/// async fn region() -> Result<String> {
///     let region = config::get("REGION")?;
///     region.ok_or_else(|| Error::internal("REGION isn't in [function.config]"))
/// }
/// ```
///
/// # Errors
/// When a secret is granted and isn't set, or can't be read.
pub fn get(name: &str) -> Result<Option<String>, ConfigError> {
    sys::config_get(name)
}

/// All values and secrets that can be read, with their names. Secrets that aren't set are left out.
///
/// # Errors
/// When the host can't tell.
pub fn get_all() -> Result<Vec<(String, String)>, ConfigError> {
    sys::config_get_all()
}

/// Why there is no answer to the question for a value. What it says is for people: with `?` it goes to the function's
/// log, and the client is told of a 500.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Whoever has the values can't give this one: a secret isn't set, for instance.
    Upstream(String),
    /// Something broke on the way.
    Io(String),
}

impl ConfigError {
    /// What the host said.
    #[cfg(target_family = "wasm")]
    pub(crate) fn of_case(case: u8, text: String) -> Self {
        if case == 0 {
            Self::Upstream(text)
        } else {
            Self::Io(text)
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Upstream(text) | Self::Io(text)) = self;
        formatter.write_str(text)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::{ConfigError, get, get_all};
    use crate::testing::{fail_config, set_config};
    use crate::{Error, IntoResponse as _};

    #[test]
    fn test_says_what_is_there_and_what_fails() {
        assert_eq!(get("KEY"), Ok(None));
        set_config("KEY", "one");
        set_config("KEY", "two");
        fail_config("OTHER", "it isn't set");
        assert_eq!(get("KEY"), Ok(Some("two".to_owned())));
        let error = get("OTHER").expect_err("it fails");
        assert_eq!(error, ConfigError::Upstream("it isn't set".to_owned()));
        let all = get_all().expect("what can be read");
        assert_eq!(all, [("KEY".to_owned(), "two".to_owned())]);
        assert_eq!(Error::from(error).into_response().status(), 500);
    }
}
