//! What a running node is asked to do with secrets: set, go back, remove, list, and seal anew under another key.
//!
//! Owns the bounds on values, and that what is acknowledged is stored first and seen by functions then. Who may ask is
//! the admin API's to say. No value comes out of here but to functions.

mod file;
mod keys;
mod vault;

use std::collections::{BTreeMap, BTreeSet};

use everwarm_manifest::{AppName, ConfigName, FunctionName, TenantId};
use everwarm_secrets::{KeyError, KeyId, SealError, UnsealError};
use everwarm_store::Store as _;
use everwarm_store::audit::Action;
use everwarm_store::catalog::UnixMillis;
use everwarm_store::secrets::{
    NewSecret, NoVersion, RowKey, SecretBounds, SecretError, SecretSummary, SecretsOf,
};
use secrecy::SecretString;
use zeroize::Zeroize as _;

pub use everwarm_host::{Secret, SecretMap};
pub use everwarm_secrets::{Key, KeyRing};
pub use file::{SecretsFileError, read_secrets};
pub use keys::{FileFault, KeySource, KeySourceError, read_file as read_keys, write as write_keys};
pub(crate) use keys::{OTHERS, OTHERS_OF_A_CREDENTIAL, read_private};
pub use vault::Rotation;
pub(crate) use vault::Vault;

use crate::node::Node;
use crate::operate::{Actor, note};

/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Secrets of one app.
pub const SECRETS_MAX: u32 = 100;
/// Bytes of all current secrets of an app, sealed: they are in memory as long as the node runs.
const SECRETS_BYTES_MAX: u64 = 1 << 20;
/// The code of a secret that can't be read.
pub(crate) const UNREADABLE_CODE: &str = "EW4045";

/// Why a secret isn't what was asked for. No value is said.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The value is none.
    #[error("a secret has from 1 to {VALUE_BYTES_MAX} bytes of UTF-8: {0}")]
    Value(ValueFault),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] SecretError),
    /// A value can't be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A version can't be opened.
    #[error("version {version} of the secret `{name}` can't be read: {source}")]
    Unreadable {
        /// The secret.
        name: ConfigName,
        /// The version.
        version: u32,
        /// Why.
        source: UnsealError,
    },
    /// The keys can't be had.
    #[error(transparent)]
    Source(#[from] KeySourceError),
    /// There is no room for another key.
    #[error("the keys of secrets: {0}")]
    Keys(#[source] KeyError),
    /// A key is gone that something is still sealed with.
    #[error(
        "the key {key} still seals {versions} versions of secrets, and isn't among the keys any more: put it back, behind \
         the new one, and rotate again"
    )]
    KeyNeeded {
        /// Its name.
        key: KeyId,
        /// How many.
        versions: u64,
    },
    /// This node keeps none.
    #[error("this node keeps no secrets: `everwarm serve` does")]
    NotKept,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// There is none.
    #[error("this one is empty")]
    Empty,
    /// It has too many.
    #[error("this one has more")]
    TooLarge,
    /// They are something else.
    #[error("this one isn't UTF-8; encode binary data, as base64 does")]
    NotUtf8,
}

impl SecretsError {
    /// The stable code of the error's page in `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Value(ValueFault::TooLarge) => "EW5021",
            Self::Value(_) | Self::NotKept => "EW5009",
            Self::Store(error) => error.code(),
            Self::Unreadable { .. } => UNREADABLE_CODE,
            Self::Source(error) => error.code(),
            Self::Keys(_) | Self::KeyNeeded { .. } => "EW4044",
            Self::Seal(_) => "EW4003",
        }
    }
}

/// Takes bytes for a value. They are wiped when they are none.
///
/// # Errors
///
/// [`SecretsError::Value`].
pub fn value(bytes: Vec<u8>) -> Result<SecretString, SecretsError> {
    let fault = match bytes.len() {
        0 => Some(ValueFault::Empty),
        1..=VALUE_BYTES_MAX => None,
        _ => Some(ValueFault::TooLarge),
    };
    match (String::from_utf8(bytes), fault) {
        (Ok(text), None) => Ok(text.into()),
        (Ok(mut text), Some(fault)) => {
            text.zeroize();
            Err(SecretsError::Value(fault))
        }
        (Err(error), fault) => {
            error.into_bytes().zeroize();
            Err(SecretsError::Value(fault.unwrap_or(ValueFault::NotUtf8)))
        }
    }
}

/// A secret in a list: no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ConfigName,
    /// Its versions; `None` when functions are granted it and it isn't set.
    pub set: Option<SecretSummary>,
    /// Why it can't be read, if it can't.
    pub unreadable: Option<String>,
    /// The functions of what serves that are granted it.
    pub granted: BTreeSet<FunctionName>,
}

impl Node {
    fn vault(&self) -> Result<&Vault, SecretsError> {
        self.vault.as_ref().ok_or(SecretsError::NotKept)
    }

    /// Has the functions of an app see these secrets, which are kept nowhere.
    pub fn lend_secrets(&self, tenant: &TenantId, app: &AppName, secrets: SecretMap) {
        self.secrets.set(tenant, app, secrets);
    }

    /// Sets a secret: functions that ask from now on get it. Answers its version.
    ///
    /// # Errors
    ///
    /// [`SecretsError`]; then functions get what they got before.
    pub async fn set_secret(
        &self,
        of: &SecretsOf,
        name: &ConfigName,
        value: &SecretString,
        apps_max: u32,
        by: &Actor,
    ) -> Result<u32, SecretsError> {
        let vault = self.vault()?;
        let _one_at_a_time = self.locks.lock(&(of.tenant.clone(), of.app.clone())).await;
        let secrets = self.store.secrets();
        let version = secrets.next_version(of, name).await?;
        let key = RowKey {
            of: of.clone(),
            name: name.clone(),
            version,
        };
        let note = note(
            by,
            Action::SetSecret,
            &format!("{}/{name}", of.app),
            format!("version {version}"),
        );
        let sealing = vault.sealing().await;
        let new = NewSecret {
            version,
            sealed: sealing.seal(&key, value)?,
            created: UnixMillis::now(),
        };
        let put = secrets.put(of, name, new, bounds(apps_max), note);
        put.await?;
        drop(sealing);
        vault.show(secrets, of).await?;
        Ok(version)
    }

    /// Goes back to the version before, or to any that is kept. Answers which.
    ///
    /// # Errors
    ///
    /// [`SecretsError`]; then functions get what they got before.
    pub async fn roll_back_secret(
        &self,
        of: &SecretsOf,
        name: &ConfigName,
        to: Option<u32>,
        by: &Actor,
    ) -> Result<u32, SecretsError> {
        let vault = self.vault()?;
        let _one_at_a_time = self.locks.lock(&(of.tenant.clone(), of.app.clone())).await;
        let secrets = self.store.secrets();
        let listed = secrets.list(of).await?;
        let found = listed.iter().find(|secret| secret.name == *name);
        let missing = || SecretError::NoVersion(NoVersion::OfSecret(name.clone()));
        let found = found.ok_or_else(missing)?;
        let mut kept = found.versions.iter().map(|(version, _)| *version);
        let version = match to {
            Some(to) => kept.find(|version| *version == to),
            None => kept.find(|version| *version < found.current),
        };
        // One that can't be read would take from functions what they have.
        if let Some(version) = version {
            let before = RowKey {
                of: of.clone(),
                name: name.clone(),
                version: version - 1,
            };
            for row in secrets.rows(Some(&before), 1).await? {
                vault
                    .open_row(&row)
                    .map_err(|source| SecretsError::Unreadable {
                        name: name.clone(),
                        version,
                        source,
                    })?;
            }
        }
        let subject = format!("{}/{name}", of.app);
        let note = note(by, Action::RollbackSecret, &subject, String::new());
        // What there is none of is the store's to say.
        let to = version.or(to);
        let version = secrets
            .set_current(of, name, to, bounds(u32::MAX), note)
            .await?;
        vault.show(secrets, of).await?;
        Ok(version)
    }

    /// Removes a secret with all its versions. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`SecretsError`]; then it is still there.
    pub async fn remove_secret(
        &self,
        of: &SecretsOf,
        name: &ConfigName,
        by: &Actor,
    ) -> Result<bool, SecretsError> {
        let vault = self.vault()?;
        let _one_at_a_time = self.locks.lock(&(of.tenant.clone(), of.app.clone())).await;
        let secrets = self.store.secrets();
        let subject = format!("{}/{name}", of.app);
        let note = note(by, Action::RemoveSecret, &subject, String::new());
        let removed = secrets.remove(of, name, note).await?;
        vault.show(secrets, of).await?;
        Ok(removed)
    }

    /// The secrets of an app by name: those that are set, and those that functions are granted and that aren't.
    ///
    /// # Errors
    ///
    /// [`SecretsError`].
    pub async fn list_secrets(&self, of: &SecretsOf) -> Result<Vec<Listed>, SecretsError> {
        let vault = self.vault()?;
        let secrets = self.store.secrets();
        let mut all: BTreeMap<ConfigName, Listed> = BTreeMap::new();
        let fresh = |name: &ConfigName| Listed {
            name: name.clone(),
            set: None,
            unreadable: None,
            granted: BTreeSet::new(),
        };
        for summary in secrets.list(of).await? {
            let listed = all.entry(summary.name.clone()).or_insert_with_key(fresh);
            listed.set = Some(summary);
        }
        for row in secrets.current(of).await? {
            if let (Err(error), Some(listed)) = (vault.open_row(&row), all.get_mut(&row.key.name)) {
                listed.unreadable = Some(error.to_string());
            }
        }
        let key = (of.tenant.clone(), of.app.clone());
        for (secret, function) in self.apps.lock().granted_secrets(&key) {
            let listed = all.entry(secret).or_insert_with_key(fresh);
            listed.granted.insert(function);
        }
        Ok(all.into_values().collect())
    }

    /// Takes another key first, and seals everything anew with it. The key is a new one where the node makes its keys
    /// itself, else what the keys' file or credential has first by now.
    ///
    /// # Errors
    ///
    /// [`SecretsError`]; then everything can be read as before, and what is left is sealed anew at the next start or the
    /// next time.
    pub async fn rotate_secrets_key(&self, by: &Actor) -> Result<Rotation, SecretsError> {
        let vault = self.vault()?;
        let _one_at_a_time = vault.rotating.lock().await;
        let secrets = self.store.secrets();
        vault.rotate(secrets).await?;
        // A key that came back opens what couldn't be read.
        vault.show_all(secrets).await?;
        let rotation = vault.seal_anew(secrets).await?;
        let detail = format!("{} versions sealed anew", rotation.resealed);
        let subject = rotation.key.to_string();
        let note = note(by, Action::RotateSecretsKey, &subject, detail);
        secrets.note_rotation(note).await?;
        Ok(rotation)
    }

    /// Seals anew what an earlier key sealed: whoever put a new key first has asked for it. Ends when it is done.
    pub async fn keep_sealed(&self) {
        let Some(vault) = self.vault.as_ref().filter(|vault| vault.has_old()) else {
            return;
        };
        let _one_at_a_time = vault.rotating.lock().await;
        match vault.seal_anew(self.store.secrets()).await {
            Ok(done) => tracing::info!(
                key = %done.key,
                versions = done.resealed,
                unreadable = done.unreadable,
                "secrets are sealed with the first key"
            ),
            Err(error) => tracing::error!(
                %error,
                "secrets can't be sealed anew: they stay as they are, and the next start tries again"
            ),
        }
    }

    /// Forgets the secrets of a tenant that is removed.
    pub(crate) fn forget_secrets_of(&self, tenant: &TenantId) {
        for (owner, app) in self.secrets.apps() {
            if owner == *tenant {
                self.secrets.forget(&owner, &app);
            }
        }
    }
}

fn bounds(apps_max: u32) -> SecretBounds {
    SecretBounds {
        count_max: SECRETS_MAX,
        bytes_max: SECRETS_BYTES_MAX,
        apps_max,
    }
}

#[cfg(test)]
mod tests;
