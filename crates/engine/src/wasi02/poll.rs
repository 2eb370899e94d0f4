//! `wasi:io/poll`: waits for our body streams and for `wasmtime-wasi`'s pollables at once.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::component::Resource as Handle;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi_io::bindings::wasi::io::poll as table_poll;

use super::bindings::wasi::io::poll;
use crate::resource::{Resource, Subscription};
use crate::sandbox::Sandbox;
use crate::slots::{SlotError, Slots};

/// Pollables that one call may wait for.
const POLLABLES_MAX: usize = 10_000;

impl Subscription {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Input(reader) => reader.lock().poll_ready(cx),
            Self::Output(pipe) => pipe.poll_room(cx),
            Self::Trailers(reader) => reader.lock().poll_end(cx),
            Self::Response(outcome) => outcome.poll_ready(cx),
        }
    }
}

impl Sandbox {
    fn subscription(
        &self,
        pollable: &Handle<DynPollable>,
    ) -> Result<Option<Subscription>, SlotError> {
        if !Slots::<Resource>::owns(pollable.rep()) {
            return Ok(None);
        }
        match self.slots.get(pollable.rep())? {
            Resource::Pollable(subscription) => Ok(Some(subscription.clone())),
            _ => Err(SlotError::Wrong(pollable.rep())),
        }
    }
}

impl poll::Host for Sandbox {
    async fn poll(&mut self, list: Vec<Handle<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if list.is_empty() || list.len() > POLLABLES_MAX {
            wasmtime::bail!(
                "poll takes 1 to {POLLABLES_MAX} pollables, not {}",
                list.len()
            );
        }
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        let mut their_indices = Vec::new();
        for (index, pollable) in (0u32..).zip(list) {
            if let Some(subscription) = self.subscription(&pollable)? {
                ours.push((index, subscription));
            } else {
                theirs.push(pollable);
                their_indices.push(index);
            }
        }
        if theirs.is_empty() {
            return Ok(poll_fn(|cx| poll_ours(&ours, cx)).await);
        }
        let mut theirs = pin!(table_poll::Host::poll(self.table(), theirs));
        poll_fn(|cx| {
            let mut ready = match poll_ours(&ours, cx) {
                Poll::Ready(ready) => ready,
                Poll::Pending => Vec::new(),
            };
            match theirs.as_mut().poll(cx) {
                Poll::Ready(Ok(more)) => {
                    ready.extend(more.into_iter().map(|index| their_indices[index as usize]));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if ready.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
            Poll::Ready(Ok(ready))
        })
        .await
    }
}

fn poll_ours(ours: &[(u32, Subscription)], cx: &mut Context<'_>) -> Poll<Vec<u32>> {
    let ready: Vec<u32> = ours
        .iter()
        .filter(|(_, subscription)| subscription.poll_ready(cx).is_ready())
        .map(|(index, _)| *index)
        .collect();
    if ready.is_empty() {
        Poll::Pending
    } else {
        Poll::Ready(ready)
    }
}

impl poll::HostPollable for Sandbox {
    async fn ready(&mut self, pollable: Handle<DynPollable>) -> wasmtime::Result<bool> {
        match self.subscription(&pollable)? {
            Some(subscription) => Ok(subscription
                .poll_ready(&mut Context::from_waker(Waker::noop()))
                .is_ready()),
            None => table_poll::HostPollable::ready(self.table(), pollable).await,
        }
    }

    async fn block(&mut self, pollable: Handle<DynPollable>) -> wasmtime::Result<()> {
        match self.subscription(&pollable)? {
            Some(subscription) => {
                poll_fn(|cx| subscription.poll_ready(cx)).await;
                Ok(())
            }
            None => table_poll::HostPollable::block(self.table(), pollable).await,
        }
    }

    fn drop(&mut self, pollable: Handle<DynPollable>) -> wasmtime::Result<()> {
        if Slots::<Resource>::owns(pollable.rep()) {
            self.slots.take(pollable.rep())?;
            return Ok(());
        }
        table_poll::HostPollable::drop(self.table(), pollable)
    }
}
