//! Blobs: `wasi:blobstore` 0.2.0-draft and what it lacks, on the node's store.
//!
//! Owns which of its app's containers a function may open. What can be done with one is in `container`, a value on its way
//! out or in in `outgoing` and `incoming`; `standard` and `own` know the interfaces. Where blobs are kept, and how much an
//! app may keep, is told by [`Stores`].

mod container;
mod incoming;
mod outgoing;
mod own;
mod standard;

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::{ContainerName, World};
use everwarm_store::blobs::Container;
use wasmtime::component::{HasSelf, Linker};

use crate::notice::Notices;
use crate::{GuestOutput, Stores};
#[expect(
    unreachable_pub,
    reason = "the generated bindings name them as public types"
)]
pub use container::OpenContainer;
use container::{Opened, Refused};
#[expect(
    unreachable_pub,
    reason = "the generated bindings name them as public types"
)]
pub use incoming::{Reading, Value};
#[expect(
    unreachable_pub,
    reason = "the generated bindings name them as public types"
)]
pub use outgoing::{Outgoing, Writing};
#[expect(
    unreachable_pub,
    reason = "the generated bindings name it as a public type"
)]
pub use standard::Names;

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/blobs",
        world: "everwarm:blobs/blobs",
        imports: {
            "wasi:blobstore/types.[static]outgoing-value.new-outgoing-value": trappable,
            "wasi:blobstore/types.[method]outgoing-value.outgoing-value-write-body": trappable,
            "wasi:blobstore/types.[static]incoming-value.incoming-value-consume-async": trappable,
            "wasi:blobstore/types.[method]incoming-value.size": trappable,
            "wasi:blobstore/container.[method]container.name": trappable,
            "wasi:blobstore/container.[method]container.list-objects": trappable,
            "wasi:blobstore/blobstore.create-container": trappable,
            "wasi:blobstore/blobstore.get-container": trappable,
            "wasi:blobstore/blobstore.container-exists": trappable,
            "everwarm:blobs/store.[static]container.open": trappable,
            "everwarm:blobs/store.[method]download.info": trappable,
            "everwarm:blobs/store.[method]download.left": trappable,
            default: async | trappable,
        },
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:blobstore/types.outgoing-value": crate::blobs::Outgoing,
            "wasi:blobstore/types.incoming-value": crate::blobs::Value,
            "wasi:blobstore/container.container": crate::blobs::OpenContainer,
            "wasi:blobstore/container.stream-object-names": crate::blobs::Names,
            "everwarm:blobs/store.container": crate::blobs::OpenContainer,
            "everwarm:blobs/store.upload": crate::blobs::Writing,
            "everwarm:blobs/store.download": crate::blobs::Reading,
        },
        require_store_data_send: true,
    });
}

/// See the module's documentation.
pub struct Blobs {
    stores: Option<Arc<dyn Stores>>,
    output: Option<Arc<dyn GuestOutput>>,
}

impl Blobs {
    /// Functions find their blobs in `stores`; without, there are none.
    pub fn new(stores: Option<Arc<dyn Stores>>, output: Option<Arc<dyn GuestOutput>>) -> Self {
        Self { stores, output }
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").finish_non_exhaustive()
    }
}

/// What one function may open.
struct Granted {
    containers: Vec<OpenContainer>,
    notices: Arc<Notices>,
}

impl Granted {
    fn open(&self, name: &str) -> Result<OpenContainer, Refused> {
        let is_meant = |container: &&OpenContainer| container.name() == name;
        if let Some(container) = self.containers.iter().find(is_meant) {
            return Ok(container.clone());
        }
        if ContainerName::new(name).is_err() {
            return Err(Refused::NoSuchContainer);
        }
        self.notices.say("a container of blobs wasn't opened", |function| {
            format!(
                "container of blobs `{name}` denied: no grant allows it. To allow it, declare it in [[blobs]] and add \
                 \"{name}\" to `blobs` in [function.grants] of the function `{function}`"
            )
        });
        Err(Refused::AccessDenied)
    }
}

/// Opens a container for the function of an instance.
fn open(sandbox: &Sandbox, name: &str) -> Result<OpenContainer, Refused> {
    let granted = sandbox.state::<Granted>();
    granted.map_or(Err(Refused::NoSuchContainer), |granted| granted.open(name))
}

impl Capability for Blobs {
    fn name(&self) -> &'static str {
        "blobs"
    }

    fn interfaces(&self, _world: World) -> &'static [&'static str] {
        &[
            "wasi:blobstore/types@0.2.0-draft",
            "wasi:blobstore/container@0.2.0-draft",
            "wasi:blobstore/blobstore@0.2.0-draft",
            "everwarm:blobs/store@0.1.0",
        ]
    }

    fn link(&self, linker: &mut Linker<Sandbox>, _world: World) -> wasmtime::Result<()> {
        use bindings::everwarm::blobs::store;
        use bindings::wasi::blobstore::{blobstore, container, types};

        fn same(sandbox: &mut Sandbox) -> &mut Sandbox {
            sandbox
        }
        types::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        container::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        blobstore::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)?;
        store::add_to_linker::<_, HasSelf<Sandbox>>(linker, same)
    }

    fn configure(&self, function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        let notices = Arc::new(Notices::new(function, self.output.clone()));
        let open = |stores: &Arc<dyn Stores>, name: &ContainerName| {
            OpenContainer(Arc::new(Opened {
                container: Container {
                    tenant: function.tenant.clone(),
                    app: function.app.clone(),
                    name: name.clone(),
                },
                stores: Arc::clone(stores),
                notices: Arc::clone(&notices),
            }))
        };
        let containers = match &self.stores {
            Some(stores) => function
                .grants
                .blobs
                .iter()
                .map(|name| open(stores, name))
                .collect(),
            None => Vec::new(),
        };
        Ok(Arc::new(Granted {
            containers,
            notices,
        }))
    }

    fn prepare(&self, _state: &State, _instance: &mut Instance<'_>) {}
}
