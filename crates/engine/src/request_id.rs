//! Names one request: in logs, to whoever asked, and in the trace that it is a part of.
//!
//! Owns how the names come from one number. They are made when somebody looks: a request that nobody traces pays for
//! a number and what came with it, and for nothing else.

use std::sync::Arc;

use http::HeaderValue;

use crate::trace::{Context, SpanId, TraceId, write_digits};

/// Names one request: with what a trusted proxy called it, or else random for the process and counted within it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestId {
    number: u64,
    /// The span that it was sent from, if that is known; otherwise it begins a trace.
    parent: Option<Parent>,
    sampled: bool,
    given: Option<Arc<Given>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: TraceId,
    span: SpanId,
}

/// What few requests come with.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Given {
    name: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

impl RequestId {
    /// The name of the request with that number, `given` if it has one.
    pub fn new(number: u64, given: Option<HeaderValue>) -> Self {
        let given = given.map(|name| {
            Arc::new(Given {
                name: Some(name),
                state: None,
            })
        });
        Self {
            number,
            parent: None,
            sampled: false,
            given,
        }
    }

    /// The same request, as a part of the trace of the span that it was sent from.
    #[must_use]
    pub fn sent_from(mut self, sender: Context, state: Option<HeaderValue>) -> Self {
        self.parent = Some(Parent {
            trace: sender.trace,
            span: sender.span,
        });
        if state.is_some() {
            let name = self.given.as_ref().and_then(|given| given.name.clone());
            self.given = Some(Arc::new(Given { name, state }));
        }
        self
    }

    /// The same request, recorded or not.
    #[must_use]
    pub fn sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }

    /// Whether what belongs to the request is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Different for each request of the process, whatever it is called.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The trace.
    pub fn trace(&self) -> TraceId {
        match self.parent {
            Some(parent) => parent.trace,
            None => TraceId::begun_by(self.number),
        }
    }

    /// The request's own span.
    pub fn context(&self) -> Context {
        Context {
            trace: self.trace(),
            span: SpanId::of_request(self.number),
            sampled: self.sampled,
        }
    }

    /// The span of the `nth` thing that is done for the request elsewhere.
    pub fn child(&self, nth: u32) -> Context {
        let own = self.context();
        Context {
            span: own.span.child(nth),
            ..own
        }
    }

    /// The span that the request was sent from.
    pub fn parent(&self) -> Option<SpanId> {
        self.parent.map(|parent| parent.span)
    }

    /// What tracing systems keep with the trace.
    pub fn state(&self) -> Option<&HeaderValue> {
        self.given.as_ref()?.state.as_ref()
    }

    /// Bytes that it keeps besides its own size, with all who have the same.
    pub fn bytes(&self) -> usize {
        let Some(given) = &self.given else { return 0 };
        let values = [&given.name, &given.state].into_iter().flatten();
        size_of::<Given>() + values.map(HeaderValue::len).sum::<usize>()
    }

    fn name(&self) -> Option<&HeaderValue> {
        self.given.as_ref()?.name.as_ref()
    }

    /// The name as a field's value.
    pub fn field(&self) -> HeaderValue {
        if let Some(name) = self.name() {
            return name.clone();
        }
        let value = HeaderValue::from_bytes(&digits(self.number));
        value.expect("hexadecimal digits are a value")
    }

    /// Writes the name behind a text, without the machinery of formatting: every access line has one.
    pub fn push_to(&self, text: &mut String) {
        let digits = digits(self.number);
        let name = self.name().map_or(&digits[..], |name| name.as_bytes());
        // Both are ASCII.
        text.push_str(std::str::from_utf8(name).unwrap_or_default());
    }
}

fn digits(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    write_digits(&mut digits, &number.to_be_bytes());
    digits
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sixteen_digits_or_what_was_given() {
        for number in [0, 7, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = RequestId::new(number, None);
            assert_eq!(id.to_string(), format!("{number:016x}"));
            assert_eq!(id.field(), id.to_string());
        }
        let id = RequestId::new(1, Some(HeaderValue::from_static("abc")));
        assert_eq!(
            (id.to_string().as_str(), id.field()),
            ("abc", "abc".parse().unwrap())
        );
    }

    #[test]
    fn request_is_a_part_of_its_senders_trace_or_begins_one() {
        let first = RequestId::new(1, None).sampled(true);
        let (own, child) = (first.context(), first.child(0));
        assert_eq!(first.parent(), None);
        assert_eq!((own.trace, own.sampled), (child.trace, child.sampled));
        assert_ne!(own.span, child.span);
        assert_ne!(child.span, first.child(1).span);
        assert_ne!(own.trace, RequestId::new(2, None).trace());

        let state = HeaderValue::from_static("a=1");
        let second = RequestId::new(2, Some(HeaderValue::from_static("abc")));
        let second = second.sent_from(child, Some(state.clone()));
        assert_eq!(second.trace(), own.trace);
        assert_eq!(second.parent(), Some(child.span));
        assert_eq!(second.state(), Some(&state));
        assert_eq!(second.to_string(), "abc");
        assert_ne!(second.context().span, own.span);
        assert!(!second.is_sampled());
    }

    #[test]
    fn names_of_requests_that_nobody_named_are_small() {
        assert!(size_of::<RequestId>() <= 48);
    }
}
