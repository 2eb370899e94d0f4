//! Calls to other functions of the same app: their names, how deep they may go, how long they may take.

use everwarm_engine::outbound::{Chain, SendError, SendFuture, Subrequest, Timeouts};
use everwarm_manifest::{HttpScheme, HttpTarget, TargetHost};

/// What stands behind a function's name.
const DOMAIN: &str = ".everwarm.internal";
/// Calls from function to function, one behind the other.
const DEPTH_MAX: u8 = 8;

/// The name of the function that a target means, if it means one: `http://<name>.everwarm.internal`.
pub(super) fn name(target: &HttpTarget) -> Option<&str> {
    let TargetHost::Name(host) = &target.host else {
        return None;
    };
    let is_plain = target.scheme == HttpScheme::Http && target.port == target.scheme.default_port();
    let name = host.as_str().strip_suffix(DOMAIN)?;
    (is_plain && !name.contains('.')).then_some(name)
}

/// The call as the one who is called has it.
pub(super) fn one_deeper(subrequest: Subrequest) -> Result<Subrequest, SendError> {
    let depth = subrequest.chain.depth;
    if depth >= DEPTH_MAX {
        return Err(SendError::LoopDetected);
    }
    Ok(Subrequest {
        chain: Chain {
            depth: depth + 1,
            ..subrequest.chain
        },
        ..subrequest
    })
}

/// Gives a call up when the guest's patience with the response's head is over. In any case its function ends with the
/// caller's wall time.
pub(super) fn patiently(call: SendFuture, timeouts: Timeouts) -> SendFuture {
    let Some(first_byte) = timeouts.first_byte else {
        return call;
    };
    Box::pin(async move {
        let answered = tokio::time::timeout(first_byte, call).await;
        answered.unwrap_or(Err(SendError::ReadTimeout))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_is_named_by_one_label_in_the_clear_at_the_usual_port() {
        let named = |scheme, authority: &str| {
            let target = HttpTarget::parse(scheme, authority).unwrap();
            name(&target).map(str::to_owned)
        };
        let http = HttpScheme::Http;
        assert_eq!(
            named(http, "back.everwarm.internal").as_deref(),
            Some("back")
        );
        assert_eq!(
            named(http, "BACK.Everwarm.Internal.:80").as_deref(),
            Some("back")
        );
        for other in [
            "everwarm.internal",
            "internal",
            "a.b.everwarm.internal",
            "back.everwarm.internal:8080",
            "back.other.internal",
            "back.everwarm.internal.example",
        ] {
            assert_eq!(named(http, other), None, "{other}");
        }
        assert_eq!(named(HttpScheme::Https, "back.everwarm.internal"), None);
    }
}
