//! `future-incoming-response` and `incoming-response` of `wasi:http/types` 0.2: what came of a request that the
//! guest sent.

use std::sync::Arc;

use wasmtime::component::Resource as Handle;
use wasmtime_wasi::p2::DynPollable;

use super::bindings::wasi::http::types::{self, ErrorCode};
use crate::outbound::{Sending, Taken};
use crate::resource::{Received, Resource, Subscription};
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

impl Sandbox {
    fn sending(&self, rep: u32) -> Result<&Sending, SlotError> {
        match self.slots.get(rep)? {
            Resource::Sending(sending) => Ok(sending),
            _ => Err(SlotError::Wrong(rep)),
        }
    }

    fn received(&mut self, rep: u32) -> Result<&mut Received, SlotError> {
        match self.slots.get_mut(rep)? {
            Resource::Received(received) => Ok(received),
            _ => Err(SlotError::Wrong(rep)),
        }
    }
}

impl types::HostFutureIncomingResponse for Sandbox {
    fn subscribe(
        &mut self,
        this: Handle<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Handle<DynPollable>> {
        let outcome = Arc::clone(self.sending(this.rep())?.outcome());
        Sandbox::subscribe(self, Subscription::Response(outcome))
    }

    fn get(
        &mut self,
        this: Handle<types::FutureIncomingResponse>,
    ) -> wasmtime::Result<Option<Result<Result<Handle<types::IncomingResponse>, ErrorCode>, ()>>>
    {
        match self.sending(this.rep())?.take() {
            Taken::NotYet => Ok(None),
            Taken::Before => Ok(Some(Err(()))),
            Taken::Now(Err(error)) => Ok(Some(Ok(Err(error.into())))),
            Taken::Now(Ok(response)) => {
                let received = self.receive(response);
                let rep = self.slots.push(Resource::Received(Box::new(received)))?;
                Ok(Some(Ok(Ok(Handle::new_own(rep)))))
            }
        }
    }

    fn drop(&mut self, this: Handle<types::FutureIncomingResponse>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

impl types::HostIncomingResponse for Sandbox {
    fn status(&mut self, this: Handle<types::IncomingResponse>) -> wasmtime::Result<u16> {
        Ok(self.received(this.rep())?.status.as_u16())
    }

    fn headers(
        &mut self,
        this: Handle<types::IncomingResponse>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = self.received(this.rep())?.fields.clone();
        Ok(self.push_fields(fields)?)
    }

    fn consume(
        &mut self,
        this: Handle<types::IncomingResponse>,
    ) -> wasmtime::Result<Result<Handle<types::IncomingBody>, ()>> {
        let Some(reader) = self.received(this.rep())?.take_body() else {
            return Ok(Err(()));
        };
        self.push_body(reader).map(Ok)
    }

    fn drop(&mut self, this: Handle<types::IncomingResponse>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}
