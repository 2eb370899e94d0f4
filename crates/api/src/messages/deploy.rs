//! A deploy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::apps::{Traffic, Version};

/// A version to be deployed. Its components have been uploaded before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The text of its `everwarm.toml`.
    pub manifest: String,
    /// The digest of each function's component.
    pub components: BTreeMap<String, String>,
    /// Its part of the requests. Absent: all of them; 0: none, it only has its preview URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 99)]
    pub percent: Option<u8>,
    /// Requests with the same value of this field go to the same version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_header: Option<String>,
    /// A request that the new version has to answer before it gets any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
}

/// A request that a version has to answer with 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// Its path.
    pub path: String,
}

/// A deploy that went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// The app.
    pub app: String,
    /// The version.
    pub version: Version,
    /// Who gets which requests now. Absent when the app has never had a version that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Where the app answers.
    pub urls: Vec<String>,
    /// How long each stage took.
    pub stages: Vec<StageTime>,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Milliseconds.
    pub ms: f64,
}

/// Times are measured and never NaN.
impl Eq for StageTime {}
