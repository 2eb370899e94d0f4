//! What failures of sockets mean to whoever wanted one.

use std::io;

use everwarm_engine::outbound::SendError;

use super::tls;

/// What a failure to connect, or of a connection, means.
pub(crate) fn of_io(error: &io::Error) -> SendError {
    if let Some(tls) = error.get_ref().and_then(|source| source.downcast_ref()) {
        return tls::of_tls(tls);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => SendError::ConnectionRefused,
        io::ErrorKind::TimedOut => SendError::ConnectionTimeout,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => SendError::IpUnroutable,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => SendError::ConnectionTerminated,
        _ => SendError::DestinationUnavailable(error.to_string().into()),
    }
}
