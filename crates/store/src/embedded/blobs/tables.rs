//! The tables of the index of blobs. Owns their SQL.

use super::super::database::Tables;

/// Says "this SQLite file is Everwarm's index of blobs".
const APPLICATION_ID: i64 = 0x4557_424c;

/// The version of each.
pub(in super::super) const TABLES: Tables = Tables {
    application_id: APPLICATION_ID,
    steps: &["
    -- AUTOINCREMENT: the number of an app that was removed is never another's, its blobs are still there.
    CREATE TABLE app (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        -- Sums over its blobs.
        blobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (tenant, name)
    ) STRICT;
    -- Apps that were removed and still have blobs, with the folder of those.
    CREATE TABLE removed (
        app INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL
    ) STRICT;
    CREATE TABLE container (
        app INTEGER NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (app, name)
    ) STRICT, WITHOUT ROWID;
    -- A name is a blob, so that what it is less than can be any bytes.
    CREATE TABLE blob (
        app INTEGER NOT NULL,
        container TEXT NOT NULL,
        name BLOB NOT NULL,
        file TEXT NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB NOT NULL,
        content_type TEXT,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (app, container, name)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX of_file ON blob (file);
", "
    -- Where its bytes are: 0 in a file, 1 in an object of the bucket.
    ALTER TABLE blob ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
    -- What this store is called in the bucket, once it has one. A store that is restored gets another name.
    CREATE TABLE bucket (
        owner TEXT NOT NULL
    ) STRICT;
"],
};
