//! Streams of bytes. An end owns its handle, and the memory that the host copies from or to while a
//! copy goes on.

use std::mem::ManuallyDrop;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use super::super::waits::Wait;
use super::{
    BLOCKED, Copied, End, ends, stream_cancel_read, stream_cancel_write, stream_drop_readable,
    stream_drop_writable, stream_new, stream_read, stream_write,
};

/// The most that the component model lets one copy be asked for, in bytes.
const COPY_LEN_MAX: usize = (1 << 28) - 1;

/// A new stream's two ends.
pub(in super::super) fn stream() -> (Readable, StreamWriter) {
    let (readable, writable) = ends(stream_new());
    let writer = StreamWriter {
        wait: Wait::new(writable),
        bytes: Bytes::new(),
        copying: false,
    };
    (Readable(readable), writer)
}

/// The end of a stream of ours that others read from.
pub(in super::super) struct Readable(u32);

impl Readable {
    /// Takes over a handle.
    pub(in super::super) fn of(handle: u32) -> Self {
        Self(handle)
    }

    /// Gives the handle away.
    pub(in super::super) fn into_handle(self) -> u32 {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Readable {
    fn drop(&mut self) {
        stream_drop_readable(self.0);
    }
}

/// The end of the host's stream, which is read from.
pub(in super::super) struct StreamReader {
    wait: Wait,
    buffer: Vec<u8>,
    /// The host may write to the buffer's capacity, which nobody else touches meanwhile.
    copying: bool,
}

/// The end that is written to.
pub(in super::super) struct StreamWriter {
    wait: Wait,
    bytes: Bytes,
    /// The host may read the bytes, which are not let go of meanwhile.
    copying: bool,
}

impl StreamReader {
    /// Takes over a handle.
    pub(super) fn of(handle: u32) -> Self {
        Self {
            wait: Wait::new(handle),
            buffer: Vec::new(),
            copying: false,
        }
    }

    /// What the host has, up to `len_max` bytes, or `None` at the end. A read that is not over goes on
    /// when its future is dropped, and ends with `self`.
    pub(in super::super) fn poll_read(
        &mut self,
        len_max: usize,
        context: &mut Context<'_>,
    ) -> Poll<Option<Vec<u8>>> {
        loop {
            let code = if self.copying {
                ready!(self.wait.poll(context))
            } else {
                self.buffer.reserve_exact(len_max);
                let buffer = self.buffer.spare_capacity_mut();
                let len = buffer.len().min(COPY_LEN_MAX);
                let start = buffer.as_mut_ptr().cast();
                // SAFETY: the buffer is owned and left alone until the copy has ended: see `drop`.
                unsafe { stream_read(self.wait.handle(), start, len) }
            };
            self.copying = code == BLOCKED;
            if self.copying {
                self.wait.begin();
                continue;
            }
            let copied = Copied::of(code);
            if copied.len > 0 {
                let mut data = std::mem::take(&mut self.buffer);
                // SAFETY: the host has written this many of the bytes that it was given.
                unsafe { data.set_len(copied.len.min(data.capacity())) };
                data.shrink_to_fit();
                return Poll::Ready(Some(data));
            }
            if copied.end != End::Open {
                return Poll::Ready(None);
            }
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if self.copying && self.wait.leave().is_none() {
            stream_cancel_read(self.wait.handle());
        }
        stream_drop_readable(self.wait.handle());
    }
}

impl StreamWriter {
    /// Takes what is to be written next. What was taken before must have been written.
    pub(in super::super) fn put(&mut self, bytes: Bytes) {
        assert!(!self.copying, "bytes are replaced that are being written");
        self.bytes = bytes;
    }

    /// Writes what was put. Says whether the reader wants more. A write that is not over goes on when
    /// its future is dropped, and ends with `self`.
    pub(in super::super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            let code = if self.copying {
                ready!(self.wait.poll(context))
            } else if self.bytes.is_empty() {
                return Poll::Ready(true);
            } else {
                let len = self.bytes.len().min(COPY_LEN_MAX);
                // SAFETY: the bytes are owned and kept until the copy has ended: see `put` and `drop`.
                unsafe { stream_write(self.wait.handle(), self.bytes.as_ptr(), len) }
            };
            self.copying = code == BLOCKED;
            if self.copying {
                self.wait.begin();
                continue;
            }
            let copied = Copied::of(code);
            self.bytes.advance(copied.len.min(self.bytes.len()));
            if copied.end != End::Open {
                return Poll::Ready(false);
            }
        }
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        if self.copying && self.wait.leave().is_none() {
            stream_cancel_write(self.wait.handle());
        }
        stream_drop_writable(self.wait.handle());
    }
}
