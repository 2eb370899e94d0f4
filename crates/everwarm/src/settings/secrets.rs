//! Where the keys of secrets are, and the secrets of an app that is served while it is worked on.

use std::env;
use std::path::{Path, PathBuf};

use everwarm_node::secrets::{KeySource, SecretMap, read_secrets};

use crate::args::SecretsFileArg;
use crate::exit::{Exit, Failure};

/// Where systemd puts the credentials of a service (systemd.exec(5), LoadCredential=).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// The credential's name.
const CREDENTIAL: &str = "everwarm-secrets-key";
/// The keys themselves.
const VARIABLE: &str = "EVERWARM_SECRETS_KEY";

/// Where the keys are: the file that was said, else the first that there is.
pub(crate) fn secrets_key(file: Option<&Path>) -> KeySource {
    let credential = credential(CREDENTIAL);
    let variable = env::var(VARIABLE).ok().filter(|keys| !keys.is_empty());
    key_source(file, credential, variable)
}

/// The file of a credential that systemd has made for this service.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    env::var_os(CREDENTIALS_DIRECTORY)
        .map(|folder| PathBuf::from(folder).join(name))
        .filter(|path| path.exists())
}

fn key_source(
    file: Option<&Path>,
    credential: Option<PathBuf>,
    variable: Option<String>,
) -> KeySource {
    match (file, credential, variable) {
        (Some(file), _, _) => KeySource::File(file.to_owned()),
        (None, Some(credential), _) => KeySource::Credential(credential),
        (None, None, Some(keys)) => KeySource::Variable(keys.into()),
        (None, None, None) => KeySource::DataFolder,
    }
}

/// The secrets of the file that was said.
pub(crate) fn secrets_of_file(args: &SecretsFileArg) -> Result<SecretMap, Failure> {
    let Some(path) = &args.secrets_file else {
        return Ok(SecretMap::new());
    };
    read_secrets(path).map_err(|error| {
        let message = format!("the secrets in {}: {error}", path.display());
        Failure::uncoded(Exit::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_comes_before_credential_variable_and_data_folder() {
        let (file, path) = (Path::new("keys"), PathBuf::from("credential"));
        let text = || Some("ewk_hunter2".to_owned());
        let source = key_source(Some(file), Some(path.clone()), text());
        assert!(matches!(source, KeySource::File(_)));
        let source = key_source(None, Some(path), text());
        assert!(matches!(source, KeySource::Credential(_)));
        let source = key_source(None, None, text());
        assert!(matches!(source, KeySource::Variable(_)));
        assert!(!format!("{source:?}").contains("hunter2"));
        assert!(matches!(
            key_source(None, None, None),
            KeySource::DataFolder
        ));
    }
}
