//! What is read of a kept answer while it is sent, because it is too large for memory.

use std::sync::Arc;

use everwarm_cache::disk::{Damage, Opened, PIECE_BYTES};
use everwarm_engine::fault::Fault;
use tokio::sync::OwnedSemaphorePermit;

use super::disk::{DiskReads, Large};
use crate::pieces::{Reading, Source};
use crate::respond::Failure;

/// Called when the content isn't what was written, and not when a read of it failed that may pass.
type OnDamage = Box<dyn FnOnce()>;

/// The content of one.
pub(crate) struct LargeContent {
    content: Arc<Opened>,
    reads: DiskReads,
    _stream: OwnedSemaphorePermit,
    on_damage: Option<OnDamage>,
}

impl LargeContent {
    pub(crate) fn new(large: Large, on_damage: OnDamage) -> Self {
        Self {
            content: large.content,
            reads: large.reads,
            _stream: large.stream,
            on_damage: Some(on_damage),
        }
    }
}

impl Source for LargeContent {
    const PIECE_BYTES: u64 = PIECE_BYTES as u64;
    type Error = Damage;

    fn read(&self, piece: usize) -> Reading<Damage> {
        let (content, reads) = (Arc::clone(&self.content), self.reads.clone());
        Box::pin(async move {
            let turn = reads.turn().await;
            let read = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                content.piece(piece)
            });
            read.await.map_err(std::io::Error::from)?
        })
    }

    fn failed(&mut self, damage: Damage) -> Failure {
        if !damage.is_lasting() {
            self.reads.warn(&damage);
        } else if let Some(on_damage) = self.on_damage.take() {
            on_damage();
        }
        Fault::BodyDropped.into()
    }
}
