//! A real Postgres server, from Debian's package, in a folder of its own.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::deadline::eventually;

/// The server's only user, and its database.
pub const USER: &str = "app";
/// Its password.
pub const PASSWORD: &str = "open sesame";

/// A server. Dropping it ends it at once.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    address: SocketAddr,
    server: Child,
}

impl Postgres {
    /// Starts a server that speaks no TLS.
    ///
    /// # Panics
    ///
    /// When Postgres isn't installed, or doesn't start.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts a server that speaks TLS, with a certificate and its key in PEM.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub async fn start_with(tls: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let place = folder.path();
        fs::write(place.join("password"), PASSWORD).expect("a file can be written");
        let mut settings =
            "fsync = off\nmax_connections = 50\nlisten_addresses = '127.0.0.1'\n".to_owned();
        if let Some((certificate, key)) = tls {
            fs::write(place.join("server.crt"), certificate).expect("a file can be written");
            fs::write(place.join("server.key"), key).expect("a file can be written");
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(place.join("server.key"), private).expect("it is ours");
            let _ = write!(
                settings,
                "ssl = on\nssl_cert_file = '{0}/server.crt'\nssl_key_file = '{0}/server.key'\n",
                place.display()
            );
        }
        give_away(place);
        let data = place.join("data");
        let made = command("initdb")
            .args([
                "--no-sync",
                "-U",
                USER,
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .arg(format!("--pwfile={}", place.join("password").display()))
            .arg("-D")
            .arg(&data)
            .output()
            .expect("initdb can be started");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let file = data.join("postgresql.conf");
        let defaults = fs::read_to_string(&file).expect("initdb has written it");
        fs::write(&file, defaults + &settings).expect("a file can be written");
        let address = free_address();
        let server = serve(place, address);
        let postgres = Self {
            folder,
            address,
            server,
        };
        postgres.until_ready().await;
        postgres
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for a manifest, without TLS.
    pub fn url(&self) -> String {
        format!(
            "postgres://{USER}@{}/postgres?sslmode=disable",
            self.address
        )
    }

    /// Ends it at once, as a power cut of its machine would.
    ///
    /// # Panics
    ///
    /// When it is gone already.
    pub fn kill(&mut self) {
        // Its children end when they miss it.
        self.server.kill().expect("it is there");
        self.server.wait().expect("a child can be waited for");
    }

    /// Starts it again, at its address.
    ///
    /// # Panics
    ///
    /// When it doesn't start.
    pub async fn start_again(&mut self) {
        // The lock of the one that was killed is found out by itself.
        self.server = serve(self.folder.path(), self.address);
        self.until_ready().await;
    }

    /// Runs a statement as its user, and returns what it answers.
    ///
    /// # Panics
    ///
    /// When the statement is refused.
    pub fn run(&self, statement: &str) -> String {
        let ran = command("psql")
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                USER,
                "-d",
                "postgres",
                "-At",
                "-c",
                statement,
            ])
            .arg(format!("--port={}", self.address.port()))
            .env("PGPASSWORD", PASSWORD)
            .output()
            .expect("psql can be started");
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    async fn until_ready(&self) {
        eventually("postgres is ready", async || {
            let asked = command("pg_isready")
                .args(["-q", "-h", "127.0.0.1"])
                .arg(format!("--port={}", self.address.port()))
                .status();
            asked.is_ok_and(|status| status.success()).then_some(())
        })
        .await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once; it is gone already when the test has killed it.
        let _ = kill_process(Pid::from_child(&self.server), Signal::QUIT);
        let _ = self.server.wait();
    }
}

fn serve(place: &Path, address: SocketAddr) -> Child {
    let log = fs::File::create(place.join("log")).expect("a file can be made");
    command("postgres")
        .arg("-D")
        .arg(place.join("data"))
        .arg("-k")
        .arg(place)
        .arg("-p")
        .arg(address.port().to_string())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("postgres can be started")
}

/// A port that is free now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}

/// One of the programs, as somebody who isn't root: it refuses to run as root.
fn command(program: &str) -> Command {
    let mut command = Command::new(folder().join(program));
    command.stdin(Stdio::null()).current_dir("/");
    if let Some((user, group)) = somebody() {
        command.uid(user).gid(group);
    }
    command
}

/// Has the folder belong to whom the server runs as.
fn give_away(place: &Path) {
    let Some((user, group)) = somebody() else {
        return;
    };
    for entry in fs::read_dir(place).expect("it is there").flatten() {
        chown(entry.path(), Some(user), Some(group)).expect("root may");
    }
    chown(place, Some(user), Some(group)).expect("root may");
}

/// The package's own user, when this is root.
fn somebody() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.expect("the package postgresql has made its user");
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next()?.parse().ok();
    Some((number()?, number()?))
}

/// Where Debian has its programs: those of the newest version.
fn folder() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").ok();
    let versions = versions.into_iter().flatten().flatten();
    let newest = versions.map(|entry| entry.path().join("bin")).max();
    newest.expect("Postgres is installed: `apt-get install postgresql`, or `cargo xtask test`")
}
