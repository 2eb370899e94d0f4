//! The place of a request in a trace (W3C Trace Context), and what its function is told of it.
//!
//! Owns whose word counts: anybody may name a trace, which is only a name; whether it is recorded here is the node's own
//! decision, or a trusted proxy's.

use everwarm_engine::RequestId;
use everwarm_engine::outbound::SentFrom;
use everwarm_engine::trace::{self, Context, TRACEPARENT, TRACESTATE};
use http::{HeaderMap, HeaderName};

/// Whether it is one of the two fields.
pub(super) fn is_field(name: &HeaderName) -> bool {
    name == TRACEPARENT || name == TRACESTATE
}

/// The request as a part of the trace that its fields name. Where a function of the same app sent it, the node knows
/// better. `recorded` is how many are recorded, out of `u32::MAX`; without, what was said is passed on.
pub(super) fn traced(
    id: RequestId,
    headers: &HeaderMap,
    sent_from: Option<SentFrom>,
    is_believed: bool,
    recorded: Option<u32>,
) -> RequestId {
    if let Some(SentFrom {
        span: Some(span),
        state,
        sampled,
    }) = sent_from
    {
        return id.sent_from(span, state).sampled(sampled);
    }
    let sender = Context::of(headers);
    let sampled = match (recorded, sent_from, sender) {
        (_, Some(sent_from), _) => sent_from.sampled,
        (None, None, sender) => sender.is_some_and(|sender| sender.sampled),
        (Some(_), None, Some(sender)) if is_believed => sender.sampled,
        (Some(share), None, _) => trace::drawn(id.number(), share),
    };
    let id = match sender {
        Some(sender) => id.sent_from(sender, trace::state(headers)),
        None => id,
    };
    id.sampled(sampled)
}

/// Tells a function the request's own span, in the place of its sender's.
pub(crate) fn say(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(TRACEPARENT, id.context().field());
    // What belonged to a trace that nobody could read isn't passed on either.
    match id.state() {
        Some(state) => drop(headers.insert(TRACESTATE, state.clone())),
        None => drop(headers.remove(TRACESTATE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NONE: Option<u32> = Some(0);
    const ALL: Option<u32> = Some(u32::MAX);

    fn with(traceparent: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = traceparent {
            headers.insert(TRACEPARENT, value.parse().unwrap());
            headers.insert(TRACESTATE, "a=1".parse().unwrap());
        }
        headers
    }

    fn of(traceparent: Option<&'static str>, believed: bool, recorded: Option<u32>) -> RequestId {
        let id = RequestId::new(7, None);
        traced(id, &with(traceparent), None, believed, recorded)
    }

    #[test]
    fn anybody_names_a_trace_and_only_the_believed_have_it_recorded() {
        let id = of(Some(SAMPLED), false, NONE);
        assert_eq!(id.trace().to_string(), SAMPLED[3..35]);
        assert_eq!(id.parent().unwrap().to_string(), SAMPLED[36..52]);
        assert!(!id.is_sampled());
        assert!(of(Some(SAMPLED), true, NONE).is_sampled());
        assert!(of(Some(SAMPLED), false, ALL).is_sampled());
        let not = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        assert!(!of(Some(not), true, ALL).is_sampled());
        assert!(of(Some(not), false, ALL).is_sampled());
        assert!(of(None, true, ALL).is_sampled() && !of(None, true, NONE).is_sampled());
    }

    #[test]
    fn node_that_records_nothing_passes_on_what_was_said() {
        assert!(of(Some(SAMPLED), false, None).is_sampled());
        assert!(!of(None, false, None).is_sampled());
    }

    #[test]
    fn trace_that_nobody_can_read_is_begun_anew_and_its_state_goes() {
        let mut headers = with(Some("00-nonsense"));
        let id = traced(RequestId::new(7, None), &headers, None, true, ALL);
        assert_eq!(id.parent(), None);
        say(&mut headers, &id);
        assert_eq!(headers[TRACEPARENT], id.context().field());
        assert!(!headers.contains_key(TRACESTATE));

        let mut headers = with(Some(SAMPLED));
        let id = of(Some(SAMPLED), true, ALL);
        say(&mut headers, &id);
        assert_eq!(headers[TRACESTATE], "a=1");
        assert_eq!(
            headers[TRACEPARENT].to_str().unwrap()[3..35],
            SAMPLED[3..35]
        );
        assert_ne!(headers[TRACEPARENT], SAMPLED);
    }

    #[test]
    fn what_a_function_calls_is_recorded_with_it_whatever_it_says() {
        let sender = RequestId::new(1, None).sampled(true);
        let sent_from = SentFrom {
            span: Some(sender.child(0)),
            state: None,
            sampled: true,
        };
        let id = RequestId::new(7, None);
        let called = traced(
            id.clone(),
            &with(Some(SAMPLED)),
            Some(sent_from),
            true,
            NONE,
        );
        assert_eq!(called.trace(), sender.trace());
        assert!(called.is_sampled());
        // It traces by itself, which doesn't make it recorded.
        let own = Some(SentFrom::default());
        let called = traced(id, &with(Some(SAMPLED)), own, true, ALL);
        assert_eq!(called.trace().to_string(), SAMPLED[3..35]);
        assert!(!called.is_sampled());
    }
}
