//! An app in a folder of its own: its manifest, and the component that it points to.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::installed;
use crate::node::{self, Node, Refusal};

/// The WASI version that a guest was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// WASI 0.2.
    Wasi02,
    /// WASI 0.3.
    Wasi03,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wasi02 => "wasi-0.2",
            Self::Wasi03 => "wasi-0.3",
        })
    }
}

/// An app that isn't served yet. Its name is `app`, and its only function is the guest.
#[derive(Debug, Clone)]
pub struct App {
    component: PathBuf,
    name: String,
    function: String,
    env: String,
    limits: String,
    grants_http: Vec<String>,
    grants: String,
    others: String,
    log: Option<String>,
    listen: String,
    flags: Vec<String>,
    secrets: BTreeMap<String, String>,
}

impl App {
    /// An app with a guest as its function, built for `world`.
    pub fn new(guest: &str, world: World) -> Self {
        Self {
            name: guest.to_owned(),
            ..Self::of(installed::component(guest, world))
        }
    }

    /// An app with any file as its component.
    pub fn of(component: impl Into<PathBuf>) -> Self {
        Self {
            component: component.into(),
            name: "app".to_owned(),
            function: String::new(),
            env: String::new(),
            limits: String::new(),
            grants_http: Vec::new(),
            grants: String::new(),
            others: String::new(),
            log: Some("info".to_owned()),
            listen: "127.0.0.1:0".to_owned(),
            flags: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// Sets the isolation mode.
    #[must_use]
    pub fn isolation(self, isolation: &str) -> Self {
        self.key(&format!("isolation = \"{isolation}\""))
    }

    /// Sets the routes of the function.
    #[must_use]
    pub fn routes(self, routes: &[&str]) -> Self {
        self.key(&format!("routes = {routes:?}"))
    }

    /// Sets any key of the function, as a line of TOML.
    #[must_use]
    pub fn key(mut self, line: &str) -> Self {
        let _ = writeln!(self.function, "{line}");
        self
    }

    /// Sets a limit, as text.
    #[must_use]
    pub fn limit(mut self, name: &str, value: &str) -> Self {
        let _ = writeln!(self.limits, "{name} = \"{value}\"");
        self
    }

    /// Sets a limit that is a number.
    #[must_use]
    pub fn limit_number(mut self, name: &str, value: u32) -> Self {
        let _ = writeln!(self.limits, "{name} = {value}");
        self
    }

    /// Grants requests to these, besides those that are granted already.
    #[must_use]
    pub fn grant_http(mut self, http: &[impl ToString]) -> Self {
        self.grants_http
            .extend(http.iter().map(ToString::to_string));
        self
    }

    /// Sets any key of the function's grants, as a line of TOML.
    #[must_use]
    pub fn grant(mut self, line: &str) -> Self {
        let _ = writeln!(self.grants, "{line}");
        self
    }

    /// Sets the limit on requests that are worked on at once.
    #[must_use]
    pub fn concurrency(mut self, requests: u32) -> Self {
        let _ = writeln!(self.limits, "concurrency = {requests}");
        self
    }

    /// Gives the function an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        let _ = writeln!(self.env, "{key} = {value:?}");
        self
    }

    /// Adds another function, reached at `route`.
    #[must_use]
    pub fn and(mut self, guest: &str, world: World, route: &str) -> Self {
        let component = installed::component(guest, world);
        let _ = writeln!(
            self.others,
            "\n[[function]]\nname = \"{guest}\"\nroutes = [{route:?}]\ncomponent = {}",
            quoted(&component)
        );
        self
    }

    /// Adds another function, which only those reach that are granted it.
    #[must_use]
    pub fn and_unrouted(mut self, guest: &str, world: World) -> Self {
        let component = installed::component(guest, world);
        let _ = writeln!(
            self.others,
            "\n[[function]]\nname = \"{guest}\"\nroutes = []\ncomponent = {}",
            quoted(&component)
        );
        self
    }

    /// Adds tables of TOML behind all else.
    #[must_use]
    pub fn table(mut self, lines: &str) -> Self {
        let _ = writeln!(self.others, "\n{lines}");
        self
    }

    /// Sets a secret of the app.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves the log as it is when nobody asks for more.
    #[must_use]
    pub fn log_by_default(mut self) -> Self {
        self.log = None;
        self
    }

    /// Sets where the node listens.
    #[must_use]
    pub fn listen(mut self, address: impl fmt::Display) -> Self {
        self.listen = address.to_string();
        self
    }

    /// Starts the node with a flag.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts the node with these too, as they would be typed.
    #[must_use]
    pub fn flags(mut self, flags: Vec<String>) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The app's manifest.
    pub fn manifest(&self) -> String {
        let Self {
            component,
            name,
            function,
            env,
            limits,
            grants_http,
            grants,
            others,
            ..
        } = self;
        let mut text = format!("name = \"{name}\"\n\n[[function]]\nname = \"{name}\"\n");
        let _ = write!(text, "component = {}\n{function}", quoted(component));
        if !env.is_empty() {
            let _ = write!(text, "[function.env]\n{env}");
        }
        if !limits.is_empty() {
            let _ = write!(text, "[function.limits]\n{limits}");
        }
        if !grants_http.is_empty() || !grants.is_empty() {
            let _ = write!(text, "[function.grants]\nhttp = {grants_http:?}\n{grants}");
        }
        text + others
    }

    /// Writes the app to a new folder.
    ///
    /// # Panics
    ///
    /// When the folder can't be made.
    pub fn write(self) -> AppFolder {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::write(folder.path().join("everwarm.toml"), self.manifest())
            .expect("a temporary folder can be written to");
        let app = AppFolder { folder, app: self };
        if !app.app.secrets.is_empty() {
            let mut lines = String::new();
            for (name, value) in &app.app.secrets {
                let _ = writeln!(lines, "{name}={value}");
            }
            // Others may not read it: it is refused otherwise.
            let mut file = fs::OpenOptions::new();
            file.write(true).create_new(true).mode(0o600);
            let mut file = file.open(app.secrets()).expect("the folder is new");
            std::io::Write::write_all(&mut file, lines.as_bytes())
                .expect("a temporary folder can be written to");
        }
        app
    }

    /// Serves the app, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When it doesn't get ready; its log is shown.
    pub async fn start(self) -> Node {
        let folder = self.write();
        let mut node = folder.start().await;
        node.keep(folder);
        node
    }

    /// Tries to serve the app, which must be refused.
    ///
    /// # Panics
    ///
    /// When it is served all the same.
    pub async fn refused(self) -> Refusal {
        self.write().refused().await
    }
}

/// An app in its folder, to be served as often as a test likes.
#[derive(Debug)]
pub struct AppFolder {
    folder: TempDir,
    app: App,
}

impl AppFolder {
    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of all that its node keeps.
    pub fn data(&self) -> PathBuf {
        self.path().join(".everwarm")
    }

    /// The folder in which its node keeps machine code.
    pub fn compiled(&self) -> PathBuf {
        self.data().join("compiled")
    }

    fn secrets(&self) -> PathBuf {
        self.path().join("secrets")
    }

    /// As [`App::start`].
    ///
    /// # Panics
    ///
    /// As [`App::start`].
    pub async fn start(&self) -> Node {
        Node::ready(self.command()).await
    }

    /// As [`App::refused`].
    ///
    /// # Panics
    ///
    /// As [`App::refused`].
    pub async fn refused(&self) -> Refusal {
        node::refused(self.command()).await
    }

    /// As [`Self::start`], with these flags in the place of the app's.
    ///
    /// # Panics
    ///
    /// As [`App::start`].
    pub async fn start_with(&mut self, flags: Vec<String>) -> Node {
        self.app.flags = flags;
        self.start().await
    }

    /// As [`Self::refused`], with these flags in the place of the app's.
    ///
    /// # Panics
    ///
    /// As [`App::refused`].
    pub async fn refused_with(&mut self, flags: Vec<String>) -> Refusal {
        self.app.flags = flags;
        self.refused().await
    }

    fn command(&self) -> Command {
        let mut command = node::everwarm_command();
        command.args(["up", "--json", "--no-watch", "--listen"]);
        command.arg(&self.app.listen).args(&self.app.flags);
        if let Some(filter) = &self.app.log {
            command.args(["--log", filter]);
        }
        if !self.app.secrets.is_empty() {
            command.arg("--secrets-file").arg(self.secrets());
        }
        command.arg(self.path());
        command
    }
}

/// A path as a string of TOML.
fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}
