//! `everwarm serve` on a data folder, and a client of its admin API.
//!
//! Knows how a node is started, asked and deployed to; doesn't know what is measured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use everwarm_api::client::Client;
use everwarm_api::messages::{Deploy, Deployed};
use everwarm_api::token::Token;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::load::http::{self, Answer};
use crate::processes::Group;
use crate::servers;
use crate::settings::Settings;

/// The domain below which apps answer.
const BASE_DOMAIN: &str = "example.com";
/// How long a node may take to answer at all.
const START_TIME_MAX: Duration = Duration::from_mins(2);
/// How often a starting node is asked. The first answer is late by half of it.
const ASK_EVERY: Duration = Duration::from_micros(200);

/// A data folder, which outlives the processes on it.
pub(super) struct Data {
    folder: tempfile::TempDir,
}

/// A node that serves.
pub(super) struct Node {
    pub(super) group: Group,
    pub(super) address: SocketAddr,
    /// From the start of the process to the first right answer.
    pub(super) first_answer: Duration,
    pub(super) client: Client,
    /// Where the admin API is.
    pub(super) admin: String,
    pub(super) token: Token,
    runtime: Runtime,
    log: PathBuf,
}

impl Data {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { folder })
    }

    /// Starts a node, and waits until `host` answers `path` with `is_right`.
    pub(super) fn start(
        &self,
        settings: &Settings,
        arguments: &[&str],
        (host, path): (&str, &str),
        is_right: impl Fn(&Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<Node> {
        let (address, admin) = (servers::free_address()?, servers::free_address()?);
        let log = self.folder.path().join("output.log");
        let mut command = Command::new(&settings.everwarm);
        command
            .args(["serve", "--json", "--base-domain", BASE_DOMAIN])
            .args(["--listen", &address.to_string()])
            .args(["--admin", &admin.to_string()])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(arguments)
            .env_remove("RUST_BACKTRACE");
        let started = Instant::now();
        let mut group = Group::start(&mut command, &log)?;
        let first_answer = loop {
            let answered = http::get_from_host(address, host, path);
            let refused = match answered.and_then(|answer| is_right(&answer)) {
                Ok(()) => break started.elapsed(),
                Err(error) => error,
            };
            if let Some(status) = group.ended() {
                bail!("the node ended ({status}):\n{}", group.log_tail());
            }
            if started.elapsed() > START_TIME_MAX {
                bail!(
                    "the node gave no right answer ({refused:#}):\n{}",
                    group.log_tail()
                );
            }
            std::thread::sleep(ASK_EVERY);
        };
        let token = self.folder.path().join("data/admin.token");
        let token = read_soon(&token)?;
        let token = Token::parse(&token).context("the first token is none")?;
        Ok(Node {
            group,
            address,
            first_answer,
            client: Client::new(&format!("http://{admin}"), token.clone(), None)?,
            admin: format!("http://{admin}"),
            token,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            log,
        })
    }

    /// Starts a node on which nothing has to answer yet.
    pub(super) fn start_empty(
        &self,
        settings: &Settings,
        arguments: &[&str],
    ) -> anyhow::Result<Node> {
        self.start(settings, arguments, ("nobody.example.com", "/"), |answer| {
            ensure!(answer.status == 404, "status {}", answer.status);
            Ok(())
        })
    }
}

/// The token is written after the node serves.
fn read_soon(path: &Path) -> anyhow::Result<String> {
    let deadline = Instant::now() + START_TIME_MAX;
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return Ok(text),
            _ if Instant::now() > deadline => bail!("{} isn't written", path.display()),
            _ => std::thread::sleep(ASK_EVERY),
        }
    }
}

/// The host of an app.
pub(super) fn host(app: &str) -> String {
    format!("{app}.{BASE_DOMAIN}")
}

/// An app with functions, each with a component and its routes.
pub(super) struct App {
    pub(super) name: String,
    manifest: String,
    components: Vec<(String, Bytes)>,
}

impl App {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            manifest: format!("name = \"{name}\"\n"),
            components: Vec::new(),
        }
    }

    /// Adds a function. `more` are lines of its table.
    pub(super) fn function(&mut self, name: &str, route: &str, component: Bytes, more: &str) {
        use std::fmt::Write as _;
        // Writing to a String can't fail.
        let _ = write!(
            self.manifest,
            "\n[[function]]\nname = \"{name}\"\ncomponent = \"{name}.wasm\"\nroutes = [\"{route}\"]\n{more}\n"
        );
        self.components.push((name.to_owned(), component));
    }
}

impl Node {
    /// Runs something that asks the admin API.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Uploads what isn't there, and deploys.
    pub(super) fn deploy(&self, app: &App) -> anyhow::Result<Deployed> {
        self.wait(deploy(&self.client, app))
    }

    /// What the node has printed: its access log, a JSON object a line.
    pub(super) fn log(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

fn digest(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes);
    let digits: Vec<String> = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", digits.concat())
}

pub(super) async fn deploy(client: &Client, app: &App) -> anyhow::Result<Deployed> {
    let mut deploy = Deploy {
        manifest: app.manifest.clone(),
        components: std::collections::BTreeMap::new(),
        assets: None,
        migrations: [].into(),
        percent: None,
        sticky_header: None,
        health: None,
    };
    for (function, bytes) in &app.components {
        let digest = digest(bytes);
        if !client.has_component(&digest).await? {
            client.put_component(&digest, bytes.clone()).await?;
        }
        deploy.components.insert(function.clone(), digest);
    }
    Ok(client.deploy(&app.name, &deploy, None).await?)
}

/// A node's resident memory, where the system says.
#[expect(clippy::cast_precision_loss, reason = "mebibytes have few digits")]
pub(super) fn mib(node: &Node) -> Option<f64> {
    let bytes = node.group.resident_bytes()?;
    Some(bytes as f64 / f64::from(1 << 20))
}
