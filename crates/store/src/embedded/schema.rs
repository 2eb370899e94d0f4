//! The catalog's tables.
//!
//! Owns their SQL, and that the catalog has one connection. Knows nothing of what the rows mean.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;
use super::database::{self, Tables};
use super::disk::Medium;

/// The version of the tables that this binary reads and writes.
pub const SCHEMA_VERSION: i64 = 6;

/// Says "this SQLite file is an Everwarm catalog" (`file`(1) shows it).
const APPLICATION_ID: i64 = 0x4557_4341;

/// Each step takes a file from the version before to the next; the first makes all tables.
const STEPS: [&str; 6] = [
    "
    CREATE TABLE version (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        id BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        manifest TEXT NOT NULL,
        PRIMARY KEY (tenant, app, id)
    ) STRICT;
    CREATE TABLE component (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        version BLOB NOT NULL,
        function TEXT NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (tenant, app, version, function),
        FOREIGN KEY (tenant, app, version) REFERENCES version (tenant, app, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE live (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        version BLOB NOT NULL,
        PRIMARY KEY (tenant, app),
        FOREIGN KEY (tenant, app, version) REFERENCES version (tenant, app, id)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE component ADD COLUMN world TEXT;
    CREATE INDEX component_of_digest ON component (tenant, digest);

    -- JSON: which versions serve, and where a rollback goes.
    CREATE TABLE traffic (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        traffic TEXT NOT NULL,
        PRIMARY KEY (tenant, app)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO traffic (tenant, app, traffic)
        SELECT tenant, app, '{\"main\":\"sha256:' || lower(hex(version)) || '\"}' FROM live;
    DROP TABLE live;

    -- `labels` is the host with its labels reversed, so that all below a domain are neighbours.
    CREATE TABLE host (
        labels TEXT NOT NULL,
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        host TEXT NOT NULL,
        PRIMARY KEY (labels, tenant, app)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX host_of_app ON host (tenant, app);

    CREATE TABLE artifact (
        tenant TEXT NOT NULL,
        digest BLOB NOT NULL,
        bytes INTEGER NOT NULL,
        put_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, digest)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE tenant (
        id TEXT NOT NULL PRIMARY KEY,
        quotas TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE token (
        id BLOB NOT NULL PRIMARY KEY,
        tenant TEXT REFERENCES tenant (id),
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        secret_hash BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT,
        at_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT;

    CREATE TABLE usage (
        hour INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        version BLOB NOT NULL,
        function TEXT NOT NULL,
        start_level TEXT NOT NULL,
        status_class INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        cpu_us INTEGER NOT NULL,
        wall_us INTEGER NOT NULL,
        -- 128 bits, big-endian: sums of bytes times milliseconds outgrow 64.
        byte_ms BLOB NOT NULL,
        memory_peak_bytes INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        bytes_out INTEGER NOT NULL,
        PRIMARY KEY (hour, tenant, app, version, function, start_level, status_class)
    ) STRICT, WITHOUT ROWID;
    -- The last batch of each run of the node that was added to `usage`.
    CREATE TABLE usage_run (
        run INTEGER NOT NULL UNIQUE,
        last INTEGER NOT NULL
    ) STRICT;
",
    "
    -- Deploys that were done under a key of their sender's.
    CREATE TABLE once (
        tenant TEXT NOT NULL,
        key TEXT NOT NULL,
        request BLOB NOT NULL,
        version BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX version_of_app ON version (app);
",
    "
    -- Apps that were removed, whose key-value data may have to be. From here on rows may say more, too: quotas on
    -- key-value data (`tenant`), and writes of it (`audit`).
    CREATE TABLE removed_app (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        UNIQUE (tenant, app)
    ) STRICT;
  ",
    "
    CREATE TABLE secret (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        name TEXT NOT NULL,
        -- The version that functions get, and the newest that there was.
        current INTEGER NOT NULL,
        newest INTEGER NOT NULL,
        PRIMARY KEY (tenant, app, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secret_version (
        tenant TEXT NOT NULL,
        app TEXT NOT NULL,
        name TEXT NOT NULL,
        version INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (tenant, app, name, version),
        FOREIGN KEY (tenant, app, name) REFERENCES secret (tenant, app, name)
    ) STRICT;
  ",
    "
    -- The bundle of its files.
    ALTER TABLE version ADD COLUMN assets BLOB;
    CREATE INDEX version_of_assets ON version (tenant, assets) WHERE assets IS NOT NULL;
",
];

/// Opens the catalog, and makes or upgrades its tables.
pub(super) fn open(path: &Path, medium: &Medium) -> Result<Connection, OpenError> {
    let tables = Tables {
        application_id: APPLICATION_ID,
        steps: &STEPS,
    };
    // First of all: from the start on, the index of the write-ahead log is in this process's memory. The folder's lock
    // keeps other nodes out; this one keeps a curious `sqlite3` from writing.
    let lock =
        |connection: &Connection| connection.pragma_update(None, "locking_mode", "EXCLUSIVE");
    database::open(path, medium, medium.vfs.as_deref(), &tables, lock)
}
