//! `kv import`: keeps the entries of an export, in batches. Done again, it changes nothing more.

use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;

use everwarm_api::client::ClientError;
use everwarm_api::messages::{BATCH_BYTES_MAX, BATCH_MAX, KvEntry, VALUE_BYTES_MAX};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::input::open;
use crate::args::KvImportArgs;
use crate::credentials;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// Bytes of a line: a value as Base64, and a key of which each byte is written as six.
const LINE_BYTES_MAX: usize = VALUE_BYTES_MAX / 3 * 4 + (16 << 10);
/// Batches that are read before they are sent.
const BATCHES_WAITING_MAX: usize = 1;

pub(super) async fn run(args: KvImportArgs, printer: &Printer) -> Result<Exit, Failure> {
    let client = credentials::client(&args.of.node)?;
    let store = client.kv(&args.app, &args.of.store);
    let _stage = printer.stage("importing");
    let mut batches = read(args.file);
    let (mut imported, mut lines) = (0_u64, 0);
    while let Some(batch) = batches.recv().await {
        let Batch {
            entries,
            first,
            last,
        } = batch.map_err(Bad::failure)?;
        let count = entries.len() as u64;
        store
            .write(entries)
            .await
            .map_err(|error| refused(error, first, last, lines))?;
        imported += count;
        lines = last;
    }
    printer.data(&json!({ "imported": imported }), || {
        format!("{imported} entries are imported\n")
    });
    Ok(Exit::Success)
}

/// What the node says, with the lines that it is about.
fn refused(error: ClientError, first: u64, last: u64, done: u64) -> Failure {
    let mut failure = Failure::from(error);
    let before = match done {
        0 => "nothing is imported".to_owned(),
        done => format!("what comes before them, to line {done}, is imported"),
    };
    failure.message = format!("lines {first} to {last}: {}; {before}", failure.message);
    failure
}

/// Reads batches on a thread of its own: a read of standard input can't be interrupted.
fn read(file: Option<PathBuf>) -> mpsc::Receiver<Result<Batch, Bad>> {
    let (sender, receiver) = mpsc::channel(BATCHES_WAITING_MAX);
    tokio::task::spawn_blocking(move || match open(file.as_deref()) {
        Ok(opened) => {
            for batch in Batches::new(BufReader::new(opened)) {
                // Nobody waits for more after a failure.
                if sender.blocking_send(batch).is_err() {
                    return;
                }
            }
        }
        Err(failure) => {
            let _ = sender.blocking_send(Err(Bad::File(failure)));
        }
    });
    receiver
}

/// Entries that are sent together, and the lines that they are from.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    entries: Vec<KvEntry>,
    first: u64,
    last: u64,
}

/// What can't be imported.
#[derive(Debug)]
enum Bad {
    /// The file can't be opened.
    File(Failure),
    /// A line isn't an entry, or can't be read.
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl Bad {
    fn failure(self) -> Failure {
        match self {
            Self::File(failure) => failure,
            Self::Line { number, reason } => Failure::uncoded(
                Exit::Failure,
                format!(
                    "line {number}: {reason}; what comes before it is imported: mend the line, and import all of it again"
                ),
            ),
        }
    }
}

/// Lines as batches: as many entries as the node takes at once.
struct Batches<R> {
    lines: R,
    /// Of the line that was read last.
    number: u64,
    /// An entry that began the next batch, with its line.
    waiting: Option<(KvEntry, u64)>,
    /// What ends it, once the entries before are told.
    bad: Option<Bad>,
    is_over: bool,
}

impl<R: BufRead> Batches<R> {
    fn new(lines: R) -> Self {
        Self {
            lines,
            number: 0,
            waiting: None,
            bad: None,
            is_over: false,
        }
    }

    /// The entry of the next line that isn't empty.
    fn entry(&mut self) -> Result<Option<KvEntry>, String> {
        let mut line = Vec::new();
        loop {
            line.clear();
            self.number += 1;
            let read = (&mut self.lines)
                .take(LINE_BYTES_MAX as u64 + 1)
                .read_until(b'\n', &mut line);
            match read {
                Ok(0) => return Ok(None),
                Ok(bytes) if bytes > LINE_BYTES_MAX => {
                    return Err(format!(
                        "it is longer than {LINE_BYTES_MAX} bytes, and so is no entry"
                    ));
                }
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => break,
                Err(error) => return Err(format!("it can't be read: {error}")),
            }
        }
        let entry: KvEntry =
            serde_json::from_slice(&line).map_err(|error| format!("it is no entry: {error}"))?;
        entry.check().map_err(|error| error.to_string())?;
        Ok(Some(entry))
    }

    /// The next entry with its line; none at the end, or when the next line is bad.
    fn next_entry(&mut self) -> Option<(KvEntry, u64)> {
        if self.waiting.is_some() {
            return self.waiting.take();
        }
        if self.is_over {
            return None;
        }
        match self.entry() {
            Ok(Some(entry)) => return Some((entry, self.number)),
            Ok(None) => {}
            Err(reason) => {
                let number = self.number;
                self.bad = Some(Bad::Line { number, reason });
            }
        }
        self.is_over = true;
        None
    }
}

impl<R: BufRead> Iterator for Batches<R> {
    type Item = Result<Batch, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some((entry, first)) = self.next_entry() else {
            return self.bad.take().map(Err);
        };
        let mut bytes = entry.bytes();
        let mut batch = Batch {
            entries: vec![entry],
            first,
            last: first,
        };
        while batch.entries.len() < BATCH_MAX
            && let Some((entry, line)) = self.next_entry()
        {
            bytes += entry.bytes();
            if bytes > BATCH_BYTES_MAX {
                self.waiting = Some((entry, line));
                break;
            }
            batch.entries.push(entry);
            batch.last = line;
        }
        Some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use everwarm_api::messages::Base64;

    use super::*;

    fn line(key: &str, bytes: usize) -> String {
        let entry = KvEntry {
            key: key.to_owned(),
            value: Base64(vec![7; bytes].into()),
            expires_ms: None,
        };
        serde_json::to_string(&entry).unwrap() + "\n"
    }

    /// Of each batch how many entries, and from which lines; of what ends it the line.
    fn batches(text: &str) -> Vec<Result<(usize, u64, u64), u64>> {
        let batches = Batches::new(text.as_bytes());
        let seen = batches.map(|batch| match batch {
            Ok(batch) => Ok((batch.entries.len(), batch.first, batch.last)),
            Err(Bad::Line { number, .. }) => Err(number),
            Err(bad) => panic!("{bad:?}"),
        });
        seen.collect()
    }

    #[test]
    fn batches_have_what_the_node_takes_at_once() {
        let many: String = (0..250)
            .map(|number| line(&number.to_string(), 1))
            .collect();
        assert_eq!(
            batches(&many),
            [Ok((100, 1, 100)), Ok((100, 101, 200)), Ok((50, 201, 250))]
        );
        let large: String = (0..9).map(|_| line("k", VALUE_BYTES_MAX)).collect();
        assert_eq!(batches(&large), [Ok((7, 1, 7)), Ok((2, 8, 9))]);
        assert_eq!(batches(""), []);
        assert_eq!(batches("\n \n"), []);
    }

    #[test]
    fn bad_line_is_told_after_what_comes_before_it() {
        let good = line("k", 1);
        for bad in [
            "not JSON\n".to_owned(),
            r#"{"key":"k","value":"A"}"#.to_owned(),
            line("", 1),
            line(&"k".repeat(513), 1),
            line("k", VALUE_BYTES_MAX + 1),
            " ".repeat(LINE_BYTES_MAX + 1),
        ] {
            let text = format!("{good}\n{good}{bad}{good}");
            assert_eq!(batches(&text), [Ok((2, 1, 3)), Err(4)], "{bad:.80}");
            assert_eq!(batches(&bad), [Err(1)], "{bad:.80}");
        }
    }

    #[test]
    fn longest_entry_fits_a_line() {
        let longest = line(&"\u{1}".repeat(512), VALUE_BYTES_MAX);
        assert_eq!(batches(&longest), [Ok((1, 1, 1))]);
    }
}
