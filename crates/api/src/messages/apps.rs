//! Apps, their versions and their traffic.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    pub name: String,
    /// Who gets which requests. Absent when no version serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Where it answers.
    pub urls: Vec<String>,
    /// How many versions are kept.
    pub versions: u32,
    /// When its newest version was first deployed, in milliseconds since 1970.
    pub newest_ms: u64,
}

/// Apps by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppPage {
    /// What is on this page.
    pub items: Vec<App>,
    /// The value of `after` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which versions of an app get its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// The version that gets what the canary doesn't.
    pub main: String,
    /// A version that gets a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// What was `main` before, the latest first: where a rollback goes.
    pub past: Vec<String>,
}

/// A version that gets a part of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Canary {
    /// The version.
    pub version: String,
    /// Its part.
    #[schema(minimum = 1, maximum = 99)]
    pub percent: u8,
    /// Requests with the same value of this field go to the same version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_header: Option<String>,
}

/// A change of an app's traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTraffic {
    /// A version, or the first digits of one that no other version begins with.
    pub version: String,
    /// Its part of the requests. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 99)]
    pub percent: Option<u8>,
    /// Requests with the same value of this field go to the same version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_header: Option<String>,
}

/// A way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Where to. Absent: the canary ends, or, where there is none, the version before serves again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// An immutable deployment of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Names its content.
    pub id: String,
    /// The first digits, as people read them.
    pub short: String,
    /// When it was first deployed, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its part of the requests.
    #[schema(maximum = 100)]
    pub percent: u8,
    /// Where it answers, whether it is live or not. Absent on a node without a base domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<String>,
    /// Its functions.
    pub functions: Vec<FunctionInfo>,
    /// The digest of the bundle of its assets. Absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<String>,
}

/// Versions, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionPage {
    /// What is on this page.
    pub items: Vec<Version>,
    /// The value of `before` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A function of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// The digest of its component.
    pub component: String,
    /// The world that it is served in: `wasi-0.2` or `wasi-0.3`.
    pub world: String,
    /// How its instances are shared.
    pub isolation: String,
    /// Which requests it answers.
    pub routes: Vec<String>,
}
