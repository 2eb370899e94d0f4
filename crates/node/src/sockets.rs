//! The sockets that a node listens on, each by its name, and those that a service manager hands over
//! (sd_listen_fds(3)).
//!
//! Owns the names. Binding and accepting are the edge's.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};

/// The names of the sockets that were handed over, with colons between them.
const NAMES: &str = "LISTEN_FDNAMES";

/// What a socket is for. Units call it by `FileDescriptorName=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketName {
    /// Functions answer there.
    Http,
    /// Functions answer there in TLS.
    Https,
    /// The admin API.
    Admin,
}

impl SocketName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::Https, Self::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Admin => "admin",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Sockets by name.
pub type Sockets = BTreeMap<SocketName, TcpListener>;

/// What was handed over can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no name for it, or one that we don't know.
    #[error(
        "socket {index} of those that were handed over is called `{name}`: set FileDescriptorName= to `http`, `https` or `admin`"
    )]
    Name {
        /// Which one, counted from 0.
        index: usize,
        /// What it is called.
        name: String,
    },
    /// Two are for the same.
    #[error("two sockets called `{0}` were handed over: hand over one")]
    Twice(SocketName),
    /// It is no TCP socket, or none at all.
    #[error("the socket `{name}` that was handed over can't be listened on: {source}")]
    Unusable {
        /// Which one.
        name: SocketName,
        /// What the system says.
        source: io::Error,
    },
}

impl SocketError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "EW4041"
    }
}

/// Takes the sockets that the process was started with, and the variables that tell of them. To be called once, and
/// before there is a second thread: it changes the environment.
///
/// # Errors
///
/// When there are any and they can't be used.
pub fn inherited() -> Result<Sockets, SocketError> {
    let names = env::var(NAMES).unwrap_or_default();
    let mut handed = ListenFd::from_env();
    let names: Vec<&str> = names.split(':').collect();
    let mut sockets = Sockets::new();
    for index in 0..handed.len() {
        let name = names.get(index).copied().unwrap_or_default();
        let known = SocketName::parse(name).ok_or_else(|| SocketError::Name {
            index,
            name: name.to_owned(),
        })?;
        let unusable = |source| SocketError::Unusable {
            name: known,
            source,
        };
        let socket = handed.take_tcp_listener(index).map_err(unusable)?;
        // Each index is taken once, so there is one.
        let Some(socket) = socket else { continue };
        if sockets.insert(known, socket).is_some() {
            return Err(SocketError::Twice(known));
        }
    }
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_it_is_written() {
        for name in SocketName::ALL {
            assert_eq!(SocketName::parse(name.as_str()), Some(name));
        }
        assert_eq!(SocketName::parse("connection"), None);
    }
}
