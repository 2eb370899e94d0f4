//! Blobs of apps: what is known of them. Their bytes travel as they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Bytes of a blob.
pub const BLOB_BYTES_MAX: u64 = 5 << 30;

/// What is known of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobInfo {
    /// Its name in its container: 1 to 1,024 bytes of UTF-8 without control characters. No path, whatever is in it.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Names its contents.
    pub etag: String,
    /// What it is, as in HTTP. Absent: its writer didn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// When it was written, in milliseconds since 1970.
    pub created_ms: u64,
}

/// Blobs of a container, in the order of their names' bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobPage {
    /// What is on this page.
    pub items: Vec<BlobInfo>,
    /// The value of `after` that asks for the next page. Absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What came of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlobRemoved {
    /// Whether there was such a blob.
    pub removed: bool,
}
