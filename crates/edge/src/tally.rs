//! What the requests of a function, or for the files of a version, used, added up until somebody asks.
//!
//! Owns the sums, by how requests started and how they ended. Adding takes no lock, and threads add in different
//! places; a combination that never occurred takes no memory. Knows nothing of hours, tenants or where sums go.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use everwarm_engine::stripes::{self, STRIPES};
use everwarm_engine::usage::Usage;
use http::StatusCode;

use crate::meter::Start;

/// How requests start.
const STARTS: [Start; 4] = [Start::Warm, Start::Disk, Start::Asset, Start::Cache];
/// Hundreds of a status: 0 (none that HTTP knows) to 5, and 499 and the like are 4.
const CLASSES: usize = 6;
/// Upper ends of the latency buckets, in microseconds: from what a warm hello takes to what a model takes.
pub const LATENCY_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000, 30_000_000,
];

/// What a function's requests used since it was last asked, and how long they took since the node started.
#[derive(Debug, Default)]
pub struct Tally {
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
}

/// What the threads of one place added.
#[derive(Debug, Default)]
struct Stripe {
    cells: [[OnceLock<Box<Cell>>; CLASSES]; STARTS.len()],
    latency: Latency,
}

/// Sums of requests that started and ended alike.
#[derive(Debug, Default)]
struct Cell {
    /// Since the node started: what metrics show. The others are since they were last taken.
    ever: AtomicU64,
    requests: AtomicU64,
    cpu_us: AtomicU64,
    wall_us: AtomicU64,
    byte_ms: AtomicU64,
    memory_peak_bytes: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Latency {
    /// The last counts what is beyond all buckets.
    counts: [AtomicU64; LATENCY_US.len() + 1],
    sum_us: AtomicU64,
}

/// Sums, as they were when they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Requests.
    pub requests: u64,
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Wall time in microseconds.
    pub wall_us: u64,
    /// Peak memory times wall time, in byte-milliseconds.
    pub byte_ms: u64,
    /// The largest peak, in bytes.
    pub memory_peak_bytes: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
}

/// How long requests took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyCounts {
    /// How many took at most as long as each of [`LATENCY_US`] and longer than the one before; the last: longer
    /// than all.
    pub counts: [u64; LATENCY_US.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

/// How requests started and ended that were added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// How they got their function, or that they are files.
    pub start: Start,
    /// The hundreds of their status.
    pub status_class: u8,
}

impl Tally {
    /// Adds a request whose books are closed.
    pub fn add(&self, start: Start, status: StatusCode, usage: &Usage) {
        let stripe = self.stripes[stripes::mine()].get_or_init(Box::default);
        let class = usize::from(status.as_u16() / 100);
        let row = &stripe.cells[start as usize];
        let cell = row[if class < CLASSES { class } else { 0 }].get_or_init(Box::default);
        let wall_us = micros(usage.wall);
        let byte_ms = u128::from(usage.memory_peak_bytes) * u128::from(wall_us) / 1_000;
        for (sum, more) in [
            (&cell.ever, 1),
            (&cell.requests, 1),
            (&cell.cpu_us, micros(usage.cpu)),
            (&cell.wall_us, wall_us),
            (&cell.byte_ms, u64::try_from(byte_ms).unwrap_or(u64::MAX)),
            (&cell.bytes_in, usage.bytes_in),
            (&cell.bytes_out, usage.bytes_out),
        ] {
            sum.fetch_add(more, Ordering::Relaxed);
        }
        let peak = usage.memory_peak_bytes;
        // Nearly always it is no larger than before: looking is cheaper than writing.
        if cell.memory_peak_bytes.load(Ordering::Relaxed) < peak {
            cell.memory_peak_bytes.fetch_max(peak, Ordering::Relaxed);
        }
        let bucket = LATENCY_US.partition_point(|end_us| *end_us < wall_us);
        stripe.latency.counts[bucket].fetch_add(1, Ordering::Relaxed);
        stripe.latency.sum_us.fetch_add(wall_us, Ordering::Relaxed);
    }

    /// Takes the sums away: each request is in one answer only.
    pub fn take(&self) -> Vec<(Kind, Sums)> {
        let mut taken = Vec::new();
        for kind in Kind::all() {
            let sums = self
                .cells(kind)
                .map(Cell::take)
                .fold(Sums::default(), Sums::and);
            if sums != Sums::default() {
                taken.push((kind, sums));
            }
        }
        taken
    }

    /// Whether there is nothing to take.
    pub fn is_taken(&self) -> bool {
        Kind::all()
            .flat_map(|kind| self.cells(kind))
            .all(|cell| cell.requests.load(Ordering::Relaxed) == 0)
    }

    /// How many requests there were since the node started.
    pub fn requests(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::all().filter_map(|kind| {
            let counts = self
                .cells(kind)
                .map(|cell| cell.ever.load(Ordering::Relaxed));
            counts.reduce(u64::wrapping_add).map(|count| (kind, count))
        })
    }

    /// How long they took. `None` when there were none.
    pub fn latency(&self) -> Option<LatencyCounts> {
        let mut stripes = self.stripes().peekable();
        stripes.peek()?;
        let mut all = LatencyCounts {
            counts: Default::default(),
            sum_us: 0,
        };
        for Stripe { latency, .. } in stripes {
            for (sum, count) in all.counts.iter_mut().zip(&latency.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
            all.sum_us += latency.sum_us.load(Ordering::Relaxed);
        }
        Some(all)
    }

    fn stripes(&self) -> impl Iterator<Item = &Stripe> {
        self.stripes
            .iter()
            .filter_map(|stripe| Some(&**stripe.get()?))
    }

    /// The sums of a kind, one for each place where there was such a request.
    fn cells(&self, kind: Kind) -> impl Iterator<Item = &Cell> {
        self.stripes().filter_map(move |stripe| {
            let row = &stripe.cells[kind.start as usize];
            Some(&**row[usize::from(kind.status_class)].get()?)
        })
    }
}

impl Kind {
    fn all() -> impl Iterator<Item = Self> {
        let classes = 0..u8::try_from(CLASSES).unwrap_or(0);
        STARTS.into_iter().flat_map(move |start| {
            classes.clone().map(move |status_class| Self {
                start,
                status_class,
            })
        })
    }
}

impl Cell {
    fn take(&self) -> Sums {
        let take = |sum: &AtomicU64| sum.swap(0, Ordering::Relaxed);
        Sums {
            requests: take(&self.requests),
            cpu_us: take(&self.cpu_us),
            wall_us: take(&self.wall_us),
            byte_ms: take(&self.byte_ms),
            memory_peak_bytes: take(&self.memory_peak_bytes),
            bytes_in: take(&self.bytes_in),
            bytes_out: take(&self.bytes_out),
        }
    }
}

impl Sums {
    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            cpu_us: self.cpu_us + other.cpu_us,
            wall_us: self.wall_us + other.wall_us,
            byte_ms: self.byte_ms.saturating_add(other.byte_ms),
            memory_peak_bytes: self.memory_peak_bytes.max(other.memory_peak_bytes),
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(wall_us: u64, memory_peak_bytes: u64) -> Usage {
        Usage {
            cpu: Duration::from_micros(10),
            wall: Duration::from_micros(wall_us),
            memory_peak_bytes,
            bytes_in: 1,
            bytes_out: 2,
            status: None,
            fault: None,
        }
    }

    #[test]
    fn sums_are_taken_once_and_kept_apart_by_start_and_status() {
        let tally = Tally::default();
        assert_eq!(tally.take(), []);
        tally.add(Start::Warm, StatusCode::OK, &usage(2_000, 1_000));
        tally.add(Start::Warm, StatusCode::CREATED, &usage(4_000, 500));
        tally.add(Start::Disk, StatusCode::BAD_GATEWAY, &usage(1_000, 7));
        let taken = tally.take();
        let kinds: Vec<_> = taken
            .iter()
            .map(|(kind, sums)| (kind.start, kind.status_class, sums.requests))
            .collect();
        assert_eq!(kinds, [(Start::Warm, 2, 2), (Start::Disk, 5, 1)]);
        let expected = Sums {
            requests: 2,
            cpu_us: 20,
            wall_us: 6_000,
            byte_ms: 2 * 1_000 + 4 * 500,
            memory_peak_bytes: 1_000,
            bytes_in: 2,
            bytes_out: 4,
        };
        assert_eq!(taken[0].1, expected);
        assert_eq!(tally.take(), []);
        // Metrics go on counting.
        assert_eq!(tally.requests().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[test]
    fn what_threads_add_is_one_sum() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for peak in 0..2 * STRIPES as u64 {
                let tally = &tally;
                scope.spawn(move || {
                    tally.add(Start::Warm, StatusCode::OK, &usage(1_000, peak));
                });
            }
        });
        assert_eq!(tally.latency().unwrap().counts[4], 2 * STRIPES as u64);
        assert_eq!(tally.requests().next().unwrap().1, 2 * STRIPES as u64);
        let [(_, sums)] = tally.take()[..] else {
            panic!("all of one kind");
        };
        assert_eq!(sums.requests, 2 * STRIPES as u64);
        assert_eq!(sums.memory_peak_bytes, 2 * STRIPES as u64 - 1);
        assert!(tally.is_taken());
    }

    #[test]
    fn latency_is_counted_in_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        assert_eq!(tally.latency(), None);
        for wall_us in [0, 50, 51, 30_000_000, 30_000_001] {
            tally.add(Start::Warm, StatusCode::OK, &usage(wall_us, 0));
        }
        let latency = tally.latency().unwrap();
        assert_eq!((latency.counts[0], latency.counts[1]), (2, 1));
        assert_eq!((latency.counts[15], latency.counts[16]), (1, 1));
        assert_eq!(latency.counts.iter().sum::<u64>(), 5);
        assert_eq!(latency.sum_us, 101 + 60_000_001);
    }
}
