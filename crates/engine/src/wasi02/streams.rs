//! `wasi:io/streams` and `wasi:io/error`: our body streams, and everyone else's by delegation.

use std::future::poll_fn;

use bytes::Bytes;
use wasmtime::component::Resource as Handle;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_io::bindings::wasi::io::{error as table_error, streams as table_streams};
use wasmtime_wasi_io::streams::Error as IoError;

use super::bindings::wasi::io::{error, streams};
use crate::pipe::{Pipe, WriteError};
use crate::request::{Broken, ReadEnd, SharedReader};
use crate::resource::{Resource, Subscription};
use crate::sandbox::Sandbox;
use crate::slots::{SlotError, Slots};

/// Bytes that one read hands to the guest at most, as in `wasmtime-wasi`.
const READ_BYTES_MAX: u64 = 64 << 10;
/// Bytes that `blocking-write-and-flush` takes, by its specification.
const BLOCKING_WRITE_BYTES_MAX: usize = 4096;

/// How an operation on a stream failed.
#[derive(Debug)]
pub(crate) enum StreamFailure {
    Closed,
    Failed(Broken),
    /// From a stream of `wasmtime-wasi`.
    Foreign(wasmtime_wasi_io::streams::StreamError),
    Trap(wasmtime::Error),
}

type Outcome<T> = Result<T, StreamFailure>;

impl From<SlotError> for StreamFailure {
    fn from(error: SlotError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<wasmtime_wasi_io::streams::StreamError> for StreamFailure {
    fn from(error: wasmtime_wasi_io::streams::StreamError) -> Self {
        Self::Foreign(error)
    }
}

impl From<ReadEnd> for StreamFailure {
    fn from(end: ReadEnd) -> Self {
        match end {
            ReadEnd::Complete => Self::Closed,
            ReadEnd::Broken(broken) => Self::Failed(broken),
        }
    }
}

impl From<WriteError> for StreamFailure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ReaderGone | WriteError::Ended => Self::Closed,
            _ => Self::Failed(error.to_string().into()),
        }
    }
}

impl Sandbox {
    fn input(&self, stream: &Handle<DynInputStream>) -> Result<Option<SharedReader>, SlotError> {
        if !Slots::<Resource>::owns(stream.rep()) {
            return Ok(None);
        }
        match self.slots.get(stream.rep())? {
            Resource::Input(reader) => Ok(Some(SharedReader::clone(reader))),
            _ => Err(SlotError::Wrong(stream.rep())),
        }
    }

    fn output(&self, stream: &Handle<DynOutputStream>) -> Result<Option<&Pipe>, SlotError> {
        if !Slots::<Resource>::owns(stream.rep()) {
            return Ok(None);
        }
        match self.slots.get(stream.rep())? {
            Resource::Output(pipe) => Ok(Some(pipe)),
            _ => Err(SlotError::Wrong(stream.rep())),
        }
    }

    pub(crate) fn subscribe(&mut self, to: Subscription) -> wasmtime::Result<Handle<DynPollable>> {
        Ok(Handle::new_own(self.slots.push(Resource::Pollable(to))?))
    }
}

fn take_len(len: u64) -> usize {
    usize::try_from(len.min(READ_BYTES_MAX)).expect("READ_BYTES_MAX fits in usize")
}

impl streams::Host for Sandbox {
    fn convert_stream_error(
        &mut self,
        failure: StreamFailure,
    ) -> wasmtime::Result<streams::StreamError> {
        match failure {
            StreamFailure::Closed => Ok(streams::StreamError::Closed),
            StreamFailure::Failed(broken) => {
                let rep = self.slots.push(Resource::Error(broken))?;
                Ok(streams::StreamError::LastOperationFailed(Handle::new_own(
                    rep,
                )))
            }
            StreamFailure::Foreign(error) => {
                match table_streams::Host::convert_stream_error(self.table(), error)? {
                    table_streams::StreamError::Closed => Ok(streams::StreamError::Closed),
                    table_streams::StreamError::LastOperationFailed(error) => {
                        Ok(streams::StreamError::LastOperationFailed(error))
                    }
                }
            }
            StreamFailure::Trap(error) => Err(error),
        }
    }
}

impl streams::HostInputStream for Sandbox {
    fn read(&mut self, stream: Handle<DynInputStream>, len: u64) -> Outcome<Vec<u8>> {
        match self.input(&stream)? {
            Some(reader) => {
                let mut reader = reader.lock();
                // What the client has sent already may be read without a subscription.
                let _ = reader
                    .poll_ready(&mut std::task::Context::from_waker(std::task::Waker::noop()));
                Ok(reader.read(take_len(len))?.into())
            }
            None => Ok(table_streams::HostInputStream::read(
                self.table(),
                stream,
                len,
            )?),
        }
    }

    async fn blocking_read(
        &mut self,
        stream: Handle<DynInputStream>,
        len: u64,
    ) -> Outcome<Vec<u8>> {
        match self.input(&stream)? {
            Some(reader) => {
                poll_fn(|cx| reader.lock().poll_ready(cx)).await;
                Ok(reader.lock().read(take_len(len))?.into())
            }
            None => Ok(
                table_streams::HostInputStream::blocking_read(self.table(), stream, len).await?,
            ),
        }
    }

    fn skip(&mut self, stream: Handle<DynInputStream>, len: u64) -> Outcome<u64> {
        Ok(self.read(stream, len)?.len() as u64)
    }

    async fn blocking_skip(&mut self, stream: Handle<DynInputStream>, len: u64) -> Outcome<u64> {
        Ok(self.blocking_read(stream, len).await?.len() as u64)
    }

    fn subscribe(
        &mut self,
        stream: Handle<DynInputStream>,
    ) -> wasmtime::Result<Handle<DynPollable>> {
        match self.input(&stream)? {
            Some(reader) => Sandbox::subscribe(self, Subscription::Input(reader)),
            None => table_streams::HostInputStream::subscribe(self.table(), stream),
        }
    }

    fn drop(&mut self, stream: Handle<DynInputStream>) -> wasmtime::Result<()> {
        if Slots::<Resource>::owns(stream.rep()) {
            self.slots.take(stream.rep())?;
        } else {
            self.table().delete(stream)?;
        }
        Ok(())
    }
}

impl streams::HostOutputStream for Sandbox {
    fn check_write(&mut self, stream: Handle<DynOutputStream>) -> Outcome<u64> {
        match self.output(&stream)? {
            Some(pipe) => Ok(pipe.room()? as u64),
            None => Ok(table_streams::HostOutputStream::check_write(
                self.table(),
                stream,
            )?),
        }
    }

    fn write(&mut self, stream: Handle<DynOutputStream>, bytes: Vec<u8>) -> Outcome<()> {
        match self.output(&stream)? {
            Some(pipe) if bytes.len() > pipe.room()? => Err(StreamFailure::Trap(
                wasmtime::format_err!("`write` of more bytes than `check-write` permitted"),
            )),
            Some(pipe) => Ok(pipe.write(Bytes::from(bytes))?),
            None => Ok(table_streams::HostOutputStream::write(
                self.table(),
                stream,
                bytes,
            )?),
        }
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Handle<DynOutputStream>,
        bytes: Vec<u8>,
    ) -> Outcome<()> {
        if bytes.len() > BLOCKING_WRITE_BYTES_MAX {
            return Err(StreamFailure::Trap(wasmtime::format_err!(
                "blocking-write-and-flush takes at most {BLOCKING_WRITE_BYTES_MAX} bytes"
            )));
        }
        match self.output(&stream)? {
            Some(pipe) => {
                poll_fn(|cx| pipe.poll_room(cx)).await;
                pipe.write(Bytes::from(bytes))?;
                poll_fn(|cx| pipe.poll_flushed(cx)).await;
                Ok(())
            }
            None => Ok(table_streams::HostOutputStream::blocking_write_and_flush(
                self.table(),
                stream,
                bytes,
            )
            .await?),
        }
    }

    fn write_zeroes(&mut self, stream: Handle<DynOutputStream>, len: u64) -> Outcome<()> {
        match self.output(&stream)? {
            Some(pipe) => {
                // A guest that writes more than there is room for breaks the contract of `write`.
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(pipe.room()?);
                Ok(pipe.write(Bytes::from(vec![0; len]))?)
            }
            None => Ok(table_streams::HostOutputStream::write_zeroes(
                self.table(),
                stream,
                len,
            )?),
        }
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Handle<DynOutputStream>,
        len: u64,
    ) -> Outcome<()> {
        let len = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .min(BLOCKING_WRITE_BYTES_MAX);
        self.blocking_write_and_flush(stream, vec![0; len]).await
    }

    fn flush(&mut self, stream: Handle<DynOutputStream>) -> Outcome<()> {
        match self.output(&stream)? {
            // What was written is on its way: the reader takes it when the client can.
            Some(pipe) => pipe.room().map(drop).map_err(Into::into),
            None => Ok(table_streams::HostOutputStream::flush(
                self.table(),
                stream,
            )?),
        }
    }

    async fn blocking_flush(&mut self, stream: Handle<DynOutputStream>) -> Outcome<()> {
        match self.output(&stream)? {
            Some(pipe) => {
                poll_fn(|cx| pipe.poll_flushed(cx)).await;
                pipe.room().map(drop).map_err(Into::into)
            }
            None => {
                Ok(table_streams::HostOutputStream::blocking_flush(self.table(), stream).await?)
            }
        }
    }

    fn subscribe(
        &mut self,
        stream: Handle<DynOutputStream>,
    ) -> wasmtime::Result<Handle<DynPollable>> {
        if !Slots::<Resource>::owns(stream.rep()) {
            return table_streams::HostOutputStream::subscribe(self.table(), stream);
        }
        let Resource::Output(pipe) = self.slots.get(stream.rep())? else {
            return Err(SlotError::Wrong(stream.rep()).into());
        };
        let pipe = std::sync::Arc::clone(pipe);
        Sandbox::subscribe(self, Subscription::Output(pipe))
    }

    fn splice(
        &mut self,
        stream: Handle<DynOutputStream>,
        from: Handle<DynInputStream>,
        len: u64,
    ) -> Outcome<u64> {
        let room = self.check_write(Handle::new_borrow(stream.rep()))?;
        let bytes = streams::HostInputStream::read(self, from, len.min(room))?;
        let moved = bytes.len() as u64;
        self.write(stream, bytes)?;
        Ok(moved)
    }

    async fn blocking_splice(
        &mut self,
        stream: Handle<DynOutputStream>,
        from: Handle<DynInputStream>,
        len: u64,
    ) -> Outcome<u64> {
        let len = len.min(BLOCKING_WRITE_BYTES_MAX as u64);
        let bytes = streams::HostInputStream::blocking_read(self, from, len).await?;
        let moved = bytes.len() as u64;
        self.blocking_write_and_flush(stream, bytes).await?;
        Ok(moved)
    }

    fn drop(&mut self, stream: Handle<DynOutputStream>) -> wasmtime::Result<()> {
        if Slots::<Resource>::owns(stream.rep()) {
            self.slots.take(stream.rep())?;
        } else {
            self.table().delete(stream)?;
        }
        Ok(())
    }
}

impl error::Host for Sandbox {}

impl error::HostError for Sandbox {
    fn to_debug_string(&mut self, error: Handle<IoError>) -> wasmtime::Result<String> {
        if !Slots::<Resource>::owns(error.rep()) {
            return table_error::HostError::to_debug_string(self.table(), error);
        }
        match self.slots.get(error.rep())? {
            Resource::Error(broken) => Ok(broken.reason.to_string()),
            _ => Err(SlotError::Wrong(error.rep()).into()),
        }
    }

    fn drop(&mut self, error: Handle<IoError>) -> wasmtime::Result<()> {
        if Slots::<Resource>::owns(error.rep()) {
            self.slots.take(error.rep())?;
            return Ok(());
        }
        table_error::HostError::drop(self.table(), error)
    }
}
