//! What a manifest says, once it is known to be valid. Knows its form in JSON and TOML; doesn't know
//! how a manifest's mistakes are found (`parse`) or told (`diagnostics`).

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::assets::{AssetPath, Assets};
use crate::cache::Cache;
use crate::config::ConfigName;
use crate::grants::{Grants, PostgresUrl, RedisUrl};
use crate::limits::Limits;
use crate::mounts::Mount;
use crate::names::{AppName, ContainerName, DatabaseName, FunctionName, RedisName};
use crate::route::RoutePattern;
use crate::triggers::{Missed, Overlap, Queue, Schedule};

/// What a user deploys: one manifest, its functions and its files.
///
/// [`App::parse`] is the only way from text that people wrote. The serde form is for what Everwarm
/// stores itself: it checks the shape of each name, route and amount again, but not the rules between
/// them and no bounds, so that an app stays readable after a later release has narrowed a bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// How its components are built, where the manifest says so.
    #[serde(default, skip_serializing_if = "Build::is_default")]
    pub build: Build,
    /// Its SQL databases, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sql: Vec<SqlDatabase>,
    /// Its Redis servers, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redis: Vec<RedisServer>,
    /// Its containers of blobs, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blobs: Vec<BlobContainer>,
    /// Its functions, in the manifest's order. At least one, unless it has assets.
    #[serde(rename = "function", default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<Function>,
    /// Its files, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<Assets>,
    /// Its queues, in the manifest's order.
    #[serde(rename = "queue", default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<Queue>,
    /// Its schedules, in the manifest's order.
    #[serde(rename = "schedule", default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
}

/// How components are built from source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// Replaces cargo: run through `sh -c` in the manifest's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The cargo package, when the manifest's folder is a workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Paths to watch besides the package's own, relative to the manifest's folder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<PathBuf>,
}

/// One of an app's Redis servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisServer {
    /// Its name, unique in the app.
    pub name: RedisName,
    /// Where it is.
    pub url: RedisUrl,
    /// The secret of the app that is the password there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<ConfigName>,
}

/// One of an app's SQL databases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlDatabase {
    /// Its name, unique in the app.
    pub name: DatabaseName,
    /// The folder of its migrations, relative to the manifest's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<PathBuf>,
    /// The Postgres server that has it; `None` for a database that the node keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<PostgresUrl>,
    /// The secret of the app that is the password there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<ConfigName>,
}

/// One of an app's containers of blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlobContainer {
    /// Its name, unique in the app.
    pub name: ContainerName,
}

impl Build {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One WASI component plus its routes, limits and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its name, unique in the app.
    pub name: FunctionName,
    /// The component's file, relative to the manifest's folder. `None`: the folder's cargo package is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<PathBuf>,
    /// The world that the manifest forces; see [`Function::target_world`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub world: Option<World>,
    /// Which requests it answers. Without any, those of functions that are granted it.
    pub routes: Vec<RoutePattern>,
    /// How its instances are shared between requests.
    #[serde(default)]
    pub isolation: Isolation,
    /// Which of its responses are compressed for clients that take it.
    #[serde(default, skip_serializing_if = "Compress::is_default")]
    pub compress: Compress,
    /// Whether clients are told how a request started and how long it took.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub server_timing: bool,
    /// The cache in front of it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Its environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Values that it asks for by name. No secrets: they are part of the version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<ConfigName, String>,
    /// What it may use of the world outside it.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
    /// How much it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Folders of the app's files that it reads, in the manifest's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
}

impl Function {
    /// The world to build for: the one that the manifest forces, else the one that suits the isolation
    /// (0.2 is about twice as fast with a fresh instance per request; only 0.3 can be concurrent).
    pub fn target_world(&self) -> World {
        self.world.unwrap_or(match self.isolation {
            Isolation::Request | Isolation::Serial => World::Wasi02,
            Isolation::Concurrent => World::Wasi03,
        })
    }
}

impl App {
    /// All that it answers: the routes of its functions, and those that its files stand for.
    pub fn routes(&self) -> impl Iterator<Item = &RoutePattern> {
        let functions = self.functions.iter().flat_map(|function| &function.routes);
        functions.chain(self.assets.iter().map(|assets| assets.at.route()))
    }

    /// The folders whose files are part of it: those that are served, and those that functions read.
    pub fn folders(&self) -> impl Iterator<Item = &AssetPath> {
        let mounts = self.functions.iter().flat_map(|function| &function.mounts);
        let served = self.assets.iter().map(|assets| &assets.path);
        served.chain(mounts.map(|mount| &mount.path))
    }

    /// Whether it has files, and so a bundle of them.
    pub fn has_files(&self) -> bool {
        self.folders().next().is_some()
    }

    /// The function of that name.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| function.name.as_str() == name)
    }

    /// The app as a manifest with everything spelled out, defaults too. [`App::parse`] reads it back.
    ///
    /// # Errors
    /// [`RenderError`] when a path isn't UTF-8, which no parsed manifest has.
    pub fn to_toml(&self) -> Result<String, RenderError> {
        Ok(toml::to_string(self)?)
    }
}

/// Why an app has no TOML form.
#[derive(Debug, thiserror::Error)]
#[error("couldn't write the app as TOML")]
pub struct RenderError(#[from] toml::ser::Error);

/// The version of WASI that a component is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum World {
    /// WASI 0.2: `wasi:http/incoming-handler`.
    #[serde(rename = "wasi-0.2")]
    Wasi02,
    /// WASI 0.3: `wasi:http/handler`.
    #[serde(rename = "wasi-0.3")]
    Wasi03,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 2] = [Self::Wasi02, Self::Wasi03];

    /// The word that the manifest has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wasi02 => "wasi-0.2",
            Self::Wasi03 => "wasi-0.3",
        }
    }
}

/// How instances of a function are shared between its requests.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A fresh instance per request.
    #[default]
    Request,
    /// An instance is reused, one request at a time.
    Serial,
    /// An instance is reused, many requests at once; WASI 0.3 only.
    Concurrent,
}

impl Isolation {
    /// All isolations, strictest first.
    pub const ALL: [Self; 3] = [Self::Request, Self::Serial, Self::Concurrent];

    /// The word that the manifest has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Serial => "serial",
            Self::Concurrent => "concurrent",
        }
    }
}

/// Which responses of a function are compressed, where the client takes it and the content is worth it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Compress {
    /// None.
    Never,
    /// Those whose length is known.
    #[default]
    Whole,
    /// Those that stream as well, each piece as it comes.
    Streams,
}

impl Compress {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Never, Self::Whole, Self::Streams];

    /// The word that the manifest has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Whole => "whole",
            Self::Streams => "streams",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A word that is none of those that a key allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {allowed:?}")]
pub struct UnknownWord {
    /// The words that are allowed.
    pub allowed: Vec<&'static str>,
}

macro_rules! word_enum {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                let found = Self::ALL.into_iter().find(|word| word.as_str() == text);
                found.ok_or_else(|| UnknownWord {
                    allowed: Self::ALL.map(Self::as_str).to_vec(),
                })
            }
        }
    };
}

word_enum!(World);
word_enum!(Isolation);
word_enum!(Compress);
word_enum!(Overlap);
word_enum!(Missed);
