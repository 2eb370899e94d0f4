//! Calls `wasi:http/incoming-handler` (0.2) of an instance.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::Resource as Handle;

use crate::exchange::Exchange;
use crate::request::Incoming;
use crate::resource::Resource;
use crate::sandbox::Sandbox;
use crate::wasi02::bindings::Wasi02;

/// Runs the handler to its end, which may come long after the response.
pub(super) async fn handle(
    store: &mut Store<Sandbox>,
    exports: &Wasi02,
    incoming: Incoming,
    exchange: &Arc<Exchange>,
) -> wasmtime::Result<()> {
    let sandbox = store.data_mut();
    sandbox.begin_request(incoming.chain.clone());
    let request = sandbox.slots.push(Resource::Request(Box::new(incoming)))?;
    let outparam = sandbox
        .slots
        .push(Resource::Outparam(Arc::clone(exchange)))?;
    exports
        .wasi_http_incoming_handler()
        .call_handle(
            &mut *store,
            Handle::new_own(request),
            Handle::new_own(outparam),
        )
        .await
}
