//! What tests of key-value data have in common that look at it as its owners do.

use bytes::Bytes;
use everwarm_api::client::{Client, ClientError, KvQuery, KvStore};
use everwarm_api::messages::{Base64, KvEntry};

use crate::server::{NewApp, problem};

/// The status and the code of a refusal.
///
/// # Panics
///
/// When it isn't one.
pub fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> (u16, String) {
    let problem = problem(result);
    (problem.status, problem.code)
}

/// A status and a code, to be compared with.
pub fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Deploys an app that keeps nothing by itself.
///
/// # Panics
///
/// When the node refuses it.
pub async fn deploy(client: &Client, app: &str) {
    let hello = NewApp::new(app, "hello", &["/*"]);
    hello.deploy(client).await.expect("the app can be deployed");
}

/// An entry that doesn't expire.
pub fn entry(key: impl Into<String>, value: impl Into<Bytes>) -> KvEntry {
    KvEntry {
        key: key.into(),
        value: Base64(value.into()),
        expires_ms: None,
    }
}

/// All keys of a store, of which a page has all.
///
/// # Panics
///
/// When there are more, or the node refuses to say.
pub async fn keys(store: KvStore<'_>) -> Vec<String> {
    let page = store.keys(KvQuery::default()).await;
    let page = page.expect("keys can be listed");
    assert_eq!(page.next, None);
    page.items
}
