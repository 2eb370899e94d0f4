//! `request`, `response` and `request-options` of `wasi:http/types` 0.3.

use http::StatusCode;
use wasmtime::component::{Access, FutureReader, Resource as Handle, StreamReader};

use super::Http;
use super::bindings::wasi::http::types::{self, ErrorCode, Method, RequestOptionsError, Scheme};
use super::body::{self, Delivered, FromReader, Trailers, TrailersOf, TrailersResult};
use crate::pipe::Pipe;
use crate::request::SharedReader;
use crate::resource::{Outgoing, Request03, RequestOptions, Resource};
use crate::sandbox::Sandbox;
use crate::slots::SlotError;
use crate::wasi02::final_status;

type Set = wasmtime::Result<Result<(), ()>>;
type SetOption = wasmtime::Result<Result<(), RequestOptionsError>>;
type Sent = FutureReader<Result<(), ErrorCode>>;
type Consumed = (StreamReader<u8>, FutureReader<TrailersResult>);

impl types::Host for Sandbox {}

impl Sandbox {
    fn made(&mut self, rep: u32) -> Result<&mut Outgoing, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Request03(request) => Ok(&mut request.head),
            _ => Err(SlotError::Wrong(rep)),
        }
    }
}

impl types::HostRequestWithStore<Sandbox> for Http {
    fn new(
        mut access: Access<'_, Sandbox, Self>,
        headers: Handle<types::Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: Trailers,
        options: Option<Handle<types::RequestOptions>>,
    ) -> wasmtime::Result<(Handle<types::Request>, Sent)> {
        let sandbox = access.get();
        let fields = sandbox.take_fields(headers.rep())?;
        let options = match options {
            Some(options) => Some(sandbox.take_options(options.rep())?),
            None => None,
        };
        let pipe = Pipe::new(sandbox.subrequest_body());
        let rep = sandbox.slots.push(Resource::Request03(Box::new(Request03 {
            head: Outgoing::new(fields, options),
            contents,
            trailers,
            pipe: pipe.clone(),
        })))?;
        let sent = FutureReader::new(&mut access, Delivered(pipe))?;
        Ok((Handle::new_own(rep), sent))
    }

    fn consume_body(
        mut access: Access<'_, Sandbox, Self>,
        this: Handle<types::Request>,
        mut result: Sent,
    ) -> wasmtime::Result<Consumed> {
        result.close(&mut access)?;
        match access.get().slots.take(this.rep())? {
            Resource::Request(mut request) => {
                let Some(reader) = request.take_body() else {
                    return Err(SlotError::Wrong(this.rep()).into());
                };
                incoming_body(access, reader)
            }
            Resource::Request03(request) => {
                request.pipe.close_reader();
                own_body(access, request.contents, request.trailers)
            }
            _ => Err(SlotError::Wrong(this.rep()).into()),
        }
    }

    fn drop(
        mut access: Access<'_, Sandbox, Self>,
        this: Handle<types::Request>,
    ) -> wasmtime::Result<()> {
        match access.get().slots.take(this.rep())? {
            Resource::Request03(request) => {
                request.pipe.close_reader();
                body::close(access, request.contents, request.trailers)
            }
            _ => Ok(()),
        }
    }
}

/// A body that the host reads for the guest.
fn incoming_body(
    mut access: Access<'_, Sandbox, Http>,
    reader: SharedReader,
) -> wasmtime::Result<Consumed> {
    let contents = StreamReader::new(&mut access, FromReader(reader.clone()))?;
    let trailers = FutureReader::new(&mut access, TrailersOf(reader))?;
    Ok((contents, trailers))
}

/// A body that the guest made and now reads itself.
fn own_body(
    mut access: Access<'_, Sandbox, Http>,
    contents: Option<StreamReader<u8>>,
    trailers: Trailers,
) -> wasmtime::Result<Consumed> {
    let contents = match contents {
        Some(contents) => contents,
        None => StreamReader::new(&mut access, std::iter::empty())?,
    };
    Ok((contents, trailers))
}

impl types::HostRequest for Sandbox {
    fn get_method(&mut self, this: Handle<types::Request>) -> wasmtime::Result<Method> {
        match self.slots.get(this.rep())? {
            Resource::Request(request) => Ok(Method::from(&request.parts.method)),
            _ => Ok(Method::from(&self.made(this.rep())?.method)),
        }
    }

    fn set_method(&mut self, this: Handle<types::Request>, method: Method) -> Set {
        let Ok(method) = method.try_into() else {
            return Ok(Err(()));
        };
        match self.slots.get_mut(this.rep())? {
            Resource::Request(request) => request.parts.method = method,
            _ => self.made(this.rep())?.method = method,
        }
        Ok(Ok(()))
    }

    fn get_path_with_query(
        &mut self,
        this: Handle<types::Request>,
    ) -> wasmtime::Result<Option<String>> {
        match self.slots.get(this.rep())? {
            Resource::Request(request) => Ok(request.path_with_query()),
            _ => Ok(self.made(this.rep())?.path_with_query.clone()),
        }
    }

    fn set_path_with_query(&mut self, this: Handle<types::Request>, path: Option<String>) -> Set {
        if path
            .as_deref()
            .is_some_and(|path| path.parse::<http::uri::PathAndQuery>().is_err())
        {
            return Ok(Err(()));
        }
        match self.made(this.rep()) {
            Ok(request) => {
                request.path_with_query = path;
                Ok(Ok(()))
            }
            // A request that came from outside keeps its target.
            Err(_) => Ok(Err(())),
        }
    }

    fn get_scheme(&mut self, this: Handle<types::Request>) -> wasmtime::Result<Option<Scheme>> {
        match self.slots.get(this.rep())? {
            Resource::Request(request) => Ok(Some(
                request
                    .parts
                    .uri
                    .scheme()
                    .map_or(Scheme::Http, Scheme::from),
            )),
            _ => Ok(self.made(this.rep())?.scheme.as_ref().map(Scheme::from)),
        }
    }

    fn set_scheme(&mut self, this: Handle<types::Request>, scheme: Option<Scheme>) -> Set {
        let Ok(scheme) = scheme.map(TryInto::try_into).transpose() else {
            return Ok(Err(()));
        };
        match self.made(this.rep()) {
            Ok(request) => {
                request.scheme = scheme;
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(())),
        }
    }

    fn get_authority(&mut self, this: Handle<types::Request>) -> wasmtime::Result<Option<String>> {
        match self.slots.get(this.rep())? {
            Resource::Request(request) => Ok(request.authority()),
            _ => Ok(self.made(this.rep())?.authority.clone()),
        }
    }

    fn set_authority(&mut self, this: Handle<types::Request>, authority: Option<String>) -> Set {
        if authority
            .as_deref()
            .is_some_and(|text| text.parse::<http::uri::Authority>().is_err())
        {
            return Ok(Err(()));
        }
        match self.made(this.rep()) {
            Ok(request) => {
                request.authority = authority;
                Ok(Ok(()))
            }
            Err(_) => Ok(Err(())),
        }
    }

    fn get_options(
        &mut self,
        this: Handle<types::Request>,
    ) -> wasmtime::Result<Option<Handle<types::RequestOptions>>> {
        let options = match self.slots.get(this.rep())? {
            Resource::Request03(request) => request.head.options,
            _ => None,
        };
        match options {
            Some(options) => {
                let rep = self.slots.push(Resource::Options(options))?;
                Ok(Some(Handle::new_own(rep)))
            }
            None => Ok(None),
        }
    }

    fn get_headers(
        &mut self,
        this: Handle<types::Request>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = match self.slots.get_mut(this.rep())? {
            Resource::Request(request) => request.fields(),
            _ => self.made(this.rep())?.fields.clone(),
        };
        Ok(self.push_fields(fields)?)
    }
}

impl types::HostResponseWithStore<Sandbox> for Http {
    fn new(
        mut access: Access<'_, Sandbox, Self>,
        headers: Handle<types::Fields>,
        contents: Option<StreamReader<u8>>,
        trailers: Trailers,
    ) -> wasmtime::Result<(Handle<types::Response>, Sent)> {
        let sandbox = access.get();
        let fields = sandbox.take_fields(headers.rep())?.frozen();
        let pipe = Pipe::new(sandbox.function.spec.limits.response_body.as_u64());
        let rep = sandbox.slots.push(Resource::Response03 {
            status: StatusCode::OK,
            fields,
            pipe: pipe.clone(),
        })?;
        // From now on, and not only once the guest has returned the response: a write that finds
        // its reader is done at once, and a guest that needn't wait needs no event to go on.
        body::flow(&mut access, contents, trailers, &pipe, None)?;
        let sent = FutureReader::new(&mut access, Delivered(pipe))?;
        Ok((Handle::new_own(rep), sent))
    }

    fn consume_body(
        mut access: Access<'_, Sandbox, Self>,
        this: Handle<types::Response>,
        mut result: Sent,
    ) -> wasmtime::Result<Consumed> {
        result.close(&mut access)?;
        match access.get().slots.take(this.rep())? {
            Resource::Response03 { pipe, .. } => incoming_body(access, body::read_back(pipe)),
            Resource::Received(mut received) => {
                let Some(reader) = received.take_body() else {
                    return Err(SlotError::Wrong(this.rep()).into());
                };
                incoming_body(access, reader)
            }
            _ => Err(SlotError::Wrong(this.rep()).into()),
        }
    }

    fn drop(
        mut access: Access<'_, Sandbox, Self>,
        this: Handle<types::Response>,
    ) -> wasmtime::Result<()> {
        match access.get().slots.take(this.rep())? {
            Resource::Response03 { pipe, .. } => {
                pipe.close_reader();
                Ok(())
            }
            Resource::Received(_) => Ok(()),
            _ => Err(SlotError::Wrong(this.rep()).into()),
        }
    }
}

impl types::HostResponse for Sandbox {
    fn get_status_code(&mut self, this: Handle<types::Response>) -> wasmtime::Result<u16> {
        match self.slots.get(this.rep())? {
            Resource::Response03 { status, .. } => Ok(status.as_u16()),
            Resource::Received(received) => Ok(received.status.as_u16()),
            _ => Err(SlotError::Wrong(this.rep()).into()),
        }
    }

    fn set_status_code(&mut self, this: Handle<types::Response>, code: u16) -> Set {
        let status = match self.slots.get_mut(this.rep())? {
            Resource::Response03 { status, .. } => status,
            Resource::Received(received) => &mut received.status,
            _ => return Err(SlotError::Wrong(this.rep()).into()),
        };
        match final_status(code) {
            Some(code) => {
                *status = code;
                Ok(Ok(()))
            }
            None => Ok(Err(())),
        }
    }

    fn get_headers(
        &mut self,
        this: Handle<types::Response>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = match self.slots.get(this.rep())? {
            Resource::Response03 { fields, .. } => fields.clone(),
            Resource::Received(received) => received.fields.clone(),
            _ => return Err(SlotError::Wrong(this.rep()).into()),
        };
        Ok(self.push_fields(fields)?)
    }
}

impl types::HostRequestOptions for Sandbox {
    fn new(&mut self) -> wasmtime::Result<Handle<types::RequestOptions>> {
        let rep = self
            .slots
            .push(Resource::Options(RequestOptions::default()))?;
        Ok(Handle::new_own(rep))
    }

    fn get_connect_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.connect)
    }

    fn set_connect_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
        ns: Option<u64>,
    ) -> SetOption {
        self.options(this.rep())?.connect = ns;
        Ok(Ok(()))
    }

    fn get_first_byte_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.first_byte)
    }

    fn set_first_byte_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
        ns: Option<u64>,
    ) -> SetOption {
        self.options(this.rep())?.first_byte = ns;
        Ok(Ok(()))
    }

    fn get_between_bytes_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Option<u64>> {
        Ok(self.options(this.rep())?.between_bytes)
    }

    fn set_between_bytes_timeout(
        &mut self,
        this: Handle<types::RequestOptions>,
        ns: Option<u64>,
    ) -> SetOption {
        self.options(this.rep())?.between_bytes = ns;
        Ok(Ok(()))
    }

    fn clone(
        &mut self,
        this: Handle<types::RequestOptions>,
    ) -> wasmtime::Result<Handle<types::RequestOptions>> {
        let copy = *self.options(this.rep())?;
        Ok(Handle::new_own(self.slots.push(Resource::Options(copy))?))
    }

    fn drop(&mut self, this: Handle<types::RequestOptions>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}
