//! Secrets of apps: everything of them but their values, which go in and never come out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Secret {
    /// Its name.
    pub name: String,
    /// The version that functions get. Absent: it isn't set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The versions that are kept, newest first.
    pub versions: Vec<SecretVersion>,
    /// The functions of what serves that are granted it.
    pub functions: Vec<String>,
    /// Why functions can't read it. Absent: they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretVersion {
    /// Its number, from 1 on.
    pub version: u32,
    /// When it was set, in milliseconds since 1970.
    pub set_ms: u64,
}

/// An app's secrets by name: those that are set, and those that functions are granted and that aren't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretPage {
    /// All of them.
    pub items: Vec<Secret>,
}

/// To which version a secret goes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRollback {
    /// A version that is kept. Absent: the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// What came of sealing all secrets of a node anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyRotation {
    /// The name of the key that seals from now on. It says nothing of the key.
    pub key: String,
    /// Versions of secrets that were sealed anew.
    pub resealed: u64,
    /// Versions that no key of the node opens.
    pub unreadable: u64,
    /// The names of keys that seal nothing any more.
    pub unused: Vec<String>,
}
