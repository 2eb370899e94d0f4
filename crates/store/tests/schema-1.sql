-- The tables of the first schema, as they were.
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
PRAGMA user_version = 1;
