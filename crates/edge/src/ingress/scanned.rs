//! A connection whose incoming bytes are scanned on their way to hyper.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

use super::scan::{Scan, Wrong};

/// Bytes that are read at once.
const ROOM_BYTES: usize = 64 << 10;

thread_local! {
    /// Where bytes are looked at: hyper's own buffer can't be seen into without unsafe code, and one a connection
    /// would be memory that idle ones hold.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; ROOM_BYTES].into());
}

/// What the connection's requests are told of their heads.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Rc<RefCell<Scan>>);

impl Verdict {
    /// Why the head with this number is refused, counted from one; heads behind one that is wrong are too.
    pub(super) fn of(&self, head: u64) -> Option<&'static str> {
        let wrong = self.0.borrow().wrong();
        let wrong = wrong.filter(|wrong: &Wrong| head >= wrong.head);
        wrong.map(|wrong| wrong.reason)
    }
}

/// See the module's documentation.
pub(super) struct Scanned<C> {
    connection: C,
    verdict: Verdict,
    is_off: bool,
}

impl<C> Scanned<C> {
    pub(super) fn new(connection: C) -> (Self, Verdict) {
        let verdict = Verdict::default();
        let scanned = Self {
            connection,
            verdict: verdict.clone(),
            is_off: false,
        };
        (scanned, verdict)
    }
}

impl<C: Read + Unpin> Read for Scanned<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_off {
            return Pin::new(&mut self.connection).poll_read(cx, buf);
        }
        ROOM.with_borrow_mut(|room| {
            let len = room.len().min(buf.remaining());
            let mut read = ReadBuf::new(&mut room[..len]);
            ready!(Pin::new(&mut self.connection).poll_read(cx, read.unfilled()))?;
            let mut scan = self.verdict.0.borrow_mut();
            scan.take(read.filled());
            buf.put_slice(read.filled());
            let is_off = scan.is_off();
            drop(scan);
            self.is_off = is_off;
            Poll::Ready(Ok(()))
        })
    }
}

impl<C: Write + Unpin> Write for Scanned<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
