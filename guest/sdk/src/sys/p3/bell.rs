//! Wakes a request that sleeps, from outside of what it waits for: from another request of the instance.
//! It doesn't know whom that wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use bytes::Bytes;

use super::abi::{self, Readable, StreamWriter};
use crate::executor::Alarm;

/// What every waker of a request holds: while the request sleeps and listens, the handle of a stream's
/// readable end. Dropping that end is an event for the writable one, which the request waits for.
#[derive(Default)]
pub(super) struct Bell(AtomicU32);

impl Alarm for Arc<Bell> {
    fn ring(&self) {
        match self.0.swap(0, Ordering::Relaxed) {
            0 => {}
            reader => drop(Readable::of(reader)),
        }
    }
}

/// A request's own side of its bell.
#[derive(Default)]
pub(super) struct Sleeper {
    bell: Arc<Bell>,
    stream: Option<Stream>,
}

/// A stream that nothing is ever read from.
struct Stream {
    /// The bell has it while the request sleeps.
    reader: Option<Readable>,
    _writer: StreamWriter,
}

impl Sleeper {
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// Whether there is a stream that an event is awaited of.
    pub(super) fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// From now on the bell wakes the request.
    pub(super) fn listen(&mut self) {
        let stream = self.stream.get_or_insert_with(Stream::new);
        if let Some(reader) = stream.reader.take() {
            self.bell.0.store(reader.into_handle(), Ordering::Relaxed);
        }
    }

    pub(super) fn listen_no_more(&mut self) {
        self.stream = None;
    }

    /// The request is awake, whatever woke it, and its bell is silent.
    pub(super) fn wake_up(&mut self) {
        let reader = self.bell.0.swap(0, Ordering::Relaxed);
        if let Some(stream) = &mut self.stream
            && reader != 0
        {
            stream.reader = Some(Readable::of(reader));
        }
    }

    /// Lets go of a stream whose bell was rung, once its event is delivered if that is what has come.
    pub(super) fn clear_rung(&mut self) {
        self.stream.take_if(|stream| stream.reader.is_none());
    }
}

impl Stream {
    fn new() -> Self {
        let (reader, mut writer) = abi::stream();
        writer.put(Bytes::from_static(b"!"));
        // Goes on until one of the ends is dropped.
        let polled = writer.poll_written(&mut Context::from_waker(Waker::noop()));
        debug_assert!(polled.is_pending());
        Self {
            reader: Some(reader),
            _writer: writer,
        }
    }
}
