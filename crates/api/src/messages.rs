//! What is sent and answered, one file a concern. Names and digests travel as text and are checked by whoever
//! receives them.

mod accounts;
mod apps;
mod blobs;
mod cache;
mod deploy;
mod kv;
mod logs;
mod secrets;
mod triggers;
mod usage;

pub use accounts::{
    AuditEntry, AuditPage, Identity, NewToken, Quotas, Scope, SecretToken, Tenant, TenantPage,
    TokenInfo, TokenPage,
};
pub use apps::{
    App, AppPage, Canary, FunctionInfo, Rollback, SetTraffic, Traffic, Version, VersionPage,
};
pub use blobs::{BLOB_BYTES_MAX, BlobInfo, BlobPage, BlobRemoved};
pub use cache::{CachePurge, CachePurged, CacheUsage, PURGED_AT_ONCE_MAX};
pub use deploy::{Deploy, Deployed, HealthCheck, MigrationFile, StageTime};
pub use kv::{
    BATCH_BYTES_MAX, BATCH_MAX, Base64, KEY_BYTES_MAX, KvEntries, KvEntry, KvEntryError, KvKeyPage,
    KvKeys, KvPut, KvRemoved, KvValue, VALUE_BYTES_MAX,
};
pub use logs::{LogLine, LogPage, LogQuery};
pub use secrets::{KeyRotation, Secret, SecretPage, SecretRollback, SecretVersion};
pub use triggers::{
    Changed, MESSAGE_BYTES_MAX, MESSAGES_MAX, Message, MessagePage, MessageState, Retry,
    SentMessage, TriggerInfo, TriggerKind, TriggerPage,
};
pub use usage::{UsagePage, UsageRow};
