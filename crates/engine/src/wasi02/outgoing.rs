//! `outgoing-request` of `wasi:http/types` 0.2. Guests may build requests; sending one needs a
//! grant, and none exists yet, so `outgoing-handler` denies.

use wasmtime::component::Resource as Handle;
use wasmtime_wasi::p2::DynPollable;

use super::bindings::wasi::http::outgoing_handler;
use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use crate::pipe::Pipe;
use crate::resource::{Outgoing, RequestOptions, Resource};
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

type Set = wasmtime::Result<Result<(), ()>>;

impl Sandbox {
    fn outgoing(&mut self, rep: u32) -> Result<&mut Outgoing, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Request02 { request, .. } => Ok(request),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    pub(crate) fn take_options(&mut self, rep: u32) -> Result<RequestOptions, SlotError> {
        match self.slots.take(rep)? {
            Resource::Options(options) => Ok(options),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    pub(crate) fn options(&mut self, rep: u32) -> Result<&mut RequestOptions, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Options(options) => Ok(options),
            _ => Err(SlotError::Wrong(rep)),
        }
    }
}

impl outgoing_handler::Host for Sandbox {
    fn handle(
        &mut self,
        request: Handle<types::OutgoingRequest>,
        options: Option<Handle<types::RequestOptions>>,
    ) -> wasmtime::Result<Result<Handle<types::FutureIncomingResponse>, ErrorCode>> {
        self.slots.take(request.rep())?;
        if let Some(options) = options {
            self.slots.take(options.rep())?;
        }
        Ok(Err(ErrorCode::HttpRequestDenied))
    }
}

impl types::HostOutgoingRequest for Sandbox {
    fn new(
        &mut self,
        headers: Handle<types::Fields>,
    ) -> wasmtime::Result<Handle<types::OutgoingRequest>> {
        let fields = self.take_fields(headers.rep())?;
        let rep = self.slots.push(Resource::Request02 {
            request: Box::new(Outgoing::new(fields, None)),
            body_taken: false,
        })?;
        Ok(Handle::new_own(rep))
    }

    fn body(
        &mut self,
        this: Handle<types::OutgoingRequest>,
    ) -> wasmtime::Result<Result<Handle<types::OutgoingBody>, ()>> {
        let limit = self.function.spec.limits.response_body.as_u64();
        let Resource::Request02 { body_taken, .. } = self.slots.get_mut(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if std::mem::replace(body_taken, true) {
            return Ok(Err(()));
        }
        let rep = self.slots.push(Resource::ResponseBody {
            pipe: Pipe::new(limit),
            stream_taken: false,
        })?;
        Ok(Ok(Handle::new_own(rep)))
    }

    fn method(&mut self, this: Handle<types::OutgoingRequest>) -> wasmtime::Result<Method> {
        Ok(Method::from(&self.outgoing(this.rep())?.method))
    }

    fn set_method(&mut self, this: Handle<types::OutgoingRequest>, method: Method) -> Set {
        let Ok(method) = method.try_into() else {
            return Ok(Err(()));
        };
        self.outgoing(this.rep())?.method = method;
        Ok(Ok(()))
    }

    fn path_with_query(
        &mut self,
        this: Handle<types::OutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self.outgoing(this.rep())?.path_with_query.clone())
    }

    fn set_path_with_query(
        &mut self,
        this: Handle<types::OutgoingRequest>,
        path: Option<String>,
    ) -> Set {
        if path
            .as_deref()
            .is_some_and(|path| path.parse::<http::uri::PathAndQuery>().is_err())
        {
            return Ok(Err(()));
        }
        self.outgoing(this.rep())?.path_with_query = path;
        Ok(Ok(()))
    }

    fn scheme(&mut self, this: Handle<types::OutgoingRequest>) -> wasmtime::Result<Option<Scheme>> {
        Ok(self.outgoing(this.rep())?.scheme.as_ref().map(Scheme::from))
    }

    fn set_scheme(&mut self, this: Handle<types::OutgoingRequest>, scheme: Option<Scheme>) -> Set {
        let Ok(scheme) = scheme.map(TryInto::try_into).transpose() else {
            return Ok(Err(()));
        };
        self.outgoing(this.rep())?.scheme = scheme;
        Ok(Ok(()))
    }

    fn authority(
        &mut self,
        this: Handle<types::OutgoingRequest>,
    ) -> wasmtime::Result<Option<String>> {
        Ok(self.outgoing(this.rep())?.authority.clone())
    }

    fn set_authority(
        &mut self,
        this: Handle<types::OutgoingRequest>,
        authority: Option<String>,
    ) -> Set {
        if authority
            .as_deref()
            .is_some_and(|text| text.parse::<http::uri::Authority>().is_err())
        {
            return Ok(Err(()));
        }
        self.outgoing(this.rep())?.authority = authority;
        Ok(Ok(()))
    }

    fn headers(
        &mut self,
        this: Handle<types::OutgoingRequest>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = self.outgoing(this.rep())?.fields.clone();
        Ok(self.push_fields(fields)?)
    }

    fn drop(&mut self, this: Handle<types::OutgoingRequest>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

impl types::HostRequestOptions for Sandbox {
    fn new(&mut self) -> wasmtime::Result<Handle<types::RequestOptions>> {
        let rep = self
            .slots
            .push(Resource::Options(RequestOptions::default()))?;
        Ok(Handle::new_own(rep))
    }

    fn connect_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.connect)
    }

    fn set_connect_timeout(&mut self, this: Handle<types::RequestOptions>, ns: Option<u64>) -> Set {
        self.options(this.rep())?.connect = ns;
        Ok(Ok(()))
    }

    fn first_byte_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
        ns: Option<u64>,
    ) -> Set {
        self.options(this.rep())?.first_byte = ns;
        Ok(Ok(()))
    }

    fn between_bytes_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
        ns: Option<u64>,
    ) -> Set {
        self.options(this.rep())?.between_bytes = ns;
        Ok(Ok(()))
    }

    fn drop(&mut self, this: Handle<types::RequestOptions>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

/// Requests are denied before there is a response, so no resource of these kinds is ever made.
fn never_made<T>() -> wasmtime::Result<T> {
    Err(wasmtime::format_err!(
        "no response to an outgoing request exists: requests need a grant"
    ))
}

impl types::HostIncomingResponse for Sandbox {
    fn status(&mut self, _this: Handle<types::IncomingResponse>) -> wasmtime::Result<u16> {
        never_made()
    }

    fn headers(
        &mut self,
        _this: Handle<types::IncomingResponse>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        never_made()
    }

    fn consume(
        &mut self,
        _this: Handle<types::IncomingResponse>,
    ) -> wasmtime::Result<Result<Handle<types::IncomingBody>, ()>> {
        never_made()
    }

    fn drop(&mut self, _this: Handle<types::IncomingResponse>) -> wasmtime::Result<()> {
        never_made()
    }
}

impl types::HostFutureIncomingResponse for Sandbox {
    fn subscribe(
        &mut self,
        _this: Handle<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Handle<DynPollable>> {
        never_made()
    }

    fn get(
        &mut self,
        _this: Handle<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Handle<types::IncomingResponse>, ErrorCode>, ()>>>
    {
        never_made()
    }

    fn drop(&mut self, _this: Handle<types::FutureIncomingResponse>) -> wasmtime::Result<()> {
        never_made()
    }
}
