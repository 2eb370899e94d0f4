//! A corpus of what guests may not do. Each is refused with its kind, and the database is as it was.

use super::*;

/// All that reaches out of the database, or would change how it is kept.
const DENIED: &[&str] = &[
    "ATTACH '/tmp/other.sqlite' AS other",
    "ATTACH DATABASE 'file:other.sqlite?mode=rwc' AS other",
    "ATTACH ':memory:' AS other",
    "ATTACH '' AS other",
    "attach database x'6f74686572' as other",
    "EXPLAIN ATTACH 'other.sqlite' AS other",
    "DETACH other",
    "DETACH main",
    "VACUUM",
    "VACUUM main",
    "VACUUM INTO '/tmp/copy.sqlite'",
    "VACUUM INTO (SELECT 'copy.sqlite')",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode",
    "PRAGMA main.journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA temp_store_directory = '/'",
    "PRAGMA data_store_directory = '/'",
    "PRAGMA writable_schema = ON",
    "PRAGMA writable_schema",
    "PRAGMA trusted_schema = ON",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA max_page_count = 1000000",
    "PRAGMA page_size = 512",
    "PRAGMA cache_size = 1000000",
    "PRAGMA mmap_size = 1000000000",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA soft_heap_limit = 1",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA journal_size_limit = -1",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7",
    "PRAGMA schema_version = 7",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA auto_vacuum = FULL",
    "PRAGMA incremental_vacuum",
    "PRAGMA query_only = ON",
    "PRAGMA busy_timeout = 1000000",
    "PRAGMA analysis_limit = 1",
    "PRAGMA threads = 8",
    "PRAGMA cell_size_check = OFF",
    "PRAGMA ignore_check_constraints = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA legacy_alter_table = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA database_list",
    "PRAGMA module_list",
    "PRAGMA shrink_memory",
    "PRAGMA optimize",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_journal_mode",
    "SELECT load_extension('/lib/x86_64-linux-gnu/libc.so.6')",
    "SELECT load_extension('x', 'y')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT json_patch('{}', '{}')",
    "SELECT jsonb_patch('{}', '{}')",
    "SELECT * FROM dbstat",
    "SELECT * FROM DBSTAT('main')",
    "CREATE VIRTUAL TABLE v USING dbstat",
    "CREATE VIRTUAL TABLE v USING fts3(x)",
    "CREATE VIRTUAL TABLE v USING fts4(x)",
    "CREATE VIRTUAL TABLE v USING rtree(id, a, b)",
    "CREATE VIRTUAL TABLE v USING csv('/etc/passwd')",
    "CREATE VIRTUAL TABLE temp.v USING fts5(x)",
    "CREATE TEMP TABLE x (n)",
    "CREATE TEMPORARY TABLE x AS SELECT 1",
    "CREATE TABLE temp.x (n)",
    "CREATE TEMP VIEW x AS SELECT 1",
    "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE TABLE __everwarm_mine (n)",
    "BEGIN",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT s",
];

/// What SQLite has no way to do as it is set here.
const MISTAKES: &[&str] = &[
    "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, 'CREATE TABLE x (n)')",
    "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (x)'",
    "DELETE FROM sqlite_schema",
    "DROP TABLE sqlite_schema",
    "CREATE TABLE sqlite_mine (n)",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'x')",
    "SELECT edit('x')",
    "SELECT * FROM sqlite_dbpage",
    "SELECT * FROM generate_series(1, 10)",
    "SELECT * FROM other.t",
    "INSERT INTO notes_data VALUES (1, x'00')",
    "RELEASE s",
    "ROLLBACK TO s",
    "",
    "-- nothing",
    ";",
    "SELECT \0",
    "CREATE TABLE x (n) STRICT",
    "SELECT * FROM t WHERE n MATCH 'x'",
];

async fn with_tables(store: &Embedded) {
    let connection = &mut *connect(store);
    execute(connection, "CREATE TABLE t (n INTEGER)").await;
    execute(connection, "INSERT INTO t VALUES (1), (2)").await;
    execute(connection, "CREATE VIRTUAL TABLE notes USING fts5(body)").await;
}

async fn kind_of(connection: &mut dyn Connection, sql: &str) -> Result<SqlKind, &'static str> {
    let executed = try_execute(connection, sql).await;
    executed.map_or_else(|error| Ok(error.kind), |_| Err("it was done"))
}

#[tokio::test]
async fn what_reaches_out_of_the_database_is_denied() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    with_tables(&store).await;
    for sql in DENIED {
        let mut connection = connect(&store);
        let done = try_execute(&mut *connection, sql).await;
        let kind = done.as_ref().map_err(|error| error.kind);
        assert_eq!(kind, Err(SqlKind::Denied), "{sql}: {done:?}");
        // As rows, and in a transaction, it is no other.
        if !sql.starts_with("SAVEPOINT") {
            let asked = rows(&mut *connection, sql).await.unwrap_err();
            let is_refused = matches!(asked.kind, SqlKind::Denied | SqlKind::Sql);
            assert!(is_refused, "{sql}: {asked}");
            connection.begin(Access::Write).await.unwrap();
            let kind = kind_of(&mut *connection, sql).await;
            let is_refused = matches!(kind, Ok(SqlKind::Denied | SqlKind::Sql));
            assert!(is_refused, "{sql}: {kind:?}");
            connection.commit().await.unwrap();
        }
        let batch = vec![
            Statement::new("INSERT INTO t VALUES (3)"),
            Statement::new(*sql),
        ];
        let done = connection.execute_batch(batch).await;
        if !sql.starts_with("SAVEPOINT") {
            assert!(done.is_err(), "{sql}");
            assert_eq!(
                number(&mut *connection, "SELECT count(*) FROM t").await,
                2,
                "{sql}"
            );
        }
        execute(&mut *connection, "DELETE FROM t WHERE n = 3").await;
    }
    assert_eq!(
        rows(&mut *connect(&store), "PRAGMA integrity_check")
            .await
            .unwrap()
            .len(),
        1
    );
    let beside = std::fs::read_dir(dir.path().join("sql/default/shop")).unwrap();
    for file in beside {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("default.sqlite"), "{name}");
    }
}

#[tokio::test]
async fn what_sqlite_has_no_way_to_do_is_a_mistake_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    with_tables(&store).await;
    for sql in MISTAKES {
        let kind = kind_of(&mut *connect(&store), sql).await;
        let is_empty = matches!(*sql, "" | "-- nothing" | ";");
        let is_refused = matches!(kind, Ok(SqlKind::Sql | SqlKind::Denied));
        assert!(is_refused || is_empty, "{sql}: {kind:?}");
    }
    assert_eq!(
        number(&mut *connect(&store), "SELECT count(*) FROM t").await,
        2
    );
}

#[tokio::test]
async fn triggers_and_views_may_do_no_more_than_statements() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    with_tables(&store).await;
    let connection = &mut *connect(&store);
    execute(
        connection,
        "CREATE VIEW v AS SELECT * FROM pragma_database_list",
    )
    .await;
    execute(
        connection,
        "CREATE TRIGGER a AFTER INSERT ON t WHEN NEW.n = 1 BEGIN SELECT load_extension('x'); END",
    )
    .await;
    execute(connection, "CREATE TRIGGER b AFTER INSERT ON t WHEN NEW.n = 2 BEGIN DELETE FROM __everwarm_migrations; END").await;
    for sql in [
        "SELECT * FROM v",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (2)",
    ] {
        let kind = kind_of(connection, sql).await;
        assert!(
            matches!(kind, Ok(SqlKind::Denied | SqlKind::Sql)),
            "{sql}: {kind:?}"
        );
    }
}

/// The engine's own statements are prepared without asking. None of them is ever found by a guest's text.
#[tokio::test]
async fn guests_text_that_the_engine_uses_too_is_denied_after_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    with_tables(&store).await;
    for _ in 0..4 {
        let mut connection = connect(&store);
        connection.begin(Access::Write).await.unwrap();
        connection.commit().await.unwrap();
        for sql in [
            "BEGIN",
            "BEGIN IMMEDIATE",
            "COMMIT",
            "ROLLBACK",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA max_page_count = 262144",
        ] {
            let kind = kind_of(&mut *connection, sql).await;
            assert_eq!(kind, Ok(SqlKind::Denied), "{sql}");
        }
    }
}

#[tokio::test]
async fn messages_name_what_is_denied_and_have_no_paths() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    with_tables(&store).await;
    for (sql, said) in [
        ("PRAGMA journal_mode = OFF", "`PRAGMA journal_mode`"),
        ("ATTACH 'x' AS y", "`ATTACH`"),
        ("BEGIN", "use the connection's transactions"),
        ("SELECT load_extension('x')", "`load_extension`"),
        ("CREATE TEMP TABLE x (n)", "temporary tables"),
        ("DELETE FROM __everwarm_migrations", "__everwarm_migrations"),
    ] {
        let error = try_execute(&mut *connect(&store), sql).await.unwrap_err();
        assert!(error.message.contains(said), "{sql}: {error}");
        let path = dir.path().to_str().unwrap();
        assert!(!error.message.contains(path), "{error}");
    }
}
