//! Child processes that end when nobody waits for them any more: each runs in a process group of its
//! own, which is killed when the future is dropped or its deadline passes. Knows nothing of cargo.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};

/// The longest line that is read from a child, in bytes; `cargo metadata` answers in one line.
const LINE_BYTES_MAX: usize = 64 << 20;
/// How long output is still read after the child has ended: a grandchild may hold the pipe open.
const OUTPUT_AFTER_EXIT_MAX: Duration = Duration::from_secs(2);

/// Why a process gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It couldn't be started.
    #[error("couldn't start `{program}`")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Waiting for it failed.
    #[error("lost `{program}` while it was running")]
    Wait {
        /// Its name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ran longer than it may.
    #[error("`{program}` was stopped: it took longer than {} s", limit.as_secs())]
    TooLong {
        /// Its name.
        program: String,
        /// The longest that it may run.
        limit: Duration,
    },
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pipe {
    Stdout,
    Stderr,
}

/// A running child, which leads its process group.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // From here on the number may belong to another process.
        self.leader = None;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // It may have ended by itself in this moment; then there is nothing to kill.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Runs `command` to its end and hands over each line that it writes.
pub(crate) async fn run(
    mut command: Command,
    limit: Duration,
    mut on_line: impl FnMut(Pipe, &str),
) -> Result<ExitStatus, ProcessError> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = command.spawn().map_err(|source| ProcessError::Start {
        program: program.clone(),
        source,
    })?;
    let leader = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let mut group = Group { child, leader };
    let finished = tokio::time::timeout(limit, follow(&mut group, &mut on_line)).await;
    match finished {
        Ok(status) => status.map_err(|source| ProcessError::Wait { program, source }),
        Err(_elapsed) => Err(ProcessError::TooLong { program, limit }),
    }
}

async fn follow(group: &mut Group, on_line: &mut impl FnMut(Pipe, &str)) -> io::Result<ExitStatus> {
    let codec =
        || AnyDelimiterCodec::new_with_max_length(b"\n".to_vec(), b"\n".to_vec(), LINE_BYTES_MAX);
    let taken = || io::Error::other("a pipe of the child is missing");
    let stdout = group.child.stdout.take().ok_or_else(taken)?;
    let stderr = group.child.stderr.take().ok_or_else(taken)?;
    let stdout = FramedRead::new(stdout, codec()).map(|line| (Pipe::Stdout, line));
    let stderr = FramedRead::new(stderr, codec()).map(|line| (Pipe::Stderr, line));
    let mut lines = futures_util::stream::select(stdout, stderr);
    let status = loop {
        tokio::select! {
            biased;
            line = lines.next() => match line {
                Some((pipe, line)) => tell(pipe, line, on_line)?,
                None => break group.wait().await?,
            },
            status = group.wait() => break status?,
        }
    };
    let rest = async {
        while let Some((pipe, line)) = lines.next().await {
            tell(pipe, line, on_line)?;
        }
        io::Result::Ok(())
    };
    match tokio::time::timeout(OUTPUT_AFTER_EXIT_MAX, rest).await {
        Ok(read) => read.map(|()| status),
        Err(_elapsed) => Ok(status),
    }
}

fn tell(
    pipe: Pipe,
    line: Result<Bytes, AnyDelimiterCodecError>,
    on_line: &mut impl FnMut(Pipe, &str),
) -> io::Result<()> {
    match line {
        Ok(line) => {
            on_line(pipe, String::from_utf8_lossy(&line).trim_end_matches('\r'));
            Ok(())
        }
        // The rest of a line that is too long is skipped by the codec.
        Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => Ok(()),
        Err(AnyDelimiterCodecError::Io(error)) => Err(error),
    }
}

/// The command as one could type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains([' ', '"', '\'', '$']) {
                format!("'{}'", word.replace('\'', r"'\''"))
            } else {
                word.into_owned()
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn lines_of_both_pipes_arrive_and_the_status_is_the_childs() {
        let mut seen = Vec::new();
        let status = run(
            shell("echo one; echo two >&2; printf three; exit 3"),
            LIMIT,
            |pipe, line| seen.push((pipe, line.to_owned())),
        )
        .await
        .unwrap();
        assert_eq!(status.code(), Some(3));
        let of = |wanted: Pipe| {
            seen.iter()
                .filter(|(pipe, _)| *pipe == wanted)
                .map(|(_, line)| line.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Pipe::Stdout), ["one", "three"]);
        assert_eq!(of(Pipe::Stderr), ["two"]);
    }

    #[tokio::test]
    async fn child_that_takes_too_long_is_stopped() {
        let error = run(shell("sleep 600"), Duration::from_millis(50), |_, _| {})
            .await
            .unwrap_err();
        assert!(matches!(error, ProcessError::TooLong { .. }), "{error}");
    }

    #[tokio::test]
    async fn dropping_the_run_kills_grandchildren_too() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut tell = Some(tell);
        let running = tokio::spawn(run(
            // The grandchild tells its own number and then goes on for ever.
            shell("sh -c 'echo $$; exec sleep 600' & wait"),
            LIMIT,
            move |_, line| {
                if let Some(tell) = tell.take() {
                    let _ = tell.send(line.to_owned());
                }
            },
        ));
        let grandchild: i32 = told.await.unwrap().parse().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        let grandchild = Pid::from_raw(grandchild).unwrap();
        let started = Instant::now();
        while rustix::process::test_kill_process(grandchild).is_ok() && !is_zombie(grandchild) {
            assert!(started.elapsed() < LIMIT, "the grandchild still runs");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A killed process whose new parent hasn't collected it yet.
    fn is_zombie(pid: Pid) -> bool {
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        std::fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") Z "))
    }

    #[tokio::test]
    async fn program_that_does_not_exist_is_named() {
        let error = run(Command::new("no-such-program"), LIMIT, |_, _| {})
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "couldn't start `no-such-program`");
    }

    #[test]
    fn command_is_shown_as_one_could_type_it() {
        assert_eq!(shown(&shell("echo 'a b'")), r"sh -c 'echo '\''a b'\'''");
    }
}
