//! The tables of queues and schedules. Owns their SQL.

use super::super::database::Tables;

/// Says "this SQLite file is Everwarm's queues".
const APPLICATION_ID: i64 = 0x4557_5155;

/// The version of each.
pub(in super::super) const TABLES: Tables = Tables {
    application_id: APPLICATION_ID,
    steps: &["
    CREATE TABLE app (
        id INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        -- Sums over its triggers.
        messages INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (tenant, name)
    ) STRICT;
    -- AUTOINCREMENT: the number of a trigger that was removed is never another's, its messages are still there.
    CREATE TABLE trigger (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        app INTEGER NOT NULL REFERENCES app (id),
        -- 0 is a queue, 1 a schedule.
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        -- The last name that a message got.
        last INTEGER NOT NULL,
        -- Sums over its messages: those that wait or are leased, the dead ones, and the bytes of all.
        waiting INTEGER NOT NULL,
        dead INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        is_paused INTEGER NOT NULL,
        fired_ms INTEGER,
        UNIQUE (app, kind, name)
    ) STRICT;
    -- Triggers that were removed and still have messages.
    CREATE TABLE removed (
        trigger INTEGER PRIMARY KEY
    ) STRICT;

    -- Without a rowid a small message is one page to find and one to write. The dead are apart, so that neither they
    -- nor the others are in the way when the rest is listed.
    CREATE TABLE message (
        trigger INTEGER NOT NULL,
        is_dead INTEGER NOT NULL,
        id INTEGER NOT NULL,
        is_leased INTEGER NOT NULL,
        -- When it is due, or the lease over; of a dead one, when it died.
        due_ms INTEGER NOT NULL,
        receipt INTEGER,
        attempts INTEGER NOT NULL,
        sent_ms INTEGER NOT NULL,
        scheduled_ms INTEGER,
        bytes INTEGER NOT NULL,
        content_type TEXT,
        trace TEXT,
        reason TEXT,
        -- NULL when it is in `large`.
        body BLOB,
        PRIMARY KEY (trigger, is_dead, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX due ON message (trigger, is_leased, due_ms, id) WHERE is_dead = 0;
    CREATE INDEX died ON message (due_ms) WHERE is_dead = 1;

    -- Bodies that take pages of their own: to lease a message doesn't write them again.
    CREATE TABLE large (
        trigger INTEGER NOT NULL,
        id INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (trigger, id)
    ) STRICT, WITHOUT ROWID;
"],
};
