//! `response-outparam`, `outgoing-response` and `outgoing-body` of `wasi:http/types` 0.2: the guest's answer,
//! and the body of whatever it sends.

use std::sync::Arc;

use http::StatusCode;
use wasmtime::component::Resource as Handle;

use super::bindings::wasi::http::types::{self, ErrorCode};
use crate::exchange::Answer;
use crate::fault::Fault;
use crate::pipe::{End, Pipe};
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::slots::SlotError;

impl types::HostResponseOutparam for Sandbox {
    fn send_informational(
        &mut self,
        _this: Handle<types::ResponseOutparam>,
        _status: u16,
        _headers: Handle<types::Fields>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        Ok(Err(ErrorCode::InternalError(Some(
            "informational responses are not sent by this host".into(),
        ))))
    }

    fn set(
        &mut self,
        this: Handle<types::ResponseOutparam>,
        response: Result<Handle<types::OutgoingResponse>, ErrorCode>,
    ) -> wasmtime::Result<()> {
        let Resource::Outparam(exchange) = self.slots.take(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        match response {
            Ok(response) => {
                let Resource::Response02 {
                    status,
                    fields,
                    body,
                } = self.slots.take(response.rep())?
                else {
                    return Err(SlotError::Wrong(response.rep()).into());
                };
                exchange.answer(Answer {
                    status,
                    headers: fields.into_map(),
                    body,
                });
            }
            Err(code) => {
                exchange.fail(Fault::BadAnswer(
                    format!("it answered with {code:?}").into(),
                ));
            }
        }
        Ok(())
    }

    fn drop(&mut self, this: Handle<types::ResponseOutparam>) -> wasmtime::Result<()> {
        let Resource::Outparam(exchange) = self.slots.take(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        exchange.fail(Fault::NeverAnswered);
        Ok(())
    }
}

impl types::HostOutgoingResponse for Sandbox {
    fn new(
        &mut self,
        headers: Handle<types::Fields>,
    ) -> wasmtime::Result<Handle<types::OutgoingResponse>> {
        let fields = self.take_fields(headers.rep())?.frozen();
        let rep = self.slots.push(Resource::Response02 {
            status: StatusCode::OK,
            fields,
            body: None,
        })?;
        Ok(Handle::new_own(rep))
    }

    fn status_code(&mut self, this: Handle<types::OutgoingResponse>) -> wasmtime::Result<u16> {
        match self.slots.get(this.rep())? {
            Resource::Response02 { status, .. } => Ok(status.as_u16()),
            _ => Err(SlotError::Wrong(this.rep()).into()),
        }
    }

    fn set_status_code(
        &mut self,
        this: Handle<types::OutgoingResponse>,
        code: u16,
    ) -> wasmtime::Result<Result<(), ()>> {
        let Resource::Response02 { status, .. } = self.slots.get_mut(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        match final_status(code) {
            Some(code) => {
                *status = code;
                Ok(Ok(()))
            }
            None => Ok(Err(())),
        }
    }

    fn headers(
        &mut self,
        this: Handle<types::OutgoingResponse>,
    ) -> wasmtime::Result<Handle<types::Fields>> {
        let fields = match self.slots.get(this.rep())? {
            Resource::Response02 { fields, .. } => fields.clone(),
            _ => return Err(SlotError::Wrong(this.rep()).into()),
        };
        Ok(self.push_fields(fields)?)
    }

    fn body(
        &mut self,
        this: Handle<types::OutgoingResponse>,
    ) -> wasmtime::Result<Result<Handle<types::OutgoingBody>, ()>> {
        let limit = self.function.spec.limits.response_body.as_u64();
        let Resource::Response02 { body, .. } = self.slots.get_mut(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if body.is_some() {
            return Ok(Err(()));
        }
        let pipe = Pipe::new(limit);
        *body = Some(Arc::clone(&pipe));
        let rep = self.slots.push(Resource::OutgoingBody {
            pipe,
            stream_taken: false,
            break_off: None,
        })?;
        Ok(Ok(Handle::new_own(rep)))
    }

    fn drop(&mut self, this: Handle<types::OutgoingResponse>) -> wasmtime::Result<()> {
        self.slots.take(this.rep())?;
        Ok(())
    }
}

/// A status that may end an exchange: 1xx are interim (RFC 9110, section 15.2), and hyper refuses
/// what isn't three digits.
pub(crate) fn final_status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code)
        .ok()
        .filter(|status| !status.is_informational())
}

impl types::HostOutgoingBody for Sandbox {
    fn write(
        &mut self,
        this: Handle<types::OutgoingBody>,
    ) -> wasmtime::Result<Result<Handle<wasmtime_wasi::p2::DynOutputStream>, ()>> {
        let Resource::OutgoingBody {
            pipe, stream_taken, ..
        } = self.slots.get_mut(this.rep())?
        else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        if std::mem::replace(stream_taken, true) {
            return Ok(Err(()));
        }
        let pipe = Arc::clone(pipe);
        Ok(Ok(Handle::new_own(
            self.slots.push(Resource::Output(pipe))?,
        )))
    }

    fn finish(
        &mut self,
        this: Handle<types::OutgoingBody>,
        trailers: Option<Handle<types::Fields>>,
    ) -> wasmtime::Result<Result<(), ErrorCode>> {
        let Resource::OutgoingBody {
            pipe,
            // Kept to the end: it breaks off what isn't complete by then.
            break_off: _break_off,
            ..
        } = self.slots.take(this.rep())?
        else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        let trailers = match trailers {
            Some(trailers) => Some(self.take_fields(trailers.rep())?.into_map()),
            None => None,
        };
        Ok(pipe
            .end(End::Complete(trailers))
            .map_err(|_| ErrorCode::HttpResponseBodySize(Some(pipe.written()))))
    }

    fn drop(&mut self, this: Handle<types::OutgoingBody>) -> wasmtime::Result<()> {
        let Resource::OutgoingBody { pipe, .. } = self.slots.take(this.rep())? else {
            return Err(SlotError::Wrong(this.rep()).into());
        };
        // Without `finish` the body counts as broken off, by the specification. The reader of a
        // pipe that has ended already doesn't hear of it.
        let _ = pipe.end(End::Broken(Fault::BodyDropped));
        Ok(())
    }
}
