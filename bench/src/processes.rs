//! Starting servers and ending them, whatever happens: each in a process group of its own, ended by id.
//!
//! Knows nothing of HTTP or of which servers there are.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a server may take to stop when asked, before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a stopping server is looked at.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// How much of a log is shown when a server fails.
const LOG_TAIL_BYTES: usize = 2_000;

/// Groups that run now, for the signal handler. As many as servers, which are started a few at a time.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A process group that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    id: Pid,
    log: PathBuf,
}

impl Group {
    /// Starts a program in a group of its own, its output in a file.
    ///
    /// # Errors
    /// When the log can't be made or the program can't be started.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let output =
            File::create(log).with_context(|| format!("could not create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!(
                    "could not start {}",
                    Path::new(command.get_program()).display()
                )
            })?;
        let id = Pid::from_child(&child);
        running(|groups| groups.push(id));
        Ok(Self {
            child,
            id,
            log: log.to_owned(),
        })
    }

    /// How the first process ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The end of what the program printed.
    pub(crate) fn log_tail(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// CPU time that the group's processes have used, user and system. `None` where there is no /proc.
    pub(crate) fn cpu_time(&self) -> Option<Duration> {
        let group = self.id.as_raw_nonzero().get();
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        let mut ticks = 0;
        for entry in std::fs::read_dir("/proc").ok()?.flatten() {
            // A process may end between the two reads: then it has no file any more.
            if let Ok(stat) = std::fs::read_to_string(entry.path().join("stat"))
                && let Some(found) = cpu_ticks(&stat, group)
            {
                ticks += found;
            }
        }
        Some(Duration::from_millis(ticks * 1_000 / ticks_per_second))
    }

    /// Resident memory of the group's first process in bytes. `None` where there is no /proc.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let path = format!("/proc/{}/status", self.id.as_raw_nonzero());
        let status = std::fs::read_to_string(path).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    }

    fn stop(&mut self) {
        let deadline = Instant::now() + STOP_TIME_MAX;
        let mut signal = Signal::TERM;
        loop {
            // The group may be gone already: that is what we want.
            let _ = kill_process_group(self.id, signal);
            while Instant::now() < deadline {
                if self.ended().is_some() {
                    // What the first process left behind, if anything.
                    let _ = kill_process_group(self.id, Signal::KILL);
                    return;
                }
                std::thread::sleep(POLL_EVERY);
            }
            if signal == Signal::KILL {
                let _ = self.child.wait();
                return;
            }
            signal = Signal::KILL;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
        running(|groups| groups.retain(|group| *group != self.id));
        // An access log of millions of lines is of no use once the server is gone.
        let _ = std::fs::remove_file(&self.log);
    }
}

/// User and system time of a `/proc/*/stat` line, when the process is of this group.
fn cpu_ticks(stat: &str, group: i32) -> Option<u64> {
    // The name stands in brackets and may hold spaces and brackets.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Counted from the state, which is field 3 of proc(5): pgrp is 5, utime 14, stime 15.
    let found: i32 = fields.get(2)?.parse().ok()?;
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    (found == group).then_some(user + system)
}

/// Ends every group when the bench itself is interrupted: groups of their own don't get Ctrl-C.
///
/// # Errors
/// When signals can't be caught.
pub(crate) fn end_all_on_signal() -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            running(|groups| {
                for group in groups {
                    let _ = kill_process_group(*group, Signal::KILL);
                }
            });
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

fn running(change: impl FnOnce(&mut Vec<Pid>)) {
    let mut groups = RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    change(&mut groups);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_past_a_name_with_spaces_and_brackets() {
        let stat = "12 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 30 12 0 0 20 0 3 0 100";
        assert_eq!(cpu_ticks(stat, 77), Some(42));
        assert_eq!(cpu_ticks(stat, 78), None);
    }

    #[test]
    fn dropped_group_has_ended() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let log = folder.path().join("log");
        let group = Group::start(Command::new("sleep").arg("60"), &log).expect("sleep starts");
        let id = group.id;
        drop(group);
        assert!(rustix::process::test_kill_process_group(id).is_err());
        assert!(!log.exists());
    }
}
