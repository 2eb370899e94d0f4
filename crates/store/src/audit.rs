//! The port for the audit log: who changed what, and when.
//!
//! Owns the form of an entry. An entry is written with the change it tells of, in one transaction, so that there is
//! neither a change without its entry nor an entry without its change. Key-value data and blobs are kept elsewhere: the entry of a
//! change to them is written before the change, so that there is no change without its entry. Knows nothing of who may
//! change what.

use everwarm_manifest::TenantId;
use serde::{Deserialize, Serialize};

use crate::catalog::UnixMillis;
use crate::{EngineError, StoreFuture};

/// Entries that are kept; the oldest go first.
pub const ENTRIES_MAX: u32 = 100_000;
/// The longest detail that is kept, in bytes.
pub const DETAIL_BYTES_MAX: usize = 1_024;

/// Reads the audit log; writing it belongs to the changes, but for those of key-value data and blobs.
pub trait Audit: Send + Sync {
    /// The newest entries, newest first, at most `count_max`: those of one tenant, or of the whole node; with
    /// `before`, those with a smaller number.
    ///
    /// # Errors
    ///
    /// When the engine can't read them.
    fn entries<'a>(
        &'a self,
        tenant: Option<&'a TenantId>,
        before: Option<u64>,
        count_max: u32,
    ) -> StoreFuture<'a, Result<Vec<Entry>, AuditError>>;

    /// Writes an entry of a change that is about to be made where the log isn't. An entry that was answered with `Ok`
    /// survives power loss.
    ///
    /// # Errors
    ///
    /// When the engine can't keep it: then the change mustn't be made.
    fn announce<'a>(
        &'a self,
        tenant: &'a TenantId,
        note: Note,
    ) -> StoreFuture<'a, Result<(), AuditError>>;
}

/// What a change says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When, by the node's clock.
    pub at: UnixMillis,
    /// Who: the name and id of a token, or the node itself.
    pub actor: String,
    /// What was done.
    pub action: Action,
    /// To what: an app, a token, a tenant.
    pub subject: String,
    /// The rest that a reader wants to know. No secret. At most [`DETAIL_BYTES_MAX`]; more is cut.
    pub detail: String,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Counts up; never used twice.
    pub number: u64,
    /// Whose things were changed; `None` for the node's.
    pub tenant: Option<TenantId>,
    /// What happened.
    pub note: Note,
}

/// What can be done to a node's things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// A version was deployed, and got all or some requests.
    Deploy,
    /// A version that was there got all or some requests.
    Promote,
    /// Traffic went back.
    Rollback,
    /// An app was removed.
    RemoveApp,
    /// A tenant was made, or its quotas changed.
    PutTenant,
    /// A tenant was removed.
    RemoveTenant,
    /// A token was made.
    PutToken,
    /// A token was revoked.
    RemoveToken,
    /// Values were put into an app's key-value data.
    PutValues,
    /// Values were removed from an app's key-value data.
    RemoveValues,
    /// Answers that were kept were forgotten.
    PurgeCache,
    /// A secret got a new value.
    SetSecret,
    /// A secret went back to another value.
    RollbackSecret,
    /// A secret was removed.
    RemoveSecret,
    /// Secrets were sealed anew under another key.
    RotateSecretsKey,
    /// A message was sent to a queue, or a schedule run by hand.
    SendMessages,
    /// Messages were removed from a queue or a schedule.
    PurgeMessages,
    /// Dead messages are delivered again.
    RetryMessages,
    /// A queue or a schedule was paused.
    PauseTrigger,
    /// A queue or a schedule goes on.
    ResumeTrigger,
    /// A blob was put into a container of an app.
    PutBlobs,
    /// A blob was removed from a container of an app.
    RemoveBlobs,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 22] = [
        Self::Deploy,
        Self::Promote,
        Self::Rollback,
        Self::RemoveApp,
        Self::PutTenant,
        Self::RemoveTenant,
        Self::PutToken,
        Self::RemoveToken,
        Self::PutValues,
        Self::RemoveValues,
        Self::PurgeCache,
        Self::SetSecret,
        Self::RollbackSecret,
        Self::RemoveSecret,
        Self::RotateSecretsKey,
        Self::SendMessages,
        Self::PurgeMessages,
        Self::RetryMessages,
        Self::PauseTrigger,
        Self::ResumeTrigger,
        Self::PutBlobs,
        Self::RemoveBlobs,
    ];

    /// The word for it in rows and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::RemoveApp => "remove-app",
            Self::PutTenant => "put-tenant",
            Self::RemoveTenant => "remove-tenant",
            Self::PutToken => "put-token",
            Self::RemoveToken => "remove-token",
            Self::PutValues => "put-values",
            Self::RemoveValues => "remove-values",
            Self::PurgeCache => "purge-cache",
            Self::SetSecret => "set-secret",
            Self::RollbackSecret => "rollback-secret",
            Self::RemoveSecret => "remove-secret",
            Self::RotateSecretsKey => "rotate-secrets-key",
            Self::SendMessages => "send-messages",
            Self::PurgeMessages => "purge-messages",
            Self::RetryMessages => "retry-messages",
            Self::PauseTrigger => "pause-trigger",
            Self::ResumeTrigger => "resume-trigger",
            Self::PutBlobs => "put-blobs",
            Self::RemoveBlobs => "remove-blobs",
        }
    }

    /// The action of that word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// The audit log can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the store failed to read or write the audit log")]
pub struct AuditError(#[source] pub EngineError);
