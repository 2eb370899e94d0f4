//! Why an operation didn't succeed, as a client tells it.

use http::Uri;

use crate::problem::Problem;

/// An operation didn't succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node said why.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The node couldn't be asked.
    #[error(
        "can't reach the node at {node}: {reason}. Is it running, and is this its admin address?"
    )]
    Unreachable {
        /// Which node.
        node: Uri,
        /// Why.
        reason: String,
    },
    /// Nobody that is trusted vouches for the node.
    #[error(
        "the certificate of the node at {node} isn't trusted: {reason}. If it is from an authority of your own, log in \
         with that authority's certificate: `everwarm login {} --ca FILE`",
        .node.to_string().trim_end_matches('/')
    )]
    Untrusted {
        /// Which node.
        node: Uri,
        /// Why.
        reason: String,
    },
    /// The authority's certificate can't be used.
    #[error("the authority's certificate can't be used: {0}")]
    Authority(String),
    /// What answered isn't a node's admin API.
    #[error(
        "{node} answered something that is no admin API of a node ({reason}): is this its admin address?"
    )]
    Strange {
        /// Which node.
        node: Uri,
        /// What was strange.
        reason: String,
    },
    /// The address isn't one.
    #[error(
        "`{0}` is no address of a node: write it as `http://127.0.0.1:3001` or `https://node.example.com:3001`"
    )]
    Address(String),
    /// A tenant's name or a key that can't be sent.
    #[error("`{0}` can't be sent: it has characters that no header has")]
    Header(String),
}

impl ClientError {
    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &str {
        match self {
            Self::Problem(problem) => &problem.code,
            Self::Unreachable { .. } | Self::Strange { .. } => "EW5001",
            Self::Untrusted { .. } | Self::Authority(_) => "EW4034",
            Self::Address(_) | Self::Header(_) => "EW5002",
        }
    }
}
