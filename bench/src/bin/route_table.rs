//! How fast a table of many routes is looked up, built and switched.
//!
//! Prints one line of JSON. It uses the edge's own table: there is no server, no socket and no function.
//!
//! Usage: `route_table ROUTES LOOKUPS`

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use everwarm_edge::router::RouteTable;
use everwarm_manifest::RoutePattern;

/// Look-ups that are timed together: a clock is read in tens of nanoseconds.
const TOGETHER: usize = 64;
/// Tables that are built, to have a median.
const BUILDS: usize = 11;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .context("usage: route_table ROUTES LOOKUPS")?;
    ensure!(arguments.len() == 2, "usage: route_table ROUTES LOOKUPS");
    let (routes, lookups) = (arguments[0], arguments[1]);
    let patterns: Vec<RoutePattern> = (0..routes)
        .map(|index| pattern(index).parse())
        .collect::<Result<_, _>>()?;
    let build = || RouteTable::build(patterns.iter().cloned().zip(0..));
    let mut builds: Vec<Duration> = (0..BUILDS)
        .map(|_| {
            let started = Instant::now();
            black_box(build().expect("no two routes are equal"));
            started.elapsed()
        })
        .collect();
    let mut table = build().expect("no two routes are equal");
    let mut times: Vec<Duration> = (0..lookups / TOGETHER)
        .map(|turn| {
            let asked: Vec<(String, String)> = (0..TOGETHER)
                .map(|index| request(scattered(turn * TOGETHER + index) % routes))
                .collect();
            let started = Instant::now();
            for (host, path) in &asked {
                let found = table.lookup(Some(host), path);
                assert!(black_box(found).is_some(), "{host}{path}");
            }
            started.elapsed() / u32::try_from(TOGETHER).expect("a small number")
        })
        .collect();
    let mut drops: Vec<Duration> = (0..BUILDS)
        .map(|_| {
            let table = build().expect("no two routes are equal");
            let started = Instant::now();
            drop(black_box(table));
            started.elapsed()
        })
        .collect();
    // A deploy of one app: its host's routes go, others come, and whoever was last lets the old table go.
    let mut changes: Vec<Duration> = (0..BUILDS)
        .map(|turn| {
            let gone: Vec<_> = patterns[turn * 10..turn * 10 + 10].to_vec();
            let new = gone.iter().cloned().zip(routes..);
            let started = Instant::now();
            let changed = table
                .changed(gone.clone(), new)
                .expect("no two routes are equal");
            drop(black_box(std::mem::replace(&mut table, changed)));
            started.elapsed()
        })
        .collect();
    println!(
        "{{\"build_ms\":{},\"drop_ms\":{},\"change_ms\":{},\"lookup_p50_ns\":{},\"lookup_p99_ns\":{}}}",
        percentile(&mut builds, 500).as_secs_f64() * 1e3,
        percentile(&mut drops, 500).as_secs_f64() * 1e3,
        percentile(&mut changes, 500).as_secs_f64() * 1e3,
        percentile(&mut times, 500).as_nanos(),
        percentile(&mut times, 990).as_nanos(),
    );
    Ok(())
}

/// Ten routes a host: what an app with a few functions has.
fn pattern(index: usize) -> String {
    let (app, route) = (index / 10, index % 10);
    match route {
        0 => format!("app-{app}.example.com/*"),
        1..=4 => format!("app-{app}.example.com/api/v{route}/*"),
        _ => format!("app-{app}.example.com/pages/{route}/about"),
    }
}

fn request(index: usize) -> (String, String) {
    let (app, route) = (index / 10, index % 10);
    let path = match route {
        0 => "/index.html".to_owned(),
        1..=4 => format!("/api/v{route}/users/4711"),
        _ => format!("/pages/{route}/about"),
    };
    (format!("app-{app}.example.com:3000"), path)
}

/// Numbers in an order that no cache knows (Knuth's multiplicative hash).
fn scattered(index: usize) -> usize {
    index.wrapping_mul(2_654_435_761) & 0x7fff_ffff
}

fn percentile(times: &mut [Duration], per_mille: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * per_mille / 1_000]
}
