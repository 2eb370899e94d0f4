//! The interfaces of key-value data, for both versions of WASI. Converts, and knows nothing else.

use bytes::Bytes;
use everwarm_engine::Sandbox;
use everwarm_engine::span::{Kind, Ongoing};
use everwarm_store::kv::Page;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::Granted;
use super::bucket::{Cas, NotSwapped, OpenBucket, Refused};
use bindings::everwarm::keyvalue::entries;
use bindings::wasi::keyvalue::store::{Error, KeyResponse};
use bindings::wasi::keyvalue::{atomics, batch, store};

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/keyvalue",
        world: "everwarm:keyvalue/keyvalue",
        imports: {
            "wasi:keyvalue/store.open": trappable,
            default: async | trappable,
        },
        with: {
            "wasi:keyvalue/store.bucket": crate::keyvalue::OpenBucket,
            "wasi:keyvalue/atomics.cas": crate::keyvalue::Cas,
        },
        require_store_data_send: true,
    });
}

type Answer<T> = Result<std::result::Result<T, Error>>;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoSuchStore => Self::NoSuchStore,
            Refused::AccessDenied => Self::AccessDenied,
            Refused::Other(text) => Self::Other(text),
        }
    }
}

impl From<Page> for KeyResponse {
    fn from(page: Page) -> Self {
        let names = page.keys.iter().map(|key| key.as_str().to_owned());
        Self {
            keys: names.collect(),
            cursor: page.next.map(|key| key.as_str().to_owned()),
        }
    }
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "each of the interface's functions may trap, and this is its end"
)]
fn answer<T, U: From<T>>(
    mut span: Option<Ongoing>,
    done: std::result::Result<T, Refused>,
) -> Answer<U> {
    if let (Some(span), Err(_)) = (&mut span, &done) {
        span.failed("refused");
    }
    Ok(done.map(U::from).map_err(Error::from))
}

/// The span of a call, if it is recorded. Keys and values may be secret, and aren't said.
fn span(
    sandbox: &mut Sandbox,
    operation: &'static str,
    bucket: &Resource<OpenBucket>,
) -> Option<Ongoing> {
    let mut span = sandbox.begin_span(operation, Kind::Client)?;
    span.fact("db.system.name", "everwarm.kv");
    span.fact("db.operation.name", &operation[3..]);
    if let Ok(bucket) = sandbox.resource(bucket) {
        span.fact("db.namespace", bucket.name());
    }
    Some(span)
}

fn bytes(value: Option<Bytes>) -> Option<Vec<u8>> {
    value.map(Vec::from)
}

impl store::Host for Sandbox {
    fn open(&mut self, identifier: String) -> Answer<Resource<OpenBucket>> {
        let granted = self.state::<Granted>();
        let opened = granted.map_or(Err(Refused::NoSuchStore), |it| it.open(&identifier));
        match opened {
            Ok(bucket) => self.keep_resource(bucket).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        }
    }
}

impl store::HostBucket for Sandbox {
    async fn get(&mut self, bucket: Resource<OpenBucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let span = span(self, "kv get", &bucket);
        let value = self.resource_mut(&bucket)?.get(&key).await;
        answer(span, value.map(bytes))
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        value: Vec<u8>,
    ) -> Answer<()> {
        let span = span(self, "kv set", &bucket);
        answer(
            span,
            self.resource_mut(&bucket)?.set(&key, value, None).await,
        )
    }

    async fn delete(&mut self, bucket: Resource<OpenBucket>, key: String) -> Answer<()> {
        let span = span(self, "kv delete", &bucket);
        answer(span, self.resource_mut(&bucket)?.delete(&key).await)
    }

    async fn exists(&mut self, bucket: Resource<OpenBucket>, key: String) -> Answer<bool> {
        let span = span(self, "kv exists", &bucket);
        answer(span, self.resource_mut(&bucket)?.exists(&key).await)
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenBucket>,
        cursor: Option<String>,
    ) -> Answer<KeyResponse> {
        let span = span(self, "kv list-keys", &bucket);
        answer(
            span,
            self.resource_mut(&bucket)?
                .list_all(cursor.as_deref())
                .await,
        )
    }

    async fn drop(&mut self, bucket: Resource<OpenBucket>) -> Result<()> {
        self.take_resource(&bucket).map(drop)
    }
}

impl atomics::Host for Sandbox {
    async fn increment(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        delta: i64,
    ) -> Answer<i64> {
        let span = span(self, "kv increment", &bucket);
        answer(
            span,
            self.resource_mut(&bucket)?.increment(&key, delta).await,
        )
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> Result<std::result::Result<(), atomics::CasError>> {
        let mut span = self.begin_span("kv swap", Kind::Client);
        let swapped = self.take_resource(&cas)?.swap(value).await;
        if let Some(span) = &mut span {
            span.fact("db.system.name", "everwarm.kv");
            span.fact("db.operation.name", "swap");
            if swapped.is_err() {
                span.failed("not swapped");
            }
        }
        match swapped {
            Ok(()) => Ok(Ok(())),
            Err(NotSwapped::Refused(refused)) => {
                Ok(Err(atomics::CasError::StoreError(refused.into())))
            }
            Err(NotSwapped::Changed(cas)) => {
                Ok(Err(atomics::CasError::CasFailed(self.keep_resource(cas)?)))
            }
        }
    }
}

impl atomics::HostCas for Sandbox {
    async fn new(&mut self, bucket: Resource<OpenBucket>, key: String) -> Answer<Resource<Cas>> {
        let _span = span(self, "kv cas", &bucket);
        // It outlives the call, and may outlive the handle of its store.
        let bucket = self.resource(&bucket)?.clone();
        match Cas::new(bucket, &key).await {
            Ok(cas) => self.keep_resource(cas).map(Ok),
            Err(refused) => Ok(Err(refused.into())),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        let current = self.resource_mut(&cas)?.current().await;
        answer(None, current.map(bytes))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> Result<()> {
        self.take_resource(&cas).map(drop)
    }
}

impl batch::Host for Sandbox {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenBucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let span = span(self, "kv get-many", &bucket);
        let entries = self.resource_mut(&bucket)?.get_many(keys).await;
        answer(
            span,
            entries.map(|entries| {
                let entries = entries.into_iter();
                let values =
                    entries.map(|(key, entry)| (key, bytes(entry.map(|entry| entry.value))));
                values.collect::<Vec<_>>()
            }),
        )
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenBucket>,
        values: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        let span = span(self, "kv set-many", &bucket);
        answer(span, self.resource_mut(&bucket)?.set_many(values).await)
    }

    async fn delete_many(&mut self, bucket: Resource<OpenBucket>, keys: Vec<String>) -> Answer<()> {
        let span = span(self, "kv delete-many", &bucket);
        answer(span, self.resource_mut(&bucket)?.delete_many(&keys).await)
    }
}

impl entries::Host for Sandbox {
    async fn set_for(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> Answer<()> {
        let span = span(self, "kv set-for", &bucket);
        let bucket = self.resource_mut(&bucket)?;
        answer(span, bucket.set(&key, value, Some(ttl_ms)).await)
    }

    async fn list_prefix(
        &mut self,
        bucket: Resource<OpenBucket>,
        prefix: String,
        cursor: Option<String>,
        count_max: u32,
    ) -> Answer<KeyResponse> {
        let span = span(self, "kv list-prefix", &bucket);
        let bucket = self.resource_mut(&bucket)?;
        answer(
            span,
            bucket.list(&prefix, cursor.as_deref(), count_max).await,
        )
    }
}
