//! The tables of key-value data. Owns their SQL.

use super::super::database::Tables;

/// Says "this SQLite file is Everwarm's key-value data".
const APPLICATION_ID: i64 = 0x4557_4b56;

/// The version of each.
pub(in super::super) const TABLES: Tables = Tables {
    application_id: APPLICATION_ID,
    steps: &["
    -- AUTOINCREMENT: the number of an app that was removed is never another's, its entries are still there.
    CREATE TABLE app (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        -- Sums over its entries, and the last revision that was made.
        entries INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        UNIQUE (tenant, name)
    ) STRICT;
    -- Apps that were removed and still have entries.
    CREATE TABLE removed (
        app INTEGER PRIMARY KEY
    ) STRICT;
    -- One row: the largest revision of an app that was removed. One that comes back goes on from there.
    CREATE TABLE past (
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO past (revision) VALUES (0);

    -- Without a rowid a small entry is one page to find and one to write. A key is a blob, so that what it is less than
    -- can be any bytes. The value comes last: all else is read without the pages that a large one goes on in.
    CREATE TABLE entry (
        app INTEGER NOT NULL,
        bucket TEXT NOT NULL,
        key BLOB NOT NULL,
        revision INTEGER NOT NULL,
        expires_ms INTEGER,
        value BLOB NOT NULL,
        PRIMARY KEY (app, bucket, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX expiry ON entry (expires_ms) WHERE expires_ms IS NOT NULL;
"],
};
