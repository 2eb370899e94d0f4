//! The books of an app and of one of its triggers: how much they keep, and where the trigger is. Owns the rows' SQL.
//!
//! The rows are read once and written once for each change, so that what a quota costs doesn't depend on how much there
//! is.

use everwarm_manifest::{QueueName, ScheduleName};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::grouped::{signed, unsigned};
use crate::catalog::UnixMillis;
use crate::triggers::{KeptMessages, MessageId, Trigger, TriggerError, TriggerId, TriggerQuota};

/// The books of one trigger and its app, while they are changed.
#[derive(Debug)]
pub(super) struct Books {
    /// The trigger's number.
    pub(super) trigger: i64,
    app: i64,
    of_app: KeptMessages,
    last: u64,
    /// Messages that wait or are leased.
    pub(super) waiting: u64,
    /// Messages that failed too often.
    pub(super) dead: u64,
    /// Bytes of both.
    pub(super) bytes: u64,
    pub(super) is_paused: bool,
    pub(super) fired: Option<UnixMillis>,
}

/// As the table has it: which kind, and the name.
fn kind(trigger: &Trigger) -> (i64, &str) {
    match trigger {
        Trigger::Queue(name) => (0, name.as_str()),
        Trigger::Schedule(name) => (1, name.as_str()),
    }
}

/// What [`kind`] says of one; `None` of what it can't have said.
pub(super) fn trigger(kind: i64, name: &str) -> Option<Trigger> {
    match kind {
        0 => QueueName::new(name).ok().map(Trigger::Queue),
        1 => ScheduleName::new(name).ok().map(Trigger::Schedule),
        _ => None,
    }
}

impl Books {
    pub(super) fn of(connection: &Connection, id: &TriggerId) -> rusqlite::Result<Option<Self>> {
        // The app comes first: it is one row, and found in one look.
        let mut query = connection.prepare_cached(
            "SELECT trigger.id, app.id, app.messages, app.bytes, last, waiting, dead, trigger.bytes,
                    is_paused, fired_ms
             FROM app CROSS JOIN trigger ON trigger.app = app.id
             WHERE app.tenant = ?1 AND app.name = ?2 AND kind = ?3 AND trigger.name = ?4",
        )?;
        let (kind, name) = kind(&id.trigger);
        let of = params![id.tenant.as_str(), id.app.as_str(), kind, name];
        query.query_row(of, Self::read).optional()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column| row.get(column).map(unsigned);
        Ok(Self {
            trigger: row.get(0)?,
            app: row.get(1)?,
            of_app: KeptMessages {
                messages: count(2)?,
                bytes: count(3)?,
            },
            last: count(4)?,
            waiting: count(5)?,
            dead: count(6)?,
            bytes: count(7)?,
            is_paused: row.get(8)?,
            fired: row.get::<_, Option<i64>>(9)?.map(UnixMillis::of_i64),
        })
    }

    /// As [`Books::of`], of a trigger that may be new.
    pub(super) fn open(connection: &Connection, id: &TriggerId) -> rusqlite::Result<Self> {
        if let Some(books) = Self::of(connection, id)? {
            return Ok(books);
        }
        let (tenant, app) = (id.tenant.as_str(), id.app.as_str());
        connection
            .prepare_cached(
                "INSERT INTO app (tenant, name, messages, bytes) VALUES (?1, ?2, 0, 0)
                 ON CONFLICT (tenant, name) DO NOTHING",
            )?
            .execute(params![tenant, app])?;
        let (kind, name) = kind(&id.trigger);
        connection
            .prepare_cached(
                "INSERT INTO trigger (app, kind, name, last, waiting, dead, bytes, is_paused)
                 SELECT id, ?3, ?4, 0, 0, 0, 0, 0 FROM app WHERE tenant = ?1 AND name = ?2",
            )?
            .execute(params![tenant, app, kind, name])?;
        let books = Self::of(connection, id)?;
        books.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// Room for messages that have so many bytes together.
    pub(super) fn put(
        &mut self,
        messages: u64,
        bytes: u64,
        quota: TriggerQuota,
    ) -> Result<(), TriggerError> {
        let kept = self.of_app;
        if kept.messages.saturating_add(messages) > quota.messages_max {
            return Err(TriggerError::TooManyMessages {
                messages_max: quota.messages_max,
            });
        }
        if kept.bytes.saturating_add(bytes) > quota.bytes_max {
            return Err(TriggerError::TooManyBytes {
                kept: kept.bytes,
                more: bytes,
                bytes_max: quota.bytes_max,
            });
        }
        self.of_app.messages += messages;
        self.of_app.bytes += bytes;
        self.waiting += messages;
        self.bytes += bytes;
        Ok(())
    }

    /// The name of a message that has room.
    pub(super) fn name(&mut self) -> MessageId {
        self.last += 1;
        MessageId(self.last)
    }

    /// A message less.
    pub(super) fn take(&mut self, is_dead: bool, bytes: u64) {
        let count = if is_dead {
            &mut self.dead
        } else {
            &mut self.waiting
        };
        *count = count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.of_app.messages = self.of_app.messages.saturating_sub(1);
        self.of_app.bytes = self.of_app.bytes.saturating_sub(bytes);
    }

    /// A message that waited is dead.
    pub(super) fn bury(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.dead += 1;
    }

    /// A dead message waits.
    pub(super) fn revive(&mut self) {
        self.dead = self.dead.saturating_sub(1);
        self.waiting += 1;
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE app SET messages = ?2, bytes = ?3 WHERE id = ?1")?
            .execute(params![
                self.app,
                signed(self.of_app.messages),
                signed(self.of_app.bytes),
            ])?;
        connection
            .prepare_cached(
                "UPDATE trigger SET last = ?2, waiting = ?3, dead = ?4, bytes = ?5, is_paused = ?6,
                        fired_ms = ?7 WHERE id = ?1",
            )?
            .execute(params![
                self.trigger,
                signed(self.last),
                signed(self.waiting),
                signed(self.dead),
                signed(self.bytes),
                self.is_paused,
                self.fired.map(UnixMillis::as_i64),
            ])?;
        Ok(())
    }
}
