//! A connection that somebody has, and how it is asked. Owns that it comes back however its owner ends. Knows no SQL.

use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::pool::{Permits, Pool, let_go};
use super::seat::{Ask, Done, Message, Work};
use super::watch::{Cancel, Limits};
use crate::sql::{SqlError, SqlKind, Terms};

/// What the cursors of one connection may ask before it has answered.
const ASKS_MAX: usize = 8;

/// A connection that somebody has.
#[derive(Debug)]
pub(super) struct Lease {
    number: u64,
    line: Line,
    permits: Option<Permits>,
    pool: Weak<Pool>,
    /// Whether the connection is as it was found.
    is_clean: bool,
}

/// The way to a connection's thread.
#[derive(Debug, Clone)]
pub(super) struct Line {
    messages: mpsc::Sender<Message>,
    /// One permit for each question of a cursor that waits to be answered.
    asks: Arc<Semaphore>,
}

impl Lease {
    pub(super) fn new(
        number: u64,
        messages: mpsc::Sender<Message>,
        permits: Permits,
        pool: Weak<Pool>,
    ) -> Self {
        Self {
            number,
            line: Line {
                messages,
                asks: Arc::new(Semaphore::new(ASKS_MAX)),
            },
            permits: Some(permits),
            pool,
            is_clean: true,
        }
    }

    pub(super) fn line(&self) -> Line {
        self.line.clone()
    }

    /// Asks something. From now on the connection may be in something.
    pub(super) async fn ask(
        &mut self,
        work: Work,
        terms: &Terms,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Done, SqlError> {
        self.is_clean = false;
        self.line.ask(work, terms, room).await
    }

    /// Says that the connection is in nothing.
    pub(super) fn is_as_found(&mut self) {
        self.is_clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(permits) = self.permits.take() else {
            return;
        };
        if self.is_clean {
            if let Some(pool) = self.pool.upgrade() {
                pool.free(self.number, permits);
            }
            return;
        }
        let sent = self.line.messages.send(Message::Free(permits));
        if sent.is_err()
            && let Some(pool) = self.pool.upgrade()
        {
            pool.forget(self.number);
        }
    }
}

impl Line {
    /// Asks something of the connection. Dropping the future ends the statement.
    async fn ask(
        &self,
        work: Work,
        terms: &Terms,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<Done, SqlError> {
        let cancel = Arc::<Cancel>::default();
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            work,
            limits: Limits {
                cancel: Arc::clone(&cancel),
                until: until(terms),
                running: terms.running_max,
                written: 0,
            },
            terms: *terms,
            answer,
            room,
        };
        let sent = self.messages.send(Message::Ask(Box::new(ask)));
        sent.map_err(|_| let_go())?;
        // Raised when the answer is there too: then the statement, whose own it is, looks at it no more.
        let _raise = RaiseOnDrop(cancel);
        answered.await.unwrap_or_else(|_| Err(let_go()))
    }

    /// As [`Self::ask`], for a cursor that doesn't have the connection to itself.
    pub(super) async fn ask_too(&self, work: Work, terms: &Terms) -> Result<Done, SqlError> {
        let asking = Arc::clone(&self.asks).try_acquire_owned().map_err(|_| {
            let what =
                "too many cursors of the transaction are read at once: read one after another";
            SqlError::new(SqlKind::Busy, what)
        })?;
        self.ask(work, terms, Some(asking)).await
    }
}

/// Until when a statement that begins now may wait and run.
pub(super) fn until(terms: &Terms) -> Instant {
    let now = Instant::now();
    let all = terms.waiting_max.saturating_add(terms.running_max);
    now.checked_add(all)
        .unwrap_or(now + Duration::from_hours(1))
}

struct RaiseOnDrop(Arc<Cancel>);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}
