//! Where a blob that is written comes from: a file or standard input, a piece at a time.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use everwarm_api::client::Source;
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;

type Piece = io::Result<Option<Bytes>>;

/// A file or standard input, which a thread of its own reads: a read of standard input can't be interrupted.
pub(super) struct Input {
    size: Option<u64>,
    pieces: mpsc::Receiver<Piece>,
}

/// Opens it, and says what it is called.
pub(super) fn open(file: Option<PathBuf>) -> Result<(Input, String), Failure> {
    let Some(path) = file.filter(|path| path != Path::new("-")) else {
        if io::stdin().is_terminal() {
            let message = "there are no bytes for the blob: name its file, or pipe them in";
            return Err(Failure::uncoded(Exit::Usage, message));
        }
        let input = Input::read(None, || Ok(io::stdin().lock()));
        return Ok((input, "standard input".to_owned()));
    };
    let called = path.display().to_string();
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|error| {
        Failure::uncoded(Exit::Usage, format!("couldn't read {called}: {error}"))
    })?;
    // What isn't a file of its own, a pipe or a device, doesn't say how long it is.
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Input::read(size, || Ok(file)), called))
}

impl Input {
    /// Reads on a thread. `size` is what was said before: what has more or fewer bytes has changed meanwhile.
    fn read<R: Read>(
        size: Option<u64>,
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> Self {
        // One waits while the next is read.
        let (given, pieces) = mpsc::channel(1);
        tokio::task::spawn_blocking(move || {
            let mut read = 0;
            let mut reader = match open() {
                Ok(reader) => reader,
                Err(error) => {
                    let _ = given.blocking_send(Err(error));
                    return;
                }
            };
            loop {
                let piece = piece(&mut reader).and_then(|piece| {
                    read += piece.as_ref().map_or(0, Bytes::len) as u64;
                    check(size, read, piece.is_none()).map(|()| piece)
                });
                let is_last = !matches!(piece, Ok(Some(_)));
                // Nobody waits for more after a failure.
                if given.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Self { size, pieces }
    }
}

/// The next bytes, as many as there are now; `None` at the end. A pipe that has a few isn't waited for to have more: the
/// node doesn't wait for long.
fn piece(reader: &mut impl Read) -> Piece {
    let mut bytes = vec![0; PIECE_BYTES];
    let len = loop {
        match reader.read(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    bytes.truncate(len);
    Ok((len > 0).then(|| bytes.into()))
}

fn check(size: Option<u64>, read: u64, is_over: bool) -> io::Result<()> {
    match size {
        Some(size) if read > size || (is_over && read < size) => {
            Err(io::Error::other("it changed while it was read"))
        }
        _ => Ok(()),
    }
}

impl Source for Input {
    fn size(&self) -> Option<u64> {
        self.size
    }

    async fn piece(&mut self) -> Piece {
        let piece = self.pieces.recv().await;
        piece.unwrap_or_else(|| Err(io::Error::other("nobody reads it any more")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(size: Option<u64>, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut input = Input::read(size, move || Ok(io::Cursor::new(bytes)));
        let mut all = Vec::new();
        while let Some(piece) = input.piece().await? {
            assert!(piece.len() <= PIECE_BYTES);
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn input_comes_in_pieces_and_is_what_was_said() {
        let bytes: Vec<u8> = (0..PIECE_BYTES + 10)
            .map(|at| at.to_le_bytes()[0])
            .collect();
        let size = bytes.len() as u64;
        for said in [None, Some(size)] {
            assert_eq!(read(said, bytes.clone()).await.unwrap(), bytes);
        }
        for said in [size - 1, size + 1] {
            let error = read(Some(said), bytes.clone()).await.unwrap_err();
            assert!(error.to_string().contains("changed"), "{error}");
        }
        assert_eq!(read(None, Vec::new()).await.unwrap(), b"");
    }
}
