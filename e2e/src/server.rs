//! `everwarm serve` as a process, and clients of its admin API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use everwarm_api::client::{Client, ClientError};
use everwarm_api::messages::{Deploy, Deployed, NewToken, Quotas, Scope};
use everwarm_api::problem::Problem;
use everwarm_api::token::Token;
use rustix::process::Signal;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::app::World;
use crate::client::{Connection, Request};
use crate::code;
use crate::deadline::eventually;
use crate::installed;
use crate::node::{Node, everwarm_command};
use crate::reply::Reply;

/// The data folder of a node, which outlives its processes.
#[derive(Debug)]
pub struct DataFolder(TempDir);

/// A test that fails shows what was in it.
impl Drop for DataFolder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- files of the node:");
            show_files(&self.path(), 0);
        }
    }
}

/// Shows names and sizes, as far down as a data folder goes.
fn show_files(folder: &Path, depth: usize) {
    const DEPTH_MAX: usize = 3;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        let name = entry.file_name();
        eprintln!("{:1$}{2} {size}", "", 2 * depth, name.display());
        if depth < DEPTH_MAX {
            show_files(&entry.path(), depth + 1);
        }
    }
}

impl DataFolder {
    /// A new, empty one.
    ///
    /// # Panics
    ///
    /// When it can't be made.
    #[allow(clippy::new_without_default, reason = "it makes a folder on the disk")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Where it is for somebody outside of the mounts that a node may have of its own.
    pub fn seen_by(&self, node: &Node) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", node.process().id()));
        if !root.exists() {
            return self.path();
        }
        root.join(self.path().strip_prefix("/").unwrap_or(&self.path()))
    }

    /// Removes all machine code, as an upgrade to a release with another engine does.
    ///
    /// # Panics
    ///
    /// When there is none, or it can't be removed.
    pub fn forget_code(&self) {
        let mut removed = 0;
        let folders = std::fs::read_dir(self.path().join("compiled"));
        for folder in folders
            .expect("there is a folder for machine code")
            .flatten()
        {
            let Ok(files) = std::fs::read_dir(folder.path()) else {
                continue;
            };
            for file in files.flatten() {
                let is_code = file.path().extension().is_some_and(|end| end == "cwasm");
                if is_code && std::fs::remove_file(file.path()).is_ok() {
                    removed += 1;
                }
            }
        }
        assert!(removed > 0, "there was no machine code");
    }

    /// The command that serves from it, on ports that are free.
    pub fn command(&self) -> Command {
        self.command_with_admin("127.0.0.1:0")
    }

    /// As [`Self::command`], with the admin API elsewhere.
    pub fn command_with_admin(&self, admin: &str) -> Command {
        let mut command = everwarm_command();
        command
            .args([
                "serve",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--admin",
                admin,
            ])
            .args([
                "--base-domain",
                "example.com",
                "--log",
                "info",
                "--data-dir",
            ])
            .arg(self.path());
        command
    }

    /// The command that takes over from the process that serves from it.
    pub fn take_over(&self) -> Command {
        let mut command = self.command();
        command.arg("--take-over");
        command
    }

    /// Starts a node and waits until it serves.
    ///
    /// # Panics
    ///
    /// When it doesn't.
    pub async fn start(&self) -> Server {
        self.start_with(self.command()).await
    }

    /// As [`Self::start`], with a command that serves from this folder.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    pub async fn start_with(&self, command: Command) -> Server {
        let node = Node::ready(command).await;
        let text = std::fs::read_to_string(self.seen_by(&node).join("admin.token"));
        let text = text.expect("the first start has written a token");
        let token = Token::parse(&text).expect("what it has written is a token");
        let admin = node.ready["admin_url"]
            .as_str()
            .expect("the event says where the admin API is");
        Server {
            admin: admin.to_owned(),
            token,
            node,
        }
    }
}

/// A node that others deploy to.
#[derive(Debug)]
pub struct Server {
    /// Its process, and clients of what it serves.
    pub node: Node,
    admin: String,
    token: Token,
}

impl Server {
    /// The address of the admin API.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// The socket of the admin API.
    ///
    /// # Panics
    ///
    /// When the node doesn't say.
    pub fn admin_address(&self) -> SocketAddr {
        let address = self.node.ready["admin"].as_str();
        let address = address.and_then(|address| address.parse().ok());
        address.expect("the event says where the admin API is")
    }

    /// Where it speaks TLS.
    ///
    /// # Panics
    ///
    /// When it doesn't.
    pub fn tls_address(&self) -> SocketAddr {
        let address = self.node.ready["tls_listen"].as_str();
        let address = address.and_then(|address| address.parse().ok());
        address.expect("the event says where it speaks TLS")
    }

    /// The token that the first start wrote.
    pub fn first_token(&self) -> &Token {
        &self.token
    }

    /// A client with the node's first token, which acts for the default tenant.
    ///
    /// # Panics
    ///
    /// Never: the address is one.
    pub fn client(&self) -> Client {
        self.client_with(self.token.clone(), None)
    }

    /// A client with the node's first token that acts for a tenant.
    ///
    /// # Panics
    ///
    /// Never: the address is one.
    pub fn client_for(&self, tenant: &str) -> Client {
        self.client_with(self.token.clone(), Some(tenant))
    }

    /// A client with any token.
    ///
    /// # Panics
    ///
    /// Never: the address is one.
    pub fn client_with(&self, token: Token, tenant: Option<&str>) -> Client {
        let tenant = tenant.map(ToOwned::to_owned);
        Client::new(&self.admin, token, tenant).expect("the address is one")
    }

    /// Makes a tenant without bounds, and a client with a token of its own.
    ///
    /// # Panics
    ///
    /// When the node refuses.
    pub async fn tenant(&self, name: &str, quotas: Quotas, scope: Scope) -> Client {
        let made = self.client().put_tenant(name, &quotas).await;
        made.expect("a tenant can be made");
        self.client_of(name, scope).await
    }

    /// A client with a new token of a tenant.
    ///
    /// # Panics
    ///
    /// When the node refuses.
    pub async fn client_of(&self, tenant: &str, scope: Scope) -> Client {
        let new = NewToken {
            name: format!("{tenant} {}", scope.as_str()),
            scope,
            lifetime_s: None,
            of_node: false,
        };
        let made = self.client_for(tenant).make_token(&new).await;
        let token = made.expect("a token can be made").token;
        let token = Token::parse(&token).expect("what was made is a token");
        self.client_with(token, None)
    }

    /// Sends a GET to a host, on a connection of its own.
    ///
    /// # Panics
    ///
    /// When there is no response at all.
    pub async fn get(&self, host: &str, path: &str) -> Reply {
        self.node
            .send(Request::get(path).header("host", host))
            .await
    }

    /// Sends a request to the admin API, as it is.
    ///
    /// # Panics
    ///
    /// When there is no response at all.
    pub async fn ask_admin(&self, request: Request) -> Reply {
        let address = self.admin.trim_start_matches("http://");
        let address: SocketAddr = address.parse().expect("the node says its address");
        Connection::http1(address).await.send(request).await
    }

    /// Waits until the node says that it is ready.
    ///
    /// # Panics
    ///
    /// When it doesn't.
    pub async fn until_ready(&self) {
        eventually("the node is ready", async || {
            let reply = self.ask_admin(Request::get("/readyz")).await;
            (reply.status() == 204).then_some(())
        })
        .await;
    }

    /// Ends the process without asking it, and starts another one on the same data.
    ///
    /// # Panics
    ///
    /// When the other one doesn't start.
    pub async fn kill_and_restart(self, data: &DataFolder) -> Self {
        let stopped = self.node.stop(Signal::KILL).await;
        drop(stopped);
        data.start().await
    }
}

/// An app to be deployed.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// Its name.
    pub name: String,
    /// The component of each function.
    pub components: BTreeMap<String, PathBuf>,
    /// What is sent, but for the digests.
    pub deploy: Deploy,
}

impl NewApp {
    /// An app with one guest as its function, at these routes.
    pub fn new(name: &str, guest: &str, routes: &[&str]) -> Self {
        Self::of(name, &installed::component(guest, World::Wasi02), routes)
    }

    /// An app with any file as the component of its function.
    pub fn of(name: &str, component: &Path, routes: &[&str]) -> Self {
        let manifest = format!(
            "name = \"{name}\"\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\nroutes = {routes:?}\n"
        );
        Self {
            name: name.to_owned(),
            components: BTreeMap::from([("f".to_owned(), component.to_owned())]),
            deploy: Deploy {
                manifest,
                components: BTreeMap::new(),
                assets: None,
                migrations: BTreeMap::new(),
                percent: None,
                sticky_header: None,
                health: None,
            },
        }
    }

    /// Adds a line to the manifest's end.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.deploy.manifest.push_str(line);
        self.deploy.manifest.push('\n');
        self
    }

    /// Its part of the requests.
    #[must_use]
    pub fn percent(mut self, percent: u8) -> Self {
        self.deploy.percent = Some(percent);
        self
    }

    /// Uploads what isn't there, and deploys.
    ///
    /// # Errors
    ///
    /// What the node says.
    ///
    /// # Panics
    ///
    /// When a component can't be read.
    pub async fn deploy(self, client: &Client) -> Result<Deployed, ClientError> {
        self.deploy_once(client, None).await
    }

    /// As [`Self::deploy`], with a key that it is known by when it is sent again.
    ///
    /// # Errors
    ///
    /// What the node says.
    ///
    /// # Panics
    ///
    /// When a component can't be read.
    pub async fn deploy_once(
        mut self,
        client: &Client,
        key: Option<&str>,
    ) -> Result<Deployed, ClientError> {
        for (function, path) in &self.components {
            let digest = upload(path, client).await?;
            self.deploy.components.insert(function.clone(), digest);
        }
        let deployed = client.deploy(&self.name, &self.deploy, key).await;
        self.components.values().for_each(|path| code::keep(path));
        deployed
    }
}

/// Uploads a component if it isn't there. Returns its name.
pub(crate) async fn upload(component: &Path, client: &Client) -> Result<String, ClientError> {
    let bytes = std::fs::read(component).expect("the component can be read");
    let digest = digest(&bytes);
    code::bring(component);
    if !client.has_component(&digest).await? {
        client.put_component(&digest, Bytes::from(bytes)).await?;
    }
    Ok(digest)
}

/// The name of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

/// The problem that an operation failed with.
///
/// # Panics
///
/// When it didn't, or not with a problem.
pub fn problem<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Problem {
    match result {
        Err(ClientError::Problem(problem)) => *problem,
        other => panic!("a problem was expected: {other:?}"),
    }
}
