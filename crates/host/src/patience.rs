//! How long a call to something slow may take, of the time that is left to the request.

use std::time::Instant;

use everwarm_engine::Sandbox;

/// How much of the time that is left one call may take: the function is to hear that it took too long.
const PART_OF_TIME: f64 = 0.9;

/// Until when a call may take.
pub(crate) fn until(sandbox: &Sandbox) -> Option<Instant> {
    let now = Instant::now();
    let left = sandbox.deadline()?.saturating_duration_since(now);
    Some(now + left.mul_f64(PART_OF_TIME))
}

/// What comes of it until then. What is given up is ended by that.
pub(crate) async fn in_time<T>(
    until: Option<Instant>,
    asked: impl Future<Output = T>,
) -> Option<T> {
    match until {
        None => Some(asked.await),
        Some(until) => tokio::time::timeout_at(until.into(), asked).await.ok(),
    }
}
