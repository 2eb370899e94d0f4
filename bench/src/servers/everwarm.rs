//! Everwarm itself: the real binary, serving a small app whose component is already built.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::Server;
use crate::settings::Settings;

/// How instances are shared, as in `everwarm.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    Request,
    Serial,
    Concurrent,
}

impl Isolation {
    fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Serial => "serial",
            Self::Concurrent => "concurrent",
        }
    }
}

/// The WASI version that a component is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    Wasi02,
    Wasi03,
}

impl World {
    /// As in the names of guest files.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Wasi02 => "0.2",
            Self::Wasi03 => "0.3",
        }
    }
}

/// `everwarm up` with one function.
#[derive(Debug, Clone)]
pub(crate) struct Everwarm {
    pub(crate) guest: &'static str,
    pub(crate) isolation: Isolation,
    pub(crate) world: World,
}

/// The SDK's hello in every isolation that its world allows.
pub(crate) fn hellos() -> impl Iterator<Item = Everwarm> {
    [
        (Isolation::Request, World::Wasi02),
        (Isolation::Serial, World::Wasi02),
        (Isolation::Request, World::Wasi03),
        (Isolation::Serial, World::Wasi03),
        (Isolation::Concurrent, World::Wasi03),
    ]
    .into_iter()
    .map(|(isolation, world)| Everwarm {
        guest: "hello",
        isolation,
        world,
    })
}

impl Server for Everwarm {
    fn name(&self) -> String {
        format!(
            "everwarm {} {}",
            self.isolation.word(),
            self.world.version()
        )
    }

    fn missing(&self, settings: &Settings) -> Option<String> {
        if !settings.everwarm.is_file() {
            return Some(
                "the binary is not built: run the bench by `cargo xtask bench`".to_owned(),
            );
        }
        let guest = settings.guest(self.guest, self.world.version());
        guest.err().map(|error| error.to_string())
    }

    fn command(
        &self,
        settings: &Settings,
        folder: &Path,
        address: SocketAddr,
    ) -> anyhow::Result<Command> {
        let component = settings.guest(self.guest, self.world.version())?;
        std::fs::copy(component, folder.join("component.wasm"))?;
        let mut app = app("bench");
        app.function("bench", "component.wasm", "/*", self.isolation, "");
        app.write(folder)?;
        Ok(command_up(settings, folder, address))
    }
}

/// The text of an `everwarm.toml`.
#[derive(Debug)]
pub(crate) struct App {
    text: String,
}

/// An app without functions yet.
pub(crate) fn app(name: &str) -> App {
    App {
        text: format!("name = \"{name}\"\n"),
    }
}

impl App {
    /// Adds a function. `limits` are lines of its `[function.limits]`.
    pub(crate) fn function(
        &mut self,
        name: &str,
        component: &str,
        route: &str,
        isolation: Isolation,
        limits: &str,
    ) {
        let isolation = isolation.word();
        // Writing to a String can't fail.
        let _ = write!(
            self.text,
            "\n[[function]]\nname = \"{name}\"\ncomponent = \"{component}\"\nroutes = [\"{route}\"]\n\
             isolation = \"{isolation}\"\n"
        );
        if !limits.is_empty() {
            let _ = write!(self.text, "\n[function.limits]\n{limits}\n");
        }
    }

    /// Grants the function that was added last requests to one host.
    pub(crate) fn grant_http(&mut self, grant: &str) {
        // Writing to a String can't fail.
        let _ = write!(self.text, "\n[function.grants]\nhttp = [\"{grant}\"]\n");
    }

    /// Grants the function that was added last calls of another one.
    pub(crate) fn grant_function(&mut self, name: &str) {
        // Writing to a String can't fail.
        let _ = write!(self.text, "\n[function.grants]\nfunctions = [\"{name}\"]\n");
    }

    /// Grants the function that was added last a key-value store.
    pub(crate) fn grant_store(&mut self, name: &str) {
        // Writing to a String can't fail.
        let _ = write!(self.text, "\n[function.grants]\nkv = [\"{name}\"]\n");
    }

    /// Adds a line to the grants of the function that was added last.
    pub(crate) fn grant_lines(&mut self, line: &str) {
        const GRANTS: &str = "\n[function.grants]\n";
        let last = self.text.rfind("\n[[function]]\n").unwrap_or_default();
        if !self.text[last..].contains(GRANTS) {
            self.text.push_str(GRANTS);
        }
        self.lines(line);
    }

    /// Adds lines behind all else.
    pub(crate) fn lines(&mut self, lines: &str) {
        self.text.push_str(lines);
        self.text.push('\n');
    }

    /// Keeps the answers of the function that was added last.
    pub(crate) fn keep_answers(&mut self, ttl: &str) {
        // Writing to a String can't fail.
        let _ = write!(self.text, "\n[function.cache]\ndefault_ttl = \"{ttl}\"\n");
    }

    /// Adds a function that only others call.
    pub(crate) fn unrouted(&mut self, name: &str, component: &str) {
        // Writing to a String can't fail.
        let _ = write!(
            self.text,
            "\n[[function]]\nname = \"{name}\"\ncomponent = \"{component}\"\nroutes = []\n"
        );
    }

    /// Writes the manifest into the app's folder.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join("everwarm.toml");
        std::fs::write(&path, &self.text)
            .with_context(|| format!("could not write {}", path.display()))
    }
}

/// `everwarm up` for the app in a folder, without the watcher.
pub(crate) fn command_up(settings: &Settings, folder: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(&settings.everwarm);
    command
        .args(["up", "--no-watch", "--listen", &address.to_string()])
        .arg(folder);
    command
}
