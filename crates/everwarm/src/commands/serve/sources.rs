//! Where a node's sockets come from: the process that serves until now, the service manager, or an address.

use std::net::SocketAddr;

use everwarm_node::Listener;
use everwarm_node::handover::Predecessor;
use everwarm_node::sockets::{SocketName, Sockets};

use crate::exit::{Exit, Failure};
use crate::session::check_port;
use crate::settings::Serve;

/// The sockets that a node listens on.
pub(super) struct Sources {
    pub(super) http: Listener,
    pub(super) admin: Listener,
    /// The process that serves from the same folder until this one does.
    pub(super) predecessor: Option<Predecessor>,
    /// Whether functions are served on a socket of the service manager's.
    pub(super) activated: bool,
}

impl Sources {
    /// Takes the sockets of the process before, if this one is to take over and there is one; those that were handed
    /// over; and binds what is left.
    pub(super) async fn gather(serve: &Serve, inherited: Sockets) -> Result<Self, Failure> {
        let mut handed = inherited;
        let mut activated = handed.contains_key(&SocketName::Http);
        let mut predecessor = None;
        if serve.take_over {
            let asked = Predecessor::ask(&serve.data_dir).await;
            if let Some((found, sockets)) =
                asked.map_err(|error| super::node_failure(error.code(), &error))?
            {
                predecessor = Some(found);
                handed = sockets;
                activated = false;
            }
        }
        let http = handed.remove(&SocketName::Http);
        let http = listener(http, serve.listen).await?;
        let admin = handed.remove(&SocketName::Admin);
        let admin = listener(admin, serve.admin).await?;
        if !admin.address().ip().is_loopback() {
            return Err(Failure::uncoded(
                Exit::Usage,
                format!(
                    "the admin API at {} would send tokens in the clear: serve it on a loopback address, and reach it \
                     through a tunnel or a proxy with TLS",
                    admin.address()
                ),
            ));
        }
        Ok(Self {
            http,
            admin,
            predecessor,
            activated,
        })
    }
}

async fn listener(
    handed: Option<std::net::TcpListener>,
    address: SocketAddr,
) -> Result<Listener, Failure> {
    let listener = if let Some(socket) = handed {
        Listener::take(socket)
    } else {
        check_port(address)?;
        Listener::bind(address).await
    };
    listener.map_err(|error| super::node_failure(error.code(), &error))
}
