//! A file of secrets, for an app that is served while it is worked on. Owns its form, and that no value is said when it
//! has another one.

use std::path::Path;

use everwarm_host::{Secret, SecretMap};
use everwarm_manifest::ConfigName;
use zeroize::Zeroize as _;

use super::keys::{FileFault, OTHERS, read_private};
use super::{SECRETS_MAX, value};

/// Bytes of a file of secrets.
const FILE_BYTES_MAX: usize = 4 << 20;

/// Why a file of secrets can't be used. No value is said.
#[derive(Debug, thiserror::Error)]
pub enum SecretsFileError {
    /// The file isn't one that secrets are read from.
    #[error("{0}")]
    File(#[from] FileFault),
    /// A line is none.
    #[error("line {line} isn't `NAME=value`: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are too many.
    #[error("there are more than {SECRETS_MAX} secrets in it")]
    TooMany,
}

/// Reads secrets from a file that nobody else may read: lines of `NAME=value`, empty ones, and comments that begin with
/// `#`. A value is all that stands behind the first `=`.
///
/// # Errors
///
/// [`SecretsFileError`].
pub fn read_secrets(path: &Path) -> Result<SecretMap, SecretsFileError> {
    let mut text = read_private(path, OTHERS, FILE_BYTES_MAX)?;
    let read = secrets_in(&text);
    text.zeroize();
    read
}

fn secrets_in(text: &str) -> Result<SecretMap, SecretsFileError> {
    let mut secrets = SecretMap::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.trim_end().is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let wrong = |reason: String| SecretsFileError::Line {
            line: index + 1,
            reason,
        };
        // A line without `=` may be a value that went astray: none of it is said.
        let (name, text) = trimmed
            .split_once('=')
            .ok_or_else(|| wrong("it has no `=`".to_owned()))?;
        let name = ConfigName::new(name.trim_end())
            .map_err(|_| wrong("what stands before the `=` can't name a secret".to_owned()))?;
        let value = value(text.as_bytes().to_vec()).map_err(|error| wrong(error.to_string()))?;
        if secrets.insert(name.clone(), Secret::Value(value)).is_some() {
            return Err(wrong(format!("`{name}` is there already")));
        }
    }
    if secrets.len() > SECRETS_MAX as usize {
        return Err(SecretsFileError::TooMany);
    }
    Ok(secrets)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let secrets = secrets_in(text).map_err(|error| error.to_string())?;
        Ok(secrets.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_names_and_values() {
        let text = "# of the test account\n\n KEY = a=b # no comment \r\nOTHER=x\n";
        assert_eq!(names(text).unwrap(), ["KEY", "OTHER"]);
        let secrets = secrets_in(text).unwrap();
        let Secret::Value(value) = &secrets["KEY"] else {
            panic!("it is a value")
        };
        assert_eq!(
            secrecy::ExposeSecret::expose_secret(value),
            " a=b # no comment "
        );
    }

    #[test]
    fn line_that_is_none_is_named_and_its_value_is_not() {
        for (text, expected) in [
            (
                "KEY=x\nhunter2\n",
                "line 2 isn't `NAME=value`: it has no `=`",
            ),
            ("hunter-2=hunter2", "line 1"),
            ("KEY=", "this one is empty"),
            ("KEY=x\nKEY=hunter2", "line 2"),
        ] {
            let error = names(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
        let many: Vec<String> = (0..=SECRETS_MAX).map(|n| format!("N{n}=x")).collect();
        assert!(
            names(&many.join("\n"))
                .unwrap_err()
                .contains("more than 100")
        );
    }

    #[test]
    fn file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env.secrets");
        std::fs::write(&path, "KEY=hunter2\n").unwrap();
        let set_mode = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
        };
        set_mode(0o644);
        let error = read_secrets(&path).unwrap_err().to_string();
        assert!(error.contains("mode 644"), "{error}");
        set_mode(0o600);
        assert_eq!(read_secrets(&path).unwrap().len(), 1);
    }
}
