//! The secrets of apps as functions see them: for each app one map that never changes, and that is swapped for another
//! one when an operator sets a secret.
//!
//! So a change reaches functions that run, without a lock on their way; what a function has read it keeps. Knows neither
//! how secrets are kept nor who may read which: that is `config`'s.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use everwarm_manifest::{AppName, ConfigName, TenantId};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};

/// The current secrets of an app.
pub type SecretMap = BTreeMap<ConfigName, Secret>;

/// A secret that is set.
#[derive(Debug)]
pub enum Secret {
    /// Its value.
    Value(SecretString),
    /// It can't be read, and why. No value.
    Unreadable(String),
}

/// The value of a secret of `app`, or what to tell the app's owner. No value is in that.
pub(crate) fn value<'a>(
    secrets: &'a SecretMap,
    app: &AppName,
    name: &ConfigName,
) -> Result<&'a SecretString, String> {
    match secrets.get(name) {
        Some(Secret::Value(value)) => Ok(value),
        Some(Secret::Unreadable(why)) => Err(format!("the secret `{name}` can't be read: {why}")),
        None => Err(format!(
            "the secret `{name}` isn't set: set it with `everwarm secret set {app} {name}` (for `everwarm up`, in the \
             file of `--secrets-file`)"
        )),
    }
}

/// A secret that is the password of a server.
pub(crate) struct Password {
    secrets: Arc<AppSecrets>,
    name: ConfigName,
    app: AppName,
}

impl Password {
    /// The secret called `name` of an app.
    pub(crate) fn new(secrets: Arc<AppSecrets>, name: ConfigName, app: &AppName) -> Self {
        Self {
            secrets,
            name,
            app: app.clone(),
        }
    }

    /// What it is now.
    ///
    /// # Errors
    ///
    /// Why there is none, for the app's owner.
    pub(crate) fn read(&self) -> Result<SecretString, String> {
        let secrets = self.secrets.now();
        match value(&secrets, &self.app, &self.name) {
            Ok(value) => Ok(value.expose_secret().into()),
            Err(why) => Err(format!("the password is missing: {why}")),
        }
    }
}

/// Secrets of one app.
pub(crate) struct AppSecrets(ArcSwap<SecretMap>);

impl AppSecrets {
    /// Those of now.
    pub(crate) fn now(&self) -> arc_swap::Guard<Arc<SecretMap>> {
        self.0.load()
    }
}

/// The current secrets of all apps.
#[derive(Default)]
pub struct SecretBook(Mutex<HashMap<(TenantId, AppName), Arc<AppSecrets>>>);

impl SecretBook {
    /// Has the functions of an app see these secrets, from now on.
    pub fn set(&self, tenant: &TenantId, app: &AppName, secrets: SecretMap) {
        let key = (tenant.clone(), app.clone());
        let is_empty = secrets.is_empty();
        let mut book = self.0.lock();
        let of_app = book.entry(key).or_insert_with(none);
        of_app.0.store(Arc::new(secrets));
        if is_empty {
            forget_unused(&mut book);
        }
    }

    /// Forgets the secrets of an app that is removed. Functions that are still at work keep what they have.
    pub fn forget(&self, tenant: &TenantId, app: &AppName) {
        self.0.lock().remove(&(tenant.clone(), app.clone()));
    }

    /// The secrets of an app, those to come among them.
    pub(crate) fn of(&self, tenant: &TenantId, app: &AppName) -> Arc<AppSecrets> {
        let mut book = self.0.lock();
        if let Some(found) = book.get(&(tenant.clone(), app.clone())) {
            return Arc::clone(found);
        }
        forget_unused(&mut book);
        let of_app = none();
        book.insert((tenant.clone(), app.clone()), Arc::clone(&of_app));
        of_app
    }

    /// The apps that have some.
    pub fn apps(&self) -> Vec<(TenantId, AppName)> {
        let book = self.0.lock();
        let with_some = book.iter().filter(|(_, app)| !app.now().is_empty());
        with_some.map(|(key, _)| key.clone()).collect()
    }
}

fn none() -> Arc<AppSecrets> {
    Arc::new(AppSecrets(ArcSwap::default()))
}

/// Apps without secrets stay only as long as a function looks for some.
fn forget_unused(book: &mut HashMap<(TenantId, AppName), Arc<AppSecrets>>) {
    book.retain(|_, app| Arc::strong_count(app) > 1 || !app.now().is_empty());
}

/// Names of apps only.
impl std::fmt::Debug for SecretBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretBook").field(&self.apps()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(names: &[&str]) -> SecretMap {
        let secret = || Secret::Value("the value".into());
        let names = names.iter().map(|name| ConfigName::new(name).unwrap());
        names.map(|name| (name, secret())).collect()
    }

    #[test]
    fn change_reaches_who_looks_already_and_value_shows_nowhere() {
        let (book, tenant) = (SecretBook::default(), TenantId::default_tenant());
        let shop = AppName::new("shop").unwrap();
        let seen = book.of(&tenant, &shop);
        assert!(seen.now().is_empty());
        book.set(&tenant, &shop, map(&["A"]));
        let before = seen.now();
        book.set(&tenant, &shop, map(&["B"]));
        assert!(before.contains_key("A") && seen.now().contains_key("B"));
        let shown = format!("{book:?} {:?}", seen.now());
        assert!(
            shown.contains("shop") && !shown.contains("the value"),
            "{shown}"
        );
    }

    #[test]
    fn apps_without_secrets_are_kept_for_who_looks_and_no_longer() {
        let (book, tenant) = (SecretBook::default(), TenantId::default_tenant());
        let app = |name: &str| AppName::new(name).unwrap();
        let shop = book.of(&tenant, &app("shop"));
        drop(book.of(&tenant, &app("gone")));
        book.set(&tenant, &app("blog"), map(&["A"]));
        book.set(&tenant, &app("blog"), map(&[]));
        assert_eq!(book.0.lock().len(), 1);
        // Who looks still sees what is set later, and keeps it when the app is removed.
        book.set(&tenant, &app("shop"), map(&["A"]));
        book.forget(&tenant, &app("shop"));
        assert_eq!(shop.now().len(), 1);
        assert!(book.of(&tenant, &app("shop")).now().is_empty());
    }
}
