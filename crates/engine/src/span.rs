//! What is done for a request elsewhere, as a part of its trace: the port behind which spans are recorded.
//!
//! Owns that a span is recorded once, when it is over, however it ends, and only for requests that are sampled. Where
//! spans go is decided behind [`Spans`]; what is said of one is its capability's. Nothing that a guest keeps secret is: no
//! values, no queries of URLs, no parameters.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::function::FunctionSpec;
use crate::sandbox::Sandbox;
use crate::trace::{Context, SpanId};

/// Takes spans that are over. Called on data-plane threads, so it must neither block nor wait.
pub trait Spans: Send + Sync + 'static {
    /// Takes one.
    fn record(&self, span: Span);
}

/// A span that is over.
#[derive(Debug)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// Of what kind it was.
    pub kind: Kind,
    /// As others were told of it.
    pub context: Context,
    /// The span of the request that it was done for.
    pub parent: SpanId,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// The function that had it done.
    pub function: Arc<FunctionSpec>,
    /// What is said of it besides.
    pub facts: Vec<(&'static str, Fact)>,
    /// How it failed, if it did.
    pub failed: Option<&'static str>,
}

/// The kinds of spans that there are below a request's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody else was asked.
    Client,
    /// Something was left for somebody to handle later.
    Producer,
}

/// A fact of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// A span that isn't over yet. Dropping it ends it.
pub struct Ongoing {
    spans: Arc<dyn Spans>,
    started: Instant,
    /// In a box, since futures that nobody traces have room for it too.
    span: Option<Box<Span>>,
}

impl Ongoing {
    /// Says something of it.
    pub fn fact(&mut self, name: &'static str, fact: impl Into<Fact>) {
        if let Some(span) = &mut self.span {
            span.facts.push((name, fact.into()));
        }
    }

    /// Says that it failed, and how: one of few words, never what a guest or a server said.
    pub fn failed(&mut self, how: &'static str) {
        if let Some(span) = &mut self.span {
            span.failed = Some(how);
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.took = self.started.elapsed();
            self.spans.record(*span);
        }
    }
}

impl std::fmt::Debug for Ongoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ongoing")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Fact {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Fact {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Sandbox {
    /// Begins a span of what is done now for the guest's request. `None` when it isn't recorded: nothing has to be said
    /// of it then.
    pub fn begin_span(&mut self, name: &'static str, kind: Kind) -> Option<Ongoing> {
        // Most requests aren't.
        if !self.chains.request()?.is_sampled() {
            return None;
        }
        let context = self.next_child()?;
        self.ongoing(name, kind, context)
    }

    /// The span of the next thing that is done elsewhere for the guest's request, as those who do it are told of it,
    /// whether it is recorded or not.
    pub fn next_child(&mut self) -> Option<Context> {
        let child = self.chains.request()?.child(self.children);
        self.children = self.children.wrapping_add(1);
        Some(child)
    }

    /// The span of something that others are told of as `context`, if it is recorded.
    pub fn ongoing(&self, name: &'static str, kind: Kind, context: Context) -> Option<Ongoing> {
        if !context.sampled {
            return None;
        }
        let spans = self.function.configured.spans()?;
        let parent = self.chains.request()?.context().span;
        Some(Ongoing {
            spans: Arc::clone(spans),
            started: Instant::now(),
            span: Some(Box::new(Span {
                name,
                kind,
                context,
                parent,
                began: SystemTime::now(),
                took: Duration::ZERO,
                function: Arc::clone(&self.function.spec),
                facts: Vec::new(),
                failed: None,
            })),
        })
    }
}
