//! Our own load generator: keep-alive connections on one thread, paced or flat out, every answer checked.
//!
//! Paced, the latency of a request counts from the moment at which it was meant to be sent, not from
//! when a connection was free: a server that stalls is charged for all who had to wait. `ppoll` with
//! the smallest timer slack wakes within microseconds of that moment, without burning a core.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Latencies;
use super::http::{self, Answer};

/// How long a run may go on without an answer to any of the requests that wait for one.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long the generator sleeps at most when nothing is due.
const SLEEP_TIME_MAX: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 16 * 1_024;

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// So many a second, whether or not earlier ones have been answered.
    PerSecond(NonZeroU64),
    /// The next one on each connection as soon as the last is answered.
    FlatOut,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Requests(u64),
}

/// What to send and what must come back.
pub(crate) struct Plan<'a> {
    pub(crate) address: SocketAddr,
    /// The host that is asked for; the address by default.
    pub(crate) host: Option<&'a str>,
    /// Taken in turn.
    pub(crate) paths: &'a [&'a str],
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) until: Until,
    /// Called with the index of the path and its answer.
    pub(crate) check: &'a dyn Fn(usize, &Answer) -> anyhow::Result<()>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) latencies: Latencies,
    pub(crate) elapsed: Duration,
}

/// Sends the plan's requests and waits for their answers.
///
/// # Errors
/// When a connection fails, an answer is wrong, or answers stay out.
pub(crate) fn run(plan: &Plan<'_>) -> anyhow::Result<Outcome> {
    // Where the system has no such setting, wake-ups are later by as much for every server.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    // The client of a real server is on another machine: what it waits for here must not be a CPU.
    #[cfg(feature = "node")]
    everwarm_node::be_prompt();
    let mut run = Running::connect(plan)?;
    while run.turn()? {}
    Ok(Outcome {
        latencies: Latencies::of(run.samples_ns),
        elapsed: run.started.elapsed(),
    })
}

/// One request that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Sent {
    meant_at: Instant,
    path: usize,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    waiting: Option<Sent>,
}

struct Running<'a> {
    plan: &'a Plan<'a>,
    requests: Vec<Vec<u8>>,
    connections: Vec<Connection>,
    idle: VecDeque<usize>,
    started: Instant,
    /// When a request was last sent or answered.
    last_progress: Instant,
    sent: u64,
    samples_ns: Vec<u64>,
}

impl<'a> Running<'a> {
    fn connect(plan: &'a Plan<'a>) -> anyhow::Result<Self> {
        let connections = (0..plan.connections)
            .map(|_| {
                let stream = TcpStream::connect(plan.address)
                    .with_context(|| format!("could not connect to {}", plan.address))?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Connection {
                    stream,
                    received: Vec::with_capacity(READ_BYTES),
                    waiting: None,
                })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self {
            plan,
            requests: plan
                .paths
                .iter()
                .map(|path| match plan.host {
                    Some(host) => http::request(host, path),
                    None => http::request(&plan.address.to_string(), path),
                })
                .collect(),
            idle: (0..connections.len()).collect(),
            connections,
            started: Instant::now(),
            last_progress: Instant::now(),
            sent: 0,
            samples_ns: Vec::new(),
        })
    }

    /// Sends what is due, waits for an answer or the next moment, and reads what came. False at the end.
    fn turn(&mut self) -> anyhow::Result<bool> {
        let now = Instant::now();
        let over = self.is_over(now);
        if !over {
            self.send_due(now)?;
        }
        let waiting = self.connections.len() - self.idle.len();
        if over && waiting == 0 {
            return Ok(false);
        }
        if waiting > 0 && now.duration_since(self.last_progress) > SILENCE_MAX {
            bail!(
                "{waiting} requests got no answer in {} s",
                SILENCE_MAX.as_secs()
            );
        }
        self.wait_and_read(over)?;
        Ok(true)
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.plan.until {
            // Nothing more becomes due after the end, but what was due by then is still sent.
            Until::Time(time) => {
                now.duration_since(self.started) >= time && self.sent >= self.due_at(time)
            }
            Until::Requests(count) => self.sent >= count,
        }
    }

    /// How many requests are due so long after the start.
    fn due_at(&self, since_start: Duration) -> u64 {
        match self.plan.pace {
            Pace::FlatOut => self.sent,
            Pace::PerSecond(rate) => {
                let due = since_start.as_nanos() * u128::from(rate.get()) / 1_000_000_000;
                u64::try_from(due).unwrap_or(u64::MAX)
            }
        }
    }

    /// The moment at which a request, counted from 0, is meant to be sent.
    fn meant_at(&self, index: u64, now: Instant) -> Instant {
        match self.plan.pace {
            Pace::FlatOut => now,
            Pace::PerSecond(rate) => {
                let nanos = u128::from(index + 1) * 1_000_000_000 / u128::from(rate.get());
                self.started + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }

    fn send_due(&mut self, now: Instant) -> anyhow::Result<()> {
        let since_start = now.duration_since(self.started);
        let since_start = match self.plan.until {
            Until::Time(time) => since_start.min(time),
            Until::Requests(_) => since_start,
        };
        let mut due = match self.plan.pace {
            Pace::FlatOut => u64::MAX,
            Pace::PerSecond(_) => self.due_at(since_start),
        };
        if let Until::Requests(count) = self.plan.until {
            due = due.min(count);
        }
        while self.sent < due
            && let Some(index) = self.idle.pop_front()
        {
            let path = usize::try_from(self.sent)? % self.requests.len();
            let meant_at = self.meant_at(self.sent, now);
            let connection = &mut self.connections[index];
            // A request is far smaller than an idle connection's send buffer.
            connection.stream.write_all(&self.requests[path])?;
            connection.waiting = Some(Sent { meant_at, path });
            self.sent += 1;
            self.last_progress = now;
        }
        Ok(())
    }

    fn wait_and_read(&mut self, over: bool) -> anyhow::Result<()> {
        let waiting: Vec<usize> = (0..self.connections.len())
            .filter(|index| self.connections[*index].waiting.is_some())
            .collect();
        let ready = {
            let mut descriptors: Vec<PollFd<'_>> = waiting
                .iter()
                .map(|index| PollFd::new(&self.connections[*index].stream, PollFlags::IN))
                .collect();
            poll(&mut descriptors, Some(&timespec(self.wait_time(over))))?;
            waiting
                .iter()
                .zip(&descriptors)
                .filter(|(_, descriptor)| !descriptor.revents().is_empty())
                .map(|(index, _)| *index)
                .collect::<Vec<_>>()
        };
        for index in ready {
            self.read(index)?;
        }
        Ok(())
    }

    /// How long until the next request is meant to be sent, when there is one and a connection is free.
    fn wait_time(&self, over: bool) -> Duration {
        if over || self.idle.is_empty() || matches!(self.plan.pace, Pace::FlatOut) {
            return SLEEP_TIME_MAX;
        }
        let now = Instant::now();
        self.meant_at(self.sent, now)
            .saturating_duration_since(now)
            .min(SLEEP_TIME_MAX)
    }

    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = &mut self.connections[index];
        let mut chunk = [0; READ_BYTES];
        match connection.stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed a connection that waits for an answer"),
            Ok(read) => connection.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("reading an answer"),
        }
        let Some((answer, length)) = http::parse(&connection.received)? else {
            return Ok(());
        };
        let sent = connection
            .waiting
            .take()
            .context("an answer that nobody asked for")?;
        self.last_progress = Instant::now();
        let latency = self.last_progress.saturating_duration_since(sent.meant_at);
        connection.received.drain(..length);
        self.samples_ns
            .push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        (self.plan.check)(sent.path, &answer)
            .with_context(|| format!("GET {}", self.plan.paths[sent.path]))?;
        self.idle.push_back(index);
        Ok(())
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// Answers every request on every connection, and ends with its connections.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                std::thread::spawn(move || {
                    let mut chunk = [0; READ_BYTES];
                    while stream.read(&mut chunk).is_ok_and(|read| read > 0) {
                        if stream.write_all(ANSWER).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    #[test]
    fn paced_run_sends_exactly_what_was_due() {
        let outcome = run(&Plan {
            address: server(),
            host: None,
            paths: &["/"],
            connections: 4,
            pace: Pace::PerSecond(NonZeroU64::new(500).expect("not zero")),
            until: Until::Time(Duration::from_millis(200)),
            check: &|_, answer| answer.check(200, "ok"),
        })
        .expect("every answer is right");
        assert_eq!(outcome.latencies.count(), 100);
    }

    #[test]
    fn flat_out_run_takes_the_paths_in_turn_and_stops_at_its_count() {
        let counts = [std::cell::Cell::new(0), std::cell::Cell::new(0)];
        let outcome = run(&Plan {
            address: server(),
            host: None,
            paths: &["/a", "/b"],
            connections: 3,
            pace: Pace::FlatOut,
            until: Until::Requests(101),
            check: &|path, _| {
                counts[path].set(counts[path].get() + 1);
                Ok(())
            },
        })
        .expect("every answer is right");
        assert_eq!(outcome.latencies.count(), 101);
        assert_eq!((counts[0].get(), counts[1].get()), (51, 50));
    }

    #[test]
    fn wrong_answer_ends_the_run() {
        let error = run(&Plan {
            address: server(),
            host: None,
            paths: &["/"],
            connections: 1,
            pace: Pace::FlatOut,
            until: Until::Requests(10),
            check: &|_, answer| answer.check_hello(),
        })
        .expect_err("the answer is another one");
        assert!(format!("{error:#}").contains("\"ok\""), "{error:#}");
    }
}
