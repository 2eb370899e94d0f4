//! `wrk`, for throughput and latency under load. A run with a single wrong answer is an error.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// Connections of the standard run.
pub(crate) const CONNECTIONS: usize = 32;

/// What one run of `wrk` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    pub(crate) requests: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Why `wrk` can't be used, in plain words.
pub(crate) fn missing() -> Option<String> {
    // `wrk --version` exits with 1.
    let found = Command::new("wrk")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found
        .is_err()
        .then(|| "wrk is not installed: `apt-get install wrk` on Debian".to_owned())
}

/// Loads `GET path` with one thread for this time.
///
/// # Errors
/// When `wrk` fails, or anything but 2xx comes back.
pub(crate) fn run(address: SocketAddr, path: &str, time: Duration) -> anyhow::Result<Run> {
    let output = Command::new("wrk")
        .args(["-t1", "--latency", "--timeout", "10s"])
        .arg(format!("-c{CONNECTIONS}"))
        .arg(format!("-d{}s", time.as_secs()))
        .arg(format!("http://{address}{path}"))
        .output()
        .context("could not start wrk: `apt-get install wrk` on Debian")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "wrk failed ({}): {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<Run> {
    for bad in ["Non-2xx", "Socket errors"] {
        if let Some(line) = text.lines().find(|line| line.contains(bad)) {
            bail!("wrk saw failed requests: {}", line.trim());
        }
    }
    let after = |prefix: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(prefix))
            .map(str::trim)
            .with_context(|| format!("wrk printed no `{prefix}`"))
    };
    let requests = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .context("wrk printed no count of requests")?;
    Ok(Run {
        requests: requests.0.parse()?,
        requests_per_second: after("Requests/sec:")?.parse()?,
        p50_us: microseconds(after("50%")?)?,
        p99_us: microseconds(after("99%")?)?,
    })
}

/// `1.23ms` and the like in microseconds.
fn microseconds(text: &str) -> anyhow::Result<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .with_context(|| format!("`{text}` is no duration"))?;
    Ok(number.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 5s test @ http://127.0.0.1:3000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   304.05us  244.25us   7.72ms   94.99%
    Req/Sec    99.01k     5.97k  105.75k    80.00%
  Latency Distribution
     50%  271.00us
     75%  305.00us
     90%  361.00us
     99%    1.56ms
  492537 requests in 5.00s, 62.48MB read
Requests/sec:  98490.37
Transfer/sec:     12.49MB
";

    #[test]
    fn output_is_read() {
        let run = parse(OUTPUT).expect("this is what wrk prints");
        let expected = Run {
            requests: 492_537.0,
            requests_per_second: 98_490.37,
            p50_us: 271.0,
            p99_us: 1_560.0,
        };
        assert_eq!(run, expected);
    }

    #[test]
    fn run_with_failed_requests_is_an_error() {
        let text = format!("{OUTPUT}  Non-2xx or 3xx responses: 12\n");
        let error = parse(&text).expect_err("twelve requests failed");
        assert!(error.to_string().contains("12"), "{error}");
    }
}
