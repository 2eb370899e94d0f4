//! A deploy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::apps::{Traffic, Version};

/// A version to be deployed. Its components and its assets have been uploaded before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// The text of its `everwarm.toml`.
    pub manifest: String,
    /// The digest of each function's component. A name that is there twice is an error.
    #[serde(deserialize_with = "names_once")]
    pub components: BTreeMap<String, String>,
    /// The digest of the bundle of its assets. Absent where the manifest has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<String>,
    /// The migrations of each of its SQL databases that has some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub migrations: BTreeMap<String, Vec<MigrationFile>>,
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

/// A migration of an SQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrationFile {
    /// The file's name: `0001_what_it_does.sql`.
    pub name: String,
    /// Its statements.
    pub text: String,
}

/// Reads an object that has each of its names once: of two digests, nobody could tell which one was meant.
fn names_once<'de, D>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error>
where
    D: Deserializer<'de>,
{
    struct Names;

    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a digest for each function")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut digests = BTreeMap::new();
            while let Some((name, digest)) = map.next_entry::<String, String>()? {
                match digests.entry(name) {
                    Entry::Vacant(free) => free.insert(digest),
                    Entry::Occupied(taken) => {
                        let name = taken.key();
                        return Err(A::Error::custom(format_args!(
                            "the function `{name}` is there twice: send it once"
                        )));
                    }
                };
            }
            Ok(digests)
        }
    }

    deserializer.deserialize_map(Names)
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

#[cfg(test)]
mod tests {
    use super::Deploy;

    #[test]
    fn function_that_is_there_twice_is_refused_by_name() {
        let parse = |components: &str| {
            let text = format!(r#"{{"manifest":"","components":{components}}}"#);
            serde_json::from_str::<Deploy>(&text)
        };
        let both = parse(r#"{"f":"sha256:1","g":"sha256:2"}"#).expect("two functions");
        assert_eq!(both.components["g"], "sha256:2");
        let error = parse(r#"{"f":"sha256:1","f":"sha256:1"}"#).expect_err("it is there twice");
        assert!(error.to_string().contains("`f` is there twice"), "{error}");
    }
}
