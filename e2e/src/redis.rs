//! A real Redis server, from Debian's package, in a folder of its own.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::deadline::eventually;

/// The server's only user but the default one, who may do nothing.
pub const USER: &str = "app";
/// Its password.
pub const PASSWORD: &str = "open-sesame";

/// A server. Dropping it ends it at once.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    address: SocketAddr,
    server: Child,
}

impl Redis {
    /// Starts a server that speaks no TLS.
    ///
    /// # Panics
    ///
    /// When Redis isn't installed, or doesn't start.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts a server that speaks TLS alone, with a certificate and its key in PEM.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub async fn start_with(tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let place = folder.path();
        let address = free_address();
        let port = address.port();
        let mut settings = format!(
            "bind 127.0.0.1\ndir {0}\nsave \"\"\nappendonly no\nuser default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n",
            place.display()
        );
        if let Some((certificate, key)) = tls {
            fs::write(place.join("server.crt"), certificate).expect("a file can be written");
            fs::write(place.join("server.key"), key).expect("a file can be written");
            let _ = writeln!(
                settings,
                "port 0\ntls-port {port}\ntls-auth-clients no\ntls-cert-file {0}/server.crt\ntls-key-file {0}/server.key\n\
                 tls-ca-cert-file {0}/server.crt",
                place.display()
            );
        } else {
            let _ = writeln!(settings, "port {port}");
        }
        fs::write(place.join("redis.conf"), settings).expect("a file can be written");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(place, private).expect("it is ours");
        let redis = Self {
            server: serve(place),
            folder,
            address,
        };
        redis.until_ready().await;
        redis
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a manifest, without TLS.
    pub fn url(&self) -> String {
        format!("redis://{USER}@{}", self.address)
    }

    /// Ends it at once, as a power cut of its machine would.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn kill(&mut self) {
        self.server.kill().expect("it is there");
        self.server.wait().expect("a child can be waited for");
    }

    /// Starts it again, at its address, with nothing in it.
    ///
    /// # Panics
    ///
    /// When it doesn't start.
    pub async fn start_again(&mut self) {
        self.server = serve(self.folder.path());
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        eventually("Redis listens", async || {
            TcpStream::connect(self.address).await.ok()
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that was killed is gone.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn serve(place: &Path) -> Child {
    Command::new("redis-server")
        .arg(place.join("redis.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server can be started: `cargo xtask test` installs Debian's package of that name")
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address")
}
