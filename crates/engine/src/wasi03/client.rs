//! `wasi:http/client` 0.3: sends requests, those that the guest made and those that came to it.

use std::sync::Arc;

use wasmtime::component::{Access, Accessor, Resource as Handle};

use super::bindings::wasi::http::client;
use super::bindings::wasi::http::types::{self, ErrorCode};
use super::{Http, body};
use crate::outbound::{self, BreakOff, SendError, SendFuture, Timeouts};
use crate::resource::{Request03, Resource};
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

impl client::Host for Sandbox {}

impl client::HostWithStore<Sandbox> for Http {
    async fn send(
        accessor: &Accessor<Sandbox, Self>,
        request: Handle<types::Request>,
    ) -> wasmtime::Result<Result<Handle<types::Response>, ErrorCode>> {
        let started = accessor.with(|access| start(access, &request))?;
        let response = match started {
            Ok(future) => future.await,
            Err(error) => Err(error),
        };
        match response {
            Ok(response) => accessor.with(|mut access| {
                let sandbox = access.get();
                let received = sandbox.receive(response);
                let rep = sandbox.slots.push(Resource::Received(Box::new(received)))?;
                Ok(Ok(Handle::new_own(rep)))
            }),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

fn start(
    mut access: Access<'_, Sandbox, Http>,
    request: &Handle<types::Request>,
) -> wasmtime::Result<Result<SendFuture, SendError>> {
    let sandbox = access.get();
    match sandbox.slots.take(request.rep())? {
        Resource::Request(mut incoming) => {
            let body = outbound::passed_on(incoming.take_body());
            let request = outbound::forwarded(&mut incoming, body);
            Ok(request.and_then(|request| sandbox.send(request, Timeouts::default())))
        }
        Resource::Request03(made) => start_made(access, *made),
        _ => Err(SlotError::Wrong(request.rep()).into()),
    }
}

fn start_made(
    mut access: Access<'_, Sandbox, Http>,
    made: Request03,
) -> wasmtime::Result<Result<SendFuture, SendError>> {
    let Request03 {
        head,
        contents,
        trailers,
        pipe,
    } = made;
    let sandbox = access.get();
    let limit = sandbox.subrequest_body();
    let timeouts = head.options.unwrap_or_default().into();
    // A request without contents is sent without a body, and its trailers with it.
    let has_body = contents.is_some();
    let flows = has_body.then(|| Arc::clone(&pipe));
    let started = outbound::written(&head.fields, flows, limit)
        .and_then(|body| outbound::made(head, body))
        .and_then(|request| sandbox.send(request, timeouts));
    if started.is_ok() {
        let break_off = Some(BreakOff(Arc::clone(&pipe)));
        body::flow(&mut access, contents, trailers, &pipe, break_off)?;
        if !has_body {
            pipe.throw_away();
        }
    } else {
        pipe.close_reader();
        body::close(access, contents, trailers)?;
    }
    Ok(started)
}
