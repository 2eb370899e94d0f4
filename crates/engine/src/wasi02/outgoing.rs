//! `outgoing-request` of `wasi:http/types` 0.2, and `outgoing-handler`, which sends them.

use std::sync::Arc;

use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::outgoing_handler;
use super::bindings::wasi::http::types::{self, ErrorCode, Method, Scheme};
use crate::outbound::{self, BreakOff, SendError, Sending};
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

    /// Starts to send a request. The body's reader is gone if that fails, so that the guest's writes fail.
    fn start(
        &mut self,
        request: Outgoing,
        body: Option<Arc<Pipe>>,
        options: RequestOptions,
    ) -> Result<Sending, SendError> {
        let body = outbound::written(&request.fields, body, self.subrequest_body())?;
        let request = outbound::made(request, body)?;
        let future = self.send(request, options.into())?;
        Sending::start(future)
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
        let Resource::Request02 { request, body } = self.slots.take(request.rep())? else {
            return Err(SlotError::Wrong(request.rep()).into());
        };
        let options = match options {
            Some(options) => self.take_options(options.rep())?,
            None => RequestOptions::default(),
        };
        match self.start(*request, body, options) {
            Ok(sending) => {
                let rep = self.slots.push(Resource::Sending(sending))?;
                Ok(Ok(Handle::new_own(rep)))
            }
            Err(error) => Ok(Err(error.into())),
        }
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
            body: None,
        })?;
        Ok(Handle::new_own(rep))
    }

    fn body(
        &mut self,
        this: Handle<types::OutgoingRequest>,
    ) -> wasmtime::Result<Result<Handle<types::OutgoingBody>, ()>> {
        let limit = self.subrequest_body();
        let Resource::Request02 { body, .. } = self.slots.get_mut(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if body.is_some() {
            return Ok(Err(()));
        }
        let pipe = Pipe::new(limit);
        *body = Some(Arc::clone(&pipe));
        let rep = self.slots.push(Resource::OutgoingBody {
            break_off: Some(BreakOff(Arc::clone(&pipe))),
            pipe,
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
