//! What one function may use: its limits, their defaults and the bounds a manifest may choose within.
//! Doesn't enforce them: the engine and the edge do.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::quantity::{ByteSize, Millis};

/// What one request to a function, or all its requests at once, may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Linear memory and tables of one instance, in bytes.
    pub memory: ByteSize,
    /// On-CPU time of one request.
    pub cpu_time: Millis,
    /// Time from the request's head to the end of its response.
    pub wall_time: Millis,
    /// Requests that the function handles at the same time on one node.
    pub concurrency: NonZeroU32,
    /// Bytes of one request's body.
    pub request_body: ByteSize,
    /// Bytes of one response's body; may be [`ByteSize::UNLIMITED`].
    pub response_body: ByteSize,
    /// How long work may go on after the response has ended.
    pub background_time: Millis,
    /// Requests that the handling of one request may send.
    #[serde(default = "default_subrequests")]
    pub subrequests: u32,
    /// Bytes of the body of each such request, and of its response; may be [`ByteSize::UNLIMITED`].
    #[serde(default = "default_subrequest_body")]
    pub subrequest_body: ByteSize,
}

// Apps that were stored before these limits existed don't have them.
fn default_subrequests() -> u32 {
    SUBREQUESTS.default
}

fn default_subrequest_body() -> ByteSize {
    SUBREQUEST_BODY.default
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: MEMORY.default,
            cpu_time: CPU_TIME.default,
            wall_time: WALL_TIME.default,
            concurrency: CONCURRENCY.default,
            request_body: REQUEST_BODY.default,
            response_body: RESPONSE_BODY.default,
            background_time: BACKGROUND_TIME.default,
            subrequests: SUBREQUESTS.default,
            subrequest_body: SUBREQUEST_BODY.default,
        }
    }
}

/// What a manifest may choose for one limit, and what holds when it doesn't choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds<Q> {
    /// Holds when the manifest says nothing.
    pub default: Q,
    /// The least that is allowed.
    pub min: Q,
    /// The most that is allowed.
    pub max: Q,
}

impl<Q: PartialOrd + Copy> Bounds<Q> {
    /// Whether the manifest may choose `amount`.
    pub fn allow(&self, amount: Q) -> bool {
        self.min <= amount && amount <= self.max
    }

    /// The allowed amount that is nearest to `amount`.
    pub fn clamp(&self, amount: Q) -> Q {
        if amount < self.min {
            self.min
        } else if amount > self.max {
            self.max
        } else {
            amount
        }
    }
}

/// Memory: a Rust guest starts with about 1.1 MiB; 4 GiB is all that 32-bit Wasm can address.
pub const MEMORY: Bounds<ByteSize> = Bounds {
    default: ByteSize::mib(128),
    min: ByteSize::mib(1),
    max: ByteSize::gib(4),
};
/// CPU time: ten times what a busy handler needs by default; five minutes for batch work.
pub const CPU_TIME: Bounds<Millis> = Bounds {
    default: Millis::new(50),
    min: Millis::new(1),
    max: Millis::from_secs(300),
};
/// Wall time: long enough for a slow upstream by default; a day for long-lived streams.
pub const WALL_TIME: Bounds<Millis> = Bounds {
    default: Millis::from_secs(30),
    min: Millis::new(1),
    max: Millis::from_secs(24 * 3_600),
};
/// Concurrency: requests of one function at the same time on one node.
pub const CONCURRENCY: Bounds<NonZeroU32> = Bounds {
    default: NonZeroU32::new(1_000).expect("1,000 isn't zero"),
    min: NonZeroU32::MIN,
    max: NonZeroU32::new(100_000).expect("100,000 isn't zero"),
};
/// Request body: zero refuses every body.
pub const REQUEST_BODY: Bounds<ByteSize> = Bounds {
    default: ByteSize::mib(10),
    min: ByteSize::new(0),
    max: ByteSize::gib(16),
};
/// Response body: bounded by default, because every limit is on by default; `unlimited` is a choice.
pub const RESPONSE_BODY: Bounds<ByteSize> = Bounds {
    default: ByteSize::mib(100),
    min: ByteSize::new(0),
    max: ByteSize::UNLIMITED,
};
/// Background time: zero ends the instance with its response.
pub const BACKGROUND_TIME: Bounds<Millis> = Bounds {
    default: Millis::from_secs(30),
    min: Millis::new(0),
    max: Millis::from_secs(3_600),
};
/// Subrequests: plenty for one answer by default; zero sends none, whatever is granted.
pub const SUBREQUESTS: Bounds<u32> = Bounds {
    default: 100,
    min: 0,
    max: 10_000,
};
/// Subrequest body: as for responses.
pub const SUBREQUEST_BODY: Bounds<ByteSize> = Bounds {
    default: ByteSize::mib(100),
    min: ByteSize::new(0),
    max: ByteSize::UNLIMITED,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds() {
        let limits = Limits::default();
        assert!(MEMORY.allow(limits.memory));
        assert!(CPU_TIME.allow(limits.cpu_time));
        assert!(WALL_TIME.allow(limits.wall_time));
        assert!(CONCURRENCY.allow(limits.concurrency));
        assert!(REQUEST_BODY.allow(limits.request_body));
        assert!(RESPONSE_BODY.allow(limits.response_body));
        assert!(BACKGROUND_TIME.allow(limits.background_time));
        assert!(SUBREQUESTS.allow(limits.subrequests));
        assert!(SUBREQUEST_BODY.allow(limits.subrequest_body));
    }

    #[test]
    fn clamping_gives_the_nearest_allowed_amount() {
        assert_eq!(CPU_TIME.clamp(Millis::new(0)), Millis::new(1));
        assert_eq!(CPU_TIME.clamp(Millis::new(70)), Millis::new(70));
        assert_eq!(
            CPU_TIME.clamp(Millis::from_secs(301)),
            Millis::from_secs(300)
        );
    }

    #[test]
    fn limits_read_back_from_json() {
        let limits = Limits {
            response_body: ByteSize::UNLIMITED,
            ..Limits::default()
        };
        let json = serde_json::to_string(&limits).unwrap();
        assert!(json.contains(r#""memory":"128MiB""#), "{json}");
        assert_eq!(serde_json::from_str::<Limits>(&json).unwrap(), limits);
    }

    #[test]
    fn limits_that_were_stored_before_subrequests_read_back_with_the_defaults() {
        let mut stored = serde_json::to_value(Limits::default()).unwrap();
        let keys = stored.as_object_mut().unwrap();
        assert!(keys.remove("subrequests").is_some() && keys.remove("subrequest_body").is_some());
        assert_eq!(
            serde_json::from_value::<Limits>(stored).unwrap(),
            Limits::default()
        );
    }
}
