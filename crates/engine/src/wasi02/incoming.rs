//! `incoming-request` and its body, of `wasi:http/types` 0.2.

use wasmtime::component::Resource as Handle;
use wasmtime_wasi::p2::{DynInputStream, DynPollable};

use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use crate::fields::Fields;
use crate::request::{Incoming, SharedReader};
use crate::resource::{Resource, Subscription};
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

impl Sandbox {
    fn incoming(&mut self, rep: u32) -> Result<&mut Incoming, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Request(request) => Ok(request),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    /// A body that comes in, of a request or of a response.
    pub(super) fn push_body(
        &mut self,
        reader: SharedReader,
    ) -> wasmtime::Result<Handle<types::IncomingBody>> {
        let rep = self.slots.push(Resource::RequestBody {
            reader,
            stream_taken: false,
        })?;
        Ok(Handle::new_own(rep))
    }
}

impl types::HostIncomingRequest for Sandbox {
    fn method(&mut self, this: Handle<types::IncomingRequest>) -> wasmtime::Result<Method> {
        Ok(Method::from(&self.incoming(this.rep())?.parts.method))
    }

    fn path_with_query(
        &mut self,
        this: Handle<types::IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self.incoming(this.rep())?.path_with_query())
    }

    fn scheme(&mut self, this: Handle<types::IncomingRequest>) -> wasmtime::Result<Option<Scheme>> {
        let request = self.incoming(this.rep())?;
        Ok(Some(
            request
                .parts
                .uri
                .scheme()
                .map_or(Scheme::Http, Scheme::from),
        ))
    }

    fn authority(
        &mut self,
        this: Handle<types::IncomingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self.incoming(this.rep())?.authority())
    }

    fn headers(
        &mut self,
        this: Handle<types::IncomingRequest>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = self.incoming(this.rep())?.fields();
        Ok(self.push_fields(fields)?)
    }

    fn consume(
        &mut self,
        this: Handle<types::IncomingRequest>,
    ) -> wasmtime::Result<Result<Handle<types::IncomingBody>, ()>> {
        let Some(reader) = self.incoming(this.rep())?.take_body() else {
            return Ok(Err(()));
        };
        self.push_body(reader).map(Ok)
    }

    fn drop(&mut self, this: Handle<types::IncomingRequest>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

impl types::HostIncomingBody for Sandbox {
    fn stream(
        &mut self,
        this: Handle<types::IncomingBody>,
    ) -> wasmtime::Result<Result<Handle<DynInputStream>, ()>> {
        let Resource::RequestBody {
            reader,
            stream_taken,
        } = self.slots.get_mut(this.rep())?
        else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if std::mem::replace(stream_taken, true) {
            return Ok(Err(()));
        }
        let reader = SharedReader::clone(reader);
        Ok(Ok(Handle::new_own(
            self.slots.push(Resource::Input(reader))?,
        )))
    }

    fn finish(
        &mut self,
        this: Handle<types::IncomingBody>,
    ) -> wasmtime::Result<Handle<types::FutureTrailers>> {
        let Resource::RequestBody { reader, .. } = self.slots.take(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        let rep = self.slots.push(Resource::Trailers {
            reader,
            taken: false,
        })?;
        Ok(Handle::new_own(rep))
    }

    fn drop(&mut self, this: Handle<types::IncomingBody>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

impl types::HostFutureTrailers for Sandbox {
    fn subscribe(
        &mut self,
        this: Handle<types::FutureTrailers>,
    ) -> wasmtime::Result<Handle<DynPollable>> {
        let Resource::Trailers { reader, .. } = self.slots.get(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        let reader = SharedReader::clone(reader);
        Sandbox::subscribe(self, Subscription::Trailers(reader))
    }

    fn get(
        &mut self,
        this: Handle<types::FutureTrailers>,
    ) -> wasmtime::Result<Option<Result<Result<Option<Handle<types::Fields>>, ErrorCode>, ()>>>
    {
        let Resource::Trailers { reader, taken } = self.slots.get_mut(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if *taken {
            return Ok(Some(Err(())));
        }
        let Some(trailers) = reader.lock().trailers() else {
            return Ok(None);
        };
        *taken = true;
        Ok(Some(Ok(match trailers {
            Ok(None) => Ok(None),
            Ok(Some(map)) => Ok(Some(self.push_fields(Fields::received(map))?)),
            Err(broken) => Err(broken.into()),
        })))
    }

    fn drop(&mut self, this: Handle<types::FutureTrailers>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}
