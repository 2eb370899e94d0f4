//! The responses of one lane that wait for the end of its turn, to be written one after the other.
//!
//! A turn is what a lane does between two looks at its sockets. A response that is written at once
//! wakes its reader, which then runs in place of the lane's next request; the next response wakes
//! it once more. Written together they wake it once (decision 6). Nothing waits for more than the
//! turn in which it was written, nor much longer than [`WAIT_MAX`], and a turn with one request in
//! it writes one response, at once.
//!
//! Knows bytes and sockets, not HTTP.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes of one connection that may wait; what is longer is written at once.
const WAITING_BYTES_MAX: usize = 16 << 10;
/// Connections that may wait in one lane.
const OUTBOX_MAX: usize = 64;
/// Buffers that a lane keeps for the next responses; each has room for less than twice [`WAITING_BYTES_MAX`]. The one that was
/// used last is the next: it is the likeliest to be in the cache.
const SPARE_MAX: usize = 64;
/// The next response is written together with all that wait, if the first has waited for so long.
const WAIT_MAX: Duration = Duration::from_micros(500);

/// The connections of a lane that have bytes waiting.
#[derive(Clone)]
pub(super) struct Outbox {
    waiting: Rc<RefCell<Waiting>>,
    /// Sees to it that [`Outbox::post`] is called at the end of this turn.
    end_of_turn: Rc<dyn Fn()>,
}

#[derive(Default)]
struct Waiting {
    connections: Vec<Rc<Outgoing>>,
    since: Option<Instant>,
    /// Empty ones. Connections on which nothing waits have none.
    spare: Vec<Vec<u8>>,
}

/// What one connection has waiting, and where it goes.
struct Outgoing {
    half: OwnedWriteHalf,
    bytes: RefCell<Vec<u8>>,
    place: Cell<Place>,
    /// Wakes the connection's task when the socket took less than there was.
    waker: RefCell<Option<Waker>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing waits for the end of a turn.
    Nowhere,
    /// In the outbox.
    Waiting,
    /// The socket is full or broken: the connection's own task has to go on.
    Stuck,
}

impl Outbox {
    /// Makes an empty one. `end_of_turn` is called for the first that waits in a turn, and has to
    /// have [`Self::post`] called when the turn ends.
    pub(super) fn new(end_of_turn: impl Fn() + 'static) -> Self {
        Self {
            waiting: Rc::default(),
            end_of_turn: Rc::new(end_of_turn),
        }
    }

    /// Writes all that waits.
    pub(super) fn post(&self) {
        // Writing wakes tasks at most, it runs none: nobody else borrows this meanwhile.
        let mut waiting = self.waiting.borrow_mut();
        waiting.since = None;
        let Waiting {
            connections, spare, ..
        } = &mut *waiting;
        for outgoing in connections.drain(..) {
            outgoing.write();
            if outgoing.place.get() == Place::Nowhere {
                let bytes = outgoing.bytes.take();
                if spare.len() < SPARE_MAX {
                    spare.push(bytes);
                }
            }
        }
    }

    /// A buffer with nothing in it.
    fn spare(&self) -> Vec<u8> {
        self.waiting.borrow_mut().spare.pop().unwrap_or_default()
    }

    fn add(&self, outgoing: &Rc<Outgoing>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.connections.push(Rc::clone(outgoing));
        let Some(since) = waiting.since else {
            waiting.since = Some(Instant::now());
            drop(waiting);
            return (self.end_of_turn)();
        };
        if waiting.connections.len() >= OUTBOX_MAX || since.elapsed() >= WAIT_MAX {
            drop(waiting);
            self.post();
        }
    }
}

impl Outgoing {
    fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    /// Writes what waits as far as the socket takes it; its task has to see to the rest.
    fn write(&self) {
        let mut bytes = self.bytes.borrow_mut();
        // An error comes again when the task tries, which is where it is dealt with.
        let written = match bytes.as_slice() {
            [] => 0,
            waiting => self.stream().try_write(waiting).unwrap_or(0),
        };
        if written == bytes.len() {
            bytes.clear();
            return self.place.set(Place::Nowhere);
        }
        bytes.drain(..written);
        self.place.set(Place::Stuck);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn note_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    fn poll_send(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream().poll_write_ready(cx))?;
            match self.stream().try_write_vectored(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes all that waits, on the task's own time.
    fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = self.bytes.borrow_mut();
        while !bytes.is_empty() {
            let written = ready!(self.poll_send(cx, &[IoSlice::new(&bytes)]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes.drain(..written);
        }
        if self.place.get() == Place::Stuck {
            *bytes = Vec::new();
            self.place.set(Place::Nowhere);
        }
        Poll::Ready(Ok(()))
    }
}

/// A connection whose writes wait for the end of the lane's turn.
pub(super) struct Connection {
    incoming: TokioIo<OwnedReadHalf>,
    outgoing: Rc<Outgoing>,
    outbox: Outbox,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, outbox: Outbox) -> Self {
        let (incoming, half) = stream.into_split();
        Self {
            incoming: TokioIo::new(incoming),
            outgoing: Rc::new(Outgoing {
                half,
                bytes: RefCell::default(),
                place: Cell::new(Place::Nowhere),
                waker: RefCell::default(),
            }),
            outbox,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A connection that ends in order was shut down, and has nothing here. One that is cut off
        // still sends what it counts as sent, if the socket takes it.
        self.outgoing.write();
        self.outgoing.bytes.borrow_mut().clear();
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outgoing = &self.outgoing;
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        let waiting = outgoing.bytes.borrow().len();
        if outgoing.place.get() == Place::Stuck || waiting + len > WAITING_BYTES_MAX {
            ready!(outgoing.poll_drain(cx))?;
            return outgoing.poll_send(cx, bufs);
        }
        let mut bytes = outgoing.bytes.borrow_mut();
        if bytes.capacity() == 0 {
            *bytes = self.outbox.spare();
        }
        for buf in bufs {
            bytes.extend_from_slice(buf);
        }
        drop(bytes);
        if outgoing.place.replace(Place::Waiting) == Place::Nowhere {
            outgoing.note_waker(cx);
            self.outbox.add(outgoing);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Is done while bytes wait: the end of the turn is nobody's to wait for. Not while they are
    /// stuck.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.outgoing.place.get() {
            Place::Stuck => self.outgoing.poll_drain(cx),
            Place::Nowhere | Place::Waiting => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.outgoing.poll_drain(cx))?;
        rustix::net::shutdown(self.outgoing.stream(), rustix::net::Shutdown::Write)?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
