//! Interfaces that standard libraries import whether they use them or not: sockets.
//!
//! They are linked, so that such components can be instantiated, and every use is refused: no
//! address may be connected or bound, no name is looked up.

use std::sync::Arc;

use everwarm_engine::Sandbox;
use everwarm_engine::capability::{Capability, ConfigureError, Instance, State};
use everwarm_engine::function::FunctionSpec;
use everwarm_manifest::World;
use wasmtime::component::Linker;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

/// See the module's documentation.
#[derive(Debug)]
pub struct Denied;

impl Capability for Denied {
    fn name(&self) -> &'static str {
        "denied"
    }

    fn interfaces(&self, world: World) -> &'static [&'static str] {
        match world {
            World::Wasi02 => &[
                "wasi:sockets/tcp@0.2.12",
                "wasi:sockets/tcp-create-socket@0.2.12",
                "wasi:sockets/udp@0.2.12",
                "wasi:sockets/udp-create-socket@0.2.12",
                "wasi:sockets/network@0.2.12",
                "wasi:sockets/instance-network@0.2.12",
                "wasi:sockets/ip-name-lookup@0.2.12",
            ],
            World::Wasi03 => &[
                "wasi:sockets/types@0.3.0",
                "wasi:sockets/ip-name-lookup@0.3.0",
            ],
        }
    }

    fn link(&self, linker: &mut Linker<Sandbox>, world: World) -> wasmtime::Result<()> {
        use wasmtime_wasi::p2::bindings::sockets;

        let l = linker;
        sockets::tcp::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        sockets::udp::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        let options = sockets::network::LinkOptions::default();
        sockets::network::add_to_linker::<_, WasiSockets>(l, &options, Sandbox::sockets)?;
        sockets::instance_network::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, Sandbox::sockets)?;
        if world == World::Wasi03 {
            wasmtime_wasi::p3::sockets::add_to_linker(l)?;
        }
        Ok(())
    }

    fn configure(&self, _function: &Arc<FunctionSpec>) -> Result<State, ConfigureError> {
        Ok(crate::stateless())
    }

    fn prepare(&self, _state: &State, instance: &mut Instance<'_>) {
        instance
            .wasi
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
    }
}
