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
    pub(super) https: Option<Listener>,
    pub(super) admin: Listener,
    /// All of them once more: for the process that goes on after this one.
    pub(super) shared: Sockets,
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
        let mut shared = Sockets::new();
        let tls_listen = serve.tls.tls_listen;
        if tls_listen.is_none() && handed.contains_key(&SocketName::Https) {
            return Err(Failure::uncoded(
                Exit::Usage,
                "a socket called `https` was handed over, and nothing says how to speak TLS: set `--tls-listen` and \
                 what goes with it",
            ));
        }
        let mut take = async |name: SocketName, address: SocketAddr| {
            let listener = listener(handed.remove(&name), address).await?;
            let socket = listener.share().map_err(|error| {
                let message = format!("couldn't share the socket `{name}`: {error}");
                Failure::uncoded(Exit::Node, message)
            })?;
            shared.insert(name, socket);
            Ok::<_, Failure>(listener)
        };
        let http = take(SocketName::Http, serve.listen).await?;
        let https = match tls_listen {
            Some(address) => Some(take(SocketName::Https, address).await?),
            None => None,
        };
        let admin = take(SocketName::Admin, serve.admin).await?;
        // The settings were checked; a socket that was handed over may be elsewhere.
        serve.tls.check_admin(admin.address())?;
        Ok(Self {
            http,
            https,
            admin,
            shared,
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
