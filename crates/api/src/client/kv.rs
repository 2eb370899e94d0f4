//! Key-value data of apps, as a client reads and writes it.

use bytes::Bytes;
use http::{HeaderValue, header};
use http_body_util::Full;

use super::address::query;
use super::{Client, ClientError, body, number};
use crate::messages::{KvEntries, KvEntry, KvKeyPage, KvKeys, KvPut, KvRemoved, KvValue};
use crate::operations::{self, EXPIRES_HEADER, REVISION_HEADER};

/// The code of "there is nothing under this key".
pub const NO_VALUE: &str = "EW5024";

/// A key-value store of an app.
#[derive(Debug, Clone, Copy)]
pub struct KvStore<'a> {
    client: &'a Client,
    app: &'a str,
    name: &'a str,
}

/// Which keys are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct KvQuery<'a> {
    /// Those that begin so.
    pub prefix: Option<&'a str>,
    /// The `next` of the page before.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: Option<u32>,
}

impl Client {
    /// A store of an app's. It needn't be there.
    pub fn kv<'a>(&'a self, app: &'a str, name: &'a str) -> KvStore<'a> {
        KvStore {
            client: self,
            app,
            name,
        }
    }
}

impl KvStore<'_> {
    fn segments(&self) -> [&str; 2] {
        [self.app, self.name]
    }

    /// What is kept under a key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, key: &str) -> Result<Option<KvValue>, ClientError> {
        let query = query(&[("key", Some(key))]);
        let request = self.client.request(
            &operations::GET_VALUE,
            &self.segments(),
            &query,
            Full::default(),
        )?;
        let (head, bytes) = self.client.send(request).await?.into_parts();
        if head.status.is_success() {
            let revision = number(&head.headers, REVISION_HEADER);
            let revision = revision.ok_or_else(|| self.client.strange(&"no revision"))?;
            return Ok(Some(KvValue {
                bytes,
                revision,
                expires_ms: number(&head.headers, EXPIRES_HEADER),
            }));
        }
        match self.client.problem(head.status, &bytes, &head.headers) {
            ClientError::Problem(problem) if problem.code == NO_VALUE => Ok(None),
            error => Err(error),
        }
    }

    /// Keeps a value, for `ttl_s` seconds or for good.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn put(
        &self,
        key: &str,
        value: Bytes,
        ttl_s: Option<u64>,
    ) -> Result<KvPut, ClientError> {
        let ttl = ttl_s.map(|seconds| seconds.to_string());
        let query = query(&[("key", Some(key)), ("ttl_s", ttl.as_deref())]);
        let mut request = self.client.request(
            &operations::PUT_VALUE,
            &self.segments(),
            &query,
            Full::new(value),
        )?;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        self.client.read(request).await
    }

    /// Forgets what is kept under a key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove(&self, key: &str) -> Result<(), ClientError> {
        let query = query(&[("key", Some(key))]);
        let request = self.client.request(
            &operations::REMOVE_VALUE,
            &self.segments(),
            &query,
            Full::default(),
        )?;
        self.client.nothing(request).await
    }

    /// Lists keys in the order of their bytes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn keys(&self, asked: KvQuery<'_>) -> Result<KvKeyPage, ClientError> {
        let limit = asked.limit.map(|count| count.to_string());
        let query = query(&[
            ("prefix", asked.prefix),
            ("after", asked.after),
            ("limit", limit.as_deref()),
        ]);
        self.client
            .json(&operations::LIST_KEYS, &self.segments(), &query, None)
            .await
    }

    /// Reads what is kept under each of these keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn read(&self, keys: Vec<String>) -> Result<Vec<KvEntry>, ClientError> {
        let body = body(&KvKeys { keys })?;
        let read: KvEntries = self
            .client
            .json(&operations::READ_VALUES, &self.segments(), "", Some(body))
            .await?;
        Ok(read.items)
    }

    /// Keeps several values, all or none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn write(&self, items: Vec<KvEntry>) -> Result<(), ClientError> {
        let body = body(&KvEntries { items })?;
        let request = self
            .client
            .request(&operations::WRITE_VALUES, &self.segments(), "", body)?;
        self.client.nothing(request).await
    }

    /// Forgets what is kept under each of these keys, and says of how many there was something.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_all(&self, keys: Vec<String>) -> Result<u32, ClientError> {
        let body = body(&KvKeys { keys })?;
        let removed: KvRemoved = self
            .client
            .json(&operations::REMOVE_VALUES, &self.segments(), "", Some(body))
            .await?;
        Ok(removed.removed)
    }
}
