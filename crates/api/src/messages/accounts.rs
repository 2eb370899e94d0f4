//! Tenants, tokens, and who changed what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token's bearer may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Deploy, promote, roll back and remove apps; read and write their key-value data.
    Deploy,
    /// Tokens and, with a token of the node, tenants.
    Admin,
}

impl Scope {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// Whom the node takes the caller for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The token's public name.
    pub token: String,
    /// What people call it.
    pub name: String,
    /// Whose apps it is for. Absent: a token of the node, which may act for any tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it may do.
    pub scope: Scope,
    /// From when on it is refused, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// The node's version.
    pub everwarm: String,
    /// The domain below which apps answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_domain: Option<String>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// What it may use.
    pub quotas: Quotas,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
}

/// What a tenant may use, as a whole, but for what is kept: that is for each of its apps. What is absent is unbounded but for
/// the node itself; what is kept has the node's default then: 1,000,000 entries of key-value data in 1 GiB, 1,000,000 messages
/// in 1 GiB, 1,000,000 blobs in 10 GiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Apps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<u32>,
    /// Bytes of all its components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_bytes: Option<u64>,
    /// Bytes of memory that its instances may have at once, counted by their functions' limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Requests that are worked on at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Requests a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Bytes of keys and values that each app may keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Entries that each app may keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_entries: Option<u64>,
    /// Messages that each app may keep in queues and schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_messages: Option<u64>,
    /// Bytes of their bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// Blobs that each app may keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blobs: Option<u64>,
    /// Their bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob_bytes: Option<u64>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// How long it is good for, in seconds. Absent: until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
    /// Whether it is the node's own, and may act for any tenant. Needs such a token itself.
    #[serde(default)]
    pub of_node: bool,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// Its public name.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// From when on it is refused, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A token with its secret: said once, when it is made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretToken {
    /// What is kept of it.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// What a client sends.
    pub token: String,
}

impl std::fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretToken")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Counts up.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whose things were changed. Absent: the node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who did it: a token's name and public name, or the node itself.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// The rest that a reader wants to know.
    pub detail: String,
}

/// Tenants by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantPage {
    /// What is on this page.
    pub items: Vec<Tenant>,
    /// The value of `after` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// All tokens of one owner, oldest first: there are few.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    /// All of them.
    pub items: Vec<TokenInfo>,
}

/// Entries of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// What is on this page.
    pub items: Vec<AuditEntry>,
    /// The value of `before` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
