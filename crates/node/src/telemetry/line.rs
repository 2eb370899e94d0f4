//! A line of what functions printed or what is said of them, and which lines are asked for.
//!
//! Owns how long a line may be and what it takes. Knows nothing of who keeps it.

use std::sync::Arc;

use everwarm_edge::meter::{Answerer, RequestId};
use everwarm_host::Level;
use everwarm_manifest::FunctionName;
use everwarm_store::catalog::UnixMillis;

/// Bytes of one line; a longer one is cut.
pub(super) const LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes that a line takes besides its text.
const LINE_OVERHEAD: usize = size_of::<Line>();

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The function's standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// `wasi:logging`.
    Log,
    /// What the node says of the function.
    Node,
    /// A request that is over.
    Access,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Stdout,
        Self::Stderr,
        Self::Log,
        Self::Node,
        Self::Access,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Node => "node",
            Self::Access => "access",
        }
    }
}

/// A line.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was written.
    pub at: UnixMillis,
    /// Where it comes from.
    pub source: Source,
    /// The function of a version that it is about.
    pub function: FunctionName,
    /// The version.
    pub version: Arc<str>,
    /// The request that it was written for, where that is known and not in the line itself.
    pub request: Option<Request>,
    /// What a function says of a line by `wasi:logging`.
    pub log: Option<Logged>,
    /// The line.
    pub text: Box<str>,
}

/// The request of a line.
#[derive(Debug, Clone)]
pub enum Request {
    /// One of this process.
    Of(RequestId),
    /// One of a process before.
    Before {
        /// Its name.
        id: Box<str>,
        /// Its trace.
        trace: Box<str>,
    },
}

impl Request {
    /// Its name.
    pub fn id(&self) -> String {
        match self {
            Self::Of(id) => id.to_string(),
            Self::Before { id, .. } => id.to_string(),
        }
    }

    /// What it takes besides its own size.
    fn bytes(&self) -> usize {
        match self {
            Self::Of(id) => id.bytes(),
            Self::Before { id, trace } => id.len() + trace.len(),
        }
    }

    /// The trace that it is a part of.
    pub fn trace(&self) -> String {
        match self {
            Self::Of(id) => id.trace().to_string(),
            Self::Before { trace, .. } => trace.to_string(),
        }
    }
}

/// What a function says of a line.
#[derive(Debug, Clone)]
pub struct Logged {
    /// How much it matters.
    pub level: Level,
    /// What belongs together.
    pub context: Box<str>,
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those after the line with this number.
    pub after: Option<u64>,
    /// So many at most.
    pub limit: usize,
    /// Of this version, or those whose digest begins so.
    pub version: Option<String>,
    /// Of this function.
    pub function: Option<String>,
    /// From this time on.
    pub since: Option<UnixMillis>,
}

impl Line {
    /// A line of no request that is known; its text is cut.
    pub(super) fn new(at: UnixMillis, source: Source, answerer: &Answerer, text: &str) -> Self {
        Self {
            at,
            source,
            function: answerer.name().clone(),
            version: Arc::clone(answerer.version()),
            request: None,
            log: None,
            text: cut(text).into(),
        }
    }

    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let context = self.log.as_ref().map_or(0, |log| log.context.len());
        let named = self.request.as_ref().map_or(0, Request::bytes);
        self.text.len() + context + named + LINE_OVERHEAD
    }

    /// Whether it is asked for, its place in the row aside.
    pub(super) fn is_of(&self, filter: &Filter) -> bool {
        let digits = |text: &str| text.trim_start_matches("sha256:").to_owned();
        filter.since.is_none_or(|since| self.at.0 >= since.0)
            && filter
                .function
                .as_ref()
                .is_none_or(|name| self.function.as_str() == name)
            && filter
                .version
                .as_ref()
                .is_none_or(|version| digits(&self.version).starts_with(&digits(version)))
    }
}

fn cut(text: &str) -> &str {
    let text = text.trim_end_matches(['\n', '\r']);
    &text[..text.floor_char_boundary(LINE_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_is_cut_between_characters() {
        let text = "\u{e9}".repeat(LINE_BYTES_MAX);
        assert!(cut(&format!("x{text}")).len() < LINE_BYTES_MAX);
        assert_eq!(cut("line\r\n"), "line");
    }
}
