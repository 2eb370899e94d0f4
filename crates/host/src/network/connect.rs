//! A connection to a target: its addresses are judged one by one, tried in the order and at the pace of RFC 8305
//! (happy eyeballs), and the first that answers is used, with TLS where the scheme wants it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use everwarm_engine::outbound::SendError;
use everwarm_manifest::grants::address;
use everwarm_manifest::{HttpScheme, HttpTarget, TargetHost};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure;
use super::resolve::Resolver;

/// How long an address has before the next one is tried beside it (RFC 8305, section 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// The name's addresses may not be connected to.
    Prohibited(Vec<IpAddr>),
    /// Anything else.
    Failed(SendError),
}

impl From<SendError> for Unopened {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

/// A connection to a target.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether both sides agreed on HTTP/2.
    pub(crate) fn speaks_h2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Connects to `target`, at an address that is public or in `listed`.
pub(crate) async fn connect(
    resolver: &Resolver,
    tls: &Arc<ClientConfig>,
    target: &HttpTarget,
    listed: &[IpNet],
) -> Result<Stream, Unopened> {
    let addresses = match &target.host {
        TargetHost::Name(name) => resolver.addresses(name.as_str()).await?,
        // An address in a grant is there on purpose.
        TargetHost::Address(address) => vec![*address],
    };
    let is_literal = matches!(target.host, TargetHost::Address(_));
    let (mut permitted, prohibited): (Vec<_>, Vec<_>) = in_turns(addresses)
        .into_iter()
        .partition(|address| is_literal || address::is_permitted(*address, listed));
    if permitted.is_empty() {
        return Err(Unopened::Prohibited(prohibited));
    }
    permitted.truncate(ADDRESSES_MAX);
    let stream = first_of(permitted, target.port).await?;
    // Without, a small request waits for the answer to the one before it (RFC 896).
    stream
        .set_nodelay(true)
        .map_err(|error| failure::of_io(&error))?;
    match target.scheme {
        HttpScheme::Http => Ok(Stream::Plain(stream)),
        HttpScheme::Https => {
            let name = server_name(&target.host)?;
            let connector = TlsConnector::from(Arc::clone(tls));
            let stream = connector.connect(name, stream).await;
            let stream = stream.map_err(|error| failure::of_io(&error))?;
            Ok(Stream::Tls(Box::new(stream)))
        }
    }
}

fn server_name(host: &TargetHost) -> Result<ServerName<'static>, SendError> {
    match host {
        TargetHost::Name(name) => ServerName::try_from(name.as_str().to_owned())
            .map_err(|_| SendError::TlsProtocol("the host is no name for a certificate".into())),
        TargetHost::Address(address) => Ok(ServerName::IpAddress((*address).into())),
    }
}

/// IPv6 and IPv4 in turns, beginning with IPv6, each in its own order (RFC 8305, section 4).
fn in_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut turns = Vec::with_capacity(six.len() + four.len());
    loop {
        let before = turns.len();
        turns.extend(six.next());
        turns.extend(four.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// The first connection that comes about. A failure has the next address tried at once, silence after
/// [`ATTEMPT_DELAY`].
async fn first_of(addresses: Vec<IpAddr>, port: u16) -> Result<TcpStream, SendError> {
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = None;
    loop {
        if let Some(address) = addresses.next() {
            attempts.push(TcpStream::connect(SocketAddr::new(address, port)));
        }
        let is_last = addresses.len() == 0;
        let next: Option<io::Result<TcpStream>> = if is_last {
            attempts.next().await
        } else {
            match tokio::time::timeout(ATTEMPT_DELAY, attempts.next()).await {
                Ok(next) => next,
                Err(_) => continue,
            }
        };
        match next {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = Some(error),
            None => {
                return Err(last
                    .as_ref()
                    .map_or(SendError::IpProhibited, failure::of_io));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_tried_in_turns() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let found = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"].map(address);
        let turns = ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"].map(address);
        assert_eq!(in_turns(found.to_vec()), turns);
        assert_eq!(in_turns(Vec::new()), Vec::<IpAddr>::new());
    }
}
