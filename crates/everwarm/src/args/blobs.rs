//! What can be typed about where blobs are. Keys never are: they come from a file, a credential or the environment.

use std::path::PathBuf;

use clap::ValueHint;
use everwarm_manifest::Millis;
use everwarm_node::s3::{BucketName, ObjectPrefix, S3Endpoint, S3Region};

/// Where blobs are; files in the data folder unless a server is said.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the names are the flags'")]
pub(crate) struct BlobsArgs {
    /// An S3 server that keeps blobs, by its `https://` address [default: none, they are files]
    #[arg(long, value_name = "URL", env = "EVERWARM_BLOBS_S3_ENDPOINT")]
    pub(crate) blobs_s3_endpoint: Option<S3Endpoint>,
    /// The bucket that they are in
    #[arg(long, value_name = "NAME", env = "EVERWARM_BLOBS_S3_BUCKET")]
    pub(crate) blobs_s3_bucket: Option<BucketName>,
    /// What their objects' names begin with; nobody else's may [default: everwarm]
    #[arg(long, value_name = "PREFIX", env = "EVERWARM_BLOBS_S3_PREFIX")]
    pub(crate) blobs_s3_prefix: Option<ObjectPrefix>,
    /// The region that requests are signed for [default: us-east-1]
    #[arg(long, value_name = "REGION", env = "EVERWARM_BLOBS_S3_REGION")]
    pub(crate) blobs_s3_region: Option<S3Region>,
    /// The bucket's name is a part of the host instead of the path
    #[arg(long, env = "EVERWARM_BLOBS_S3_VIRTUAL_HOST")]
    pub(crate) blobs_s3_virtual_host: bool,
    /// The server may be spoken with in the clear
    #[arg(long, env = "EVERWARM_BLOBS_S3_ALLOW_HTTP")]
    pub(crate) blobs_s3_allow_http: bool,
    /// A file with the lines AWS_ACCESS_KEY_ID=... and AWS_SECRET_ACCESS_KEY=..., which nobody else may read [default:
    /// systemd's credential everwarm-blobs-s3, or the environment]
    #[arg(long, value_name = "FILE", env = "EVERWARM_BLOBS_S3_KEYS_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) blobs_s3_keys_file: Option<PathBuf>,
    /// How long the server may be silent [default: 10s]
    #[arg(long, value_name = "TIME", env = "EVERWARM_BLOBS_S3_SILENCE_MAX")]
    pub(crate) blobs_s3_silence_max: Option<Millis>,
}
