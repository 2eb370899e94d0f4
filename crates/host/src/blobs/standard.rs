//! `wasi:blobstore` 0.2.0-draft, for both versions of WASI. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use everwarm_store::blobs::{Condition, PAGE_MAX, Part};
use everwarm_store::catalog::UnixMillis;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};

use super::bindings::wasi::blobstore::{blobstore, container, types};
use super::container::{OpenContainer, Refused};
use super::incoming::{Reading, Value};
use super::outgoing::Outgoing;

type Answer<T> = Result<std::result::Result<T, String>>;

/// Names of a container's objects, page by page.
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub struct Names {
    container: OpenContainer,
    cursor: Option<String>,
    ended: bool,
}

impl Names {
    /// The next names, at most so many, and whether there are no others.
    async fn next(&mut self, count: u64) -> std::result::Result<(Vec<String>, bool), Refused> {
        let count_max = u32::try_from(count).map_or(PAGE_MAX, |count| count.min(PAGE_MAX));
        if self.ended || count_max == 0 {
            return Ok((Vec::new(), self.ended));
        }
        let page = self
            .container
            .list("", self.cursor.as_deref(), count_max)
            .await?;
        self.cursor = page.next.map(|name| name.as_str().to_owned());
        self.ended = self.cursor.is_none();
        let names = page.blobs.into_iter();
        let names = names.map(|blob| blob.name.as_str().to_owned());
        Ok((names.collect(), self.ended))
    }
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "each of the interface's functions may trap, and this is its end"
)]
fn answer<T>(done: std::result::Result<T, Refused>) -> Answer<T> {
    Ok(done.map_err(|refused| refused.to_string()))
}

fn seconds(time: UnixMillis) -> u64 {
    time.0 / 1_000
}

fn no_such_object() -> Refused {
    Refused::Invalid("there is no object of that name".to_owned())
}

fn open(sandbox: &mut Sandbox, name: &str) -> Answer<Resource<OpenContainer>> {
    match super::open(sandbox, name) {
        Ok(container) => sandbox.keep_resource(container).map(Ok),
        Err(refused) => Ok(Err(refused.to_string())),
    }
}

impl types::Host for Sandbox {}

impl types::HostOutgoingValue for Sandbox {
    fn new_outgoing_value(&mut self) -> Result<Resource<Outgoing>> {
        self.keep_resource(Outgoing::new())
    }

    fn outgoing_value_write_body(
        &mut self,
        this: Resource<Outgoing>,
    ) -> Result<std::result::Result<Resource<DynOutputStream>, ()>> {
        match self.resource(&this)?.stream() {
            Some(stream) => self.keep_output(Box::new(stream)).map(Ok),
            None => Ok(Err(())),
        }
    }

    async fn finish(&mut self, this: Resource<Outgoing>) -> Answer<()> {
        answer(self.take_resource(&this)?.finish().await)
    }

    async fn drop(&mut self, this: Resource<Outgoing>) -> Result<()> {
        self.take_resource(&this)?.give_up();
        Ok(())
    }
}

impl types::HostIncomingValue for Sandbox {
    async fn incoming_value_consume_sync(&mut self, this: Resource<Value>) -> Answer<Vec<u8>> {
        answer(self.take_resource(&this)?.0.read_all().await)
    }

    fn incoming_value_consume_async(
        &mut self,
        this: Resource<Value>,
    ) -> Answer<Resource<DynInputStream>> {
        let stream = self.take_resource(&this)?.0.stream();
        self.keep_input(Box::new(stream)).map(Ok)
    }

    fn size(&mut self, this: Resource<Value>) -> Result<u64> {
        Ok(self.resource(&this)?.0.left())
    }

    async fn drop(&mut self, this: Resource<Value>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl container::Host for Sandbox {}

impl container::HostContainer for Sandbox {
    fn name(&mut self, this: Resource<OpenContainer>) -> Answer<String> {
        Ok(Ok(self.resource(&this)?.name().to_owned()))
    }

    async fn info(&mut self, this: Resource<OpenContainer>) -> Answer<types::ContainerMetadata> {
        let container = self.resource_mut(&this)?;
        let created = container.created().await;
        answer(created.map(|created| types::ContainerMetadata {
            name: container.name().to_owned(),
            created_at: seconds(created),
        }))
    }

    async fn get_data(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        start: u64,
        end: u64,
    ) -> Answer<Resource<Value>> {
        let container = self.resource_mut(&this)?.clone();
        if end < start {
            return Ok(Err("the part ends before it begins".to_owned()));
        }
        // Both ends are included.
        let len_max = (end - start).saturating_add(1);
        match container.get(&name, Part { start, len_max }).await {
            Ok(Some(download)) => {
                let value = Value(Reading::new(container, download));
                self.keep_resource(value).map(Ok)
            }
            Ok(None) => Ok(Err(no_such_object().to_string())),
            Err(refused) => Ok(Err(refused.to_string())),
        }
    }

    async fn write_data(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
        data: Resource<Outgoing>,
    ) -> Answer<()> {
        let container = self.resource(&this)?.clone();
        let value = self.resource(&data)?.share();
        answer(value.go_to(container, &name).await)
    }

    fn list_objects(&mut self, this: Resource<OpenContainer>) -> Answer<Resource<Names>> {
        let names = Names {
            container: self.resource(&this)?.clone(),
            cursor: None,
            ended: false,
        };
        self.keep_resource(names).map(Ok)
    }

    async fn delete_object(&mut self, this: Resource<OpenContainer>, name: String) -> Answer<()> {
        let container = self.resource_mut(&this)?;
        let deleted = container.delete(&name, Condition::Any).await;
        answer(deleted.map(drop))
    }

    async fn delete_objects(
        &mut self,
        this: Resource<OpenContainer>,
        names: Vec<String>,
    ) -> Answer<()> {
        let container = self.resource_mut(&this)?;
        for name in names {
            if let Err(refused) = container.delete(&name, Condition::Any).await {
                return Ok(Err(refused.to_string()));
            }
        }
        Ok(Ok(()))
    }

    async fn has_object(&mut self, this: Resource<OpenContainer>, name: String) -> Answer<bool> {
        let found = self.resource_mut(&this)?.head(&name).await;
        answer(found.map(|blob| blob.is_some()))
    }

    async fn object_info(
        &mut self,
        this: Resource<OpenContainer>,
        name: String,
    ) -> Answer<types::ObjectMetadata> {
        let container = self.resource_mut(&this)?;
        let found = container.head(&name).await;
        let found = found.and_then(|blob| blob.ok_or_else(no_such_object));
        answer(found.map(|blob| types::ObjectMetadata {
            name,
            container: container.name().to_owned(),
            created_at: seconds(blob.created),
            size: blob.size,
        }))
    }

    async fn clear(&mut self, this: Resource<OpenContainer>) -> Answer<()> {
        answer(self.resource_mut(&this)?.clear().await)
    }

    async fn drop(&mut self, this: Resource<OpenContainer>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl container::HostStreamObjectNames for Sandbox {
    async fn read_stream_object_names(
        &mut self,
        this: Resource<Names>,
        len: u64,
    ) -> Answer<(Vec<String>, bool)> {
        answer(self.resource_mut(&this)?.next(len).await)
    }

    async fn skip_stream_object_names(
        &mut self,
        this: Resource<Names>,
        num: u64,
    ) -> Answer<(u64, bool)> {
        let names = self.resource_mut(&this)?;
        let mut skipped = 0;
        loop {
            match names.next(num - skipped).await {
                Ok((page, ended)) => {
                    skipped += page.len() as u64;
                    if ended || skipped == num {
                        return Ok(Ok((skipped, ended)));
                    }
                }
                Err(refused) => return Ok(Err(refused.to_string())),
            }
        }
    }

    async fn drop(&mut self, this: Resource<Names>) -> Result<()> {
        self.take_resource(&this).map(drop)
    }
}

impl blobstore::Host for Sandbox {
    fn create_container(&mut self, name: String) -> Answer<Resource<OpenContainer>> {
        // One that is declared is there.
        open(self, &name)
    }

    fn get_container(&mut self, name: String) -> Answer<Resource<OpenContainer>> {
        open(self, &name)
    }

    async fn delete_container(&mut self, name: String) -> Answer<()> {
        match super::open(self, &name) {
            // It stays declared, and is as new.
            Ok(container) => answer(container.clear().await),
            Err(refused) => Ok(Err(refused.to_string())),
        }
    }

    fn container_exists(&mut self, name: String) -> Answer<bool> {
        Ok(Ok(super::open(self, &name).is_ok()))
    }

    async fn copy_object(&mut self, src: types::ObjectId, dest: types::ObjectId) -> Answer<()> {
        let containers = (
            super::open(self, &src.container),
            super::open(self, &dest.container),
        );
        let (from, to) = match containers {
            (Ok(from), Ok(to)) => (from, to),
            (Err(refused), _) | (_, Err(refused)) => return Ok(Err(refused.to_string())),
        };
        let copied = from.copy(&src.object, &to, &dest.object).await;
        answer(copied.and_then(|blob| blob.map(drop).ok_or_else(no_such_object)))
    }

    async fn move_object(&mut self, src: types::ObjectId, dest: types::ObjectId) -> Answer<()> {
        let containers = (
            super::open(self, &src.container),
            super::open(self, &dest.container),
        );
        let (from, to) = match containers {
            (Ok(from), Ok(to)) => (from, to),
            (Err(refused), _) | (_, Err(refused)) => return Ok(Err(refused.to_string())),
        };
        let moved = from.rename(&src.object, &to, &dest.object).await;
        answer(moved.and_then(|was_there| {
            if was_there {
                Ok(())
            } else {
                Err(no_such_object())
            }
        }))
    }
}
