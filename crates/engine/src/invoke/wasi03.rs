//! Calls `wasi:http/handler` (0.3) of an instance.

use std::future::poll_fn;
use std::sync::Arc;

use wasmtime::component::{Accessor, Resource as Handle};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::exchange::{Answer, Exchange};
use crate::fault::Fault;
use crate::pipe::Pipe;
use crate::request::Incoming;
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::slots::SlotError;
use crate::wasi03::bindings::Wasi03;
use crate::wasi03::bindings::wasi::http::types::{ErrorCode, Response};

/// Runs the handler, the response's body and every task that the guest left to their end.
pub(super) async fn handle(
    store: &mut Store<Sandbox>,
    exports: &Wasi03,
    incoming: Incoming,
    exchange: &Arc<Exchange>,
) -> wasmtime::Result<()> {
    store
        .run_concurrent(async |accessor| {
            call(accessor, exports, incoming, exchange).await?;
            poll_fn(|cx| exchange.poll_body_ended(cx)).await;
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}

/// Calls the handler and gives its answer to the exchange.
pub(super) async fn call(
    accessor: &Accessor<Sandbox>,
    exports: &Wasi03,
    incoming: Incoming,
    exchange: &Arc<Exchange>,
) -> wasmtime::Result<()> {
    let chain = incoming.chain.clone();
    let handler = exports.wasi_http_handler().func_handle();
    let call = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        let sandbox = store.data_mut();
        sandbox.begin_request(chain.clone());
        let rep = sandbox.slots.push(Resource::Request(Box::new(incoming)))?;
        handler.start_call_concurrent(store, (Handle::new_own(rep),))
    })?;
    let (result,) = handler.finish_call_concurrent(accessor, call).await?;
    accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        store.data_mut().end_request(&chain);
        answer(store, result, exchange)
    })
}

fn answer(
    mut store: StoreContextMut<'_, Sandbox>,
    result: Result<Handle<Response>, ErrorCode>,
    exchange: &Exchange,
) -> wasmtime::Result<()> {
    let response = match result {
        Ok(response) => response,
        Err(code) => {
            exchange.fail(Fault::BadAnswer(
                format!("it answered with {code:?}").into(),
            ));
            return Ok(());
        }
    };
    let rep = response.rep();
    let sandbox = store.data_mut();
    let (status, fields, body) = match sandbox.slots.take(rep)? {
        Resource::Response03 {
            status,
            fields,
            pipe,
        } => (status, fields, Some(pipe)),
        Resource::Received(mut received) => {
            let limit = sandbox.function.spec.limits.response_body.as_u64();
            let reader = received.take_body();
            let pipe = reader.map(|reader| Pipe::relay(reader, limit));
            (received.status, received.fields, pipe)
        }
        _ => return Err(SlotError::Wrong(rep).into()),
    };
    exchange.answer(Answer {
        status,
        headers: fields.into_map(),
        body,
    });
    Ok(())
}
