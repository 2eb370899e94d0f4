//! The port for tenants, their quotas, and tokens.
//!
//! Owns the contract and what a token's stored form is: its secret's hash, never the secret. Knows nothing of how a
//! token is made, sent or compared.

use everwarm_manifest::TenantId;
use serde::{Deserialize, Serialize};

use crate::audit::Note;
use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

/// Tenants, their quotas, and tokens. A write that was answered with `Ok` survives power loss.
pub trait Accounts: Send + Sync {
    /// Makes a tenant, or changes the quotas of one that is there.
    ///
    /// # Errors
    ///
    /// [`AccountError::Failed`] when the engine can't keep it.
    fn put_tenant<'a>(
        &'a self,
        id: &'a TenantId,
        quotas: Quotas,
        note: Note,
    ) -> StoreFuture<'a, Result<Tenant, AccountError>>;

    /// One tenant.
    ///
    /// # Errors
    ///
    /// [`AccountError::Damaged`] when what was kept can't be read.
    fn tenant<'a>(
        &'a self,
        id: &'a TenantId,
    ) -> StoreFuture<'a, Result<Option<Tenant>, AccountError>>;

    /// All tenants by name, those after `after`, at most `count_max`.
    ///
    /// # Errors
    ///
    /// As [`Accounts::tenant`].
    fn tenants<'a>(
        &'a self,
        after: Option<&'a TenantId>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Tenant>, AccountError>>;

    /// Forgets a tenant and its tokens. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`AccountError::HasApps`] while it has apps.
    fn remove_tenant<'a>(
        &'a self,
        id: &'a TenantId,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, AccountError>>;

    /// Keeps a token. At most `count_max` of one owner.
    ///
    /// # Errors
    ///
    /// [`AccountError::NoTenant`] when its tenant isn't there, [`AccountError::TooManyTokens`].
    fn put_token(
        &self,
        token: Token,
        count_max: u32,
        note: Note,
    ) -> StoreFuture<'_, Result<(), AccountError>>;

    /// The token of that id.
    ///
    /// # Errors
    ///
    /// As [`Accounts::tenant`].
    fn token(&self, id: TokenId) -> StoreFuture<'_, Result<Option<Token>, AccountError>>;

    /// The tokens of one owner, oldest first: a tenant's, or with `None` the node's own.
    ///
    /// # Errors
    ///
    /// As [`Accounts::tenant`].
    fn tokens<'a>(
        &'a self,
        owner: Option<&'a TenantId>,
    ) -> StoreFuture<'a, Result<Vec<Token>, AccountError>>;

    /// Forgets a token of that owner. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`AccountError::Failed`] when the engine can't forget it.
    fn remove_token<'a>(
        &'a self,
        owner: Option<&'a TenantId>,
        id: TokenId,
        note: Note,
    ) -> StoreFuture<'a, Result<bool, AccountError>>;
}

/// Who owns apps, hosts and tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub id: TenantId,
    /// What it may use.
    pub quotas: Quotas,
    /// When it was made.
    pub created: UnixMillis,
}

/// What a tenant may use, as a whole; each function has limits of its own besides. Those of what is kept (key-value data,
/// messages, blobs) are for each of its apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Apps.
    pub apps: u32,
    /// Bytes of all its components.
    pub artifact_bytes: u64,
    /// Bytes of memory that its instances may have at once, counted by their functions' limits.
    pub memory_bytes: u64,
    /// Requests that are worked on at once.
    pub concurrency: u32,
    /// Requests a second, on average; a burst of as many is let through.
    pub requests_per_second: u32,
    /// Bytes of the keys and values that each of its apps may keep; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Entries that each of its apps may keep; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_entries: Option<u64>,
    /// Messages that each of its apps may keep in queues and schedules; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_messages: Option<u64>,
    /// Bytes of their bodies; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// Blobs that each of its apps may keep; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blobs: Option<u64>,
    /// Their bytes; `None` for what the node gives everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob_bytes: Option<u64>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            apps: 100,
            artifact_bytes: 4 << 30,
            memory_bytes: 16 << 30,
            concurrency: 2_048,
            requests_per_second: 100_000,
            kv_bytes: None,
            kv_entries: None,
            queue_messages: None,
            queue_bytes: None,
            blobs: None,
            blob_bytes: None,
        }
    }
}

impl Quotas {
    /// No bound but the node's own: the default tenant of a node that has no others. Of what functions write
    /// by themselves every app has a bound.
    pub const UNBOUNDED: Self = Self {
        apps: u32::MAX,
        artifact_bytes: i64::MAX as u64,
        memory_bytes: i64::MAX as u64,
        concurrency: u32::MAX,
        requests_per_second: u32::MAX,
        kv_bytes: None,
        kv_entries: None,
        queue_messages: None,
        queue_bytes: None,
        blobs: None,
        blob_bytes: None,
    };
}

/// Names a token; public, unlike its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 8]);

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a token's bearer may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look.
    Read,
    /// Deploy, promote, roll back and remove apps.
    Deploy,
    /// Tokens and, for the node's own, tenants.
    Admin,
}

impl Scope {
    /// All scopes, the least first.
    pub const ALL: [Self; 3] = [Self::Read, Self::Deploy, Self::Admin];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    /// The scope of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it.
    pub id: TokenId,
    /// Whose apps it is for; `None`: the node's operator, who may act for any tenant.
    pub tenant: Option<TenantId>,
    /// What its bearer may do.
    pub scope: Scope,
    /// What people call it.
    pub name: String,
    /// SHA-256 of its secret. The secret is 256 random bits, so that no slower hash is needed.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created: UnixMillis,
    /// From when on it is refused.
    pub expires: Option<UnixMillis>,
}

/// Why the store didn't do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// A tenant with apps can't be removed.
    #[error("tenant `{tenant}` still has {apps} apps: remove them first")]
    HasApps {
        /// Which tenant.
        tenant: TenantId,
        /// How many apps.
        apps: u32,
    },
    /// The tenant isn't there.
    #[error("there is no tenant `{0}`")]
    NoTenant(TenantId),
    /// As many tokens as there may be.
    #[error("there are {count_max} tokens already: remove one that isn't used")]
    TooManyTokens {
        /// How many there may be.
        count_max: u32,
    },
    /// A row can't be read.
    #[error("the store's {what} is damaged: {reason}")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed.
    #[error("the store failed to {doing}")]
    Failed {
        /// What was being attempted.
        doing: &'static str,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
}
