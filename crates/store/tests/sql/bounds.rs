//! What guests may not take: time, memory, and what is written while a statement runs.

use std::fmt::Write as _;

use super::*;

fn terms(running_ms: u64) -> Terms {
    Terms {
        running_max: Duration::from_millis(running_ms),
        ..Terms::default()
    }
}

#[tokio::test]
async fn statements_that_never_end_run_into_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    for sql in [
        ENDLESS,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT (i + 1) % 1000000007 FROM n) SELECT max(i) FROM n",
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT i FROM n",
        "DELETE FROM t WHERE 0 < (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n)",
        "CREATE TABLE u AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT i FROM n",
    ] {
        execute(&mut *connect(&store), "INSERT INTO t VALUES (1)").await;
        let mut connection = connect_for(&store, terms(60));
        let error = try_execute(&mut *connection, sql).await.unwrap_err();
        assert_eq!(error.kind, SqlKind::TimeOut, "{sql}: {error}");
        assert_eq!(error.code, Some(9), "{sql}");
        assert!(error.message.contains("60 ms"), "{error}");
    }
    // Time runs while a cursor runs, not while it waits; and what comes after has its own.
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let mut connection = connect_for(&store, terms(60));
    let mut cursor = connection.query(Statement::new(endless)).await.unwrap();
    let error = loop {
        match cursor.rows().await {
            Ok(rows) => assert!(rows.is_some()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, SqlKind::TimeOut);
    assert_eq!(cursor.rows().await, Ok(None));
    assert_eq!(number(&mut *connection, "SELECT count(*) FROM t").await, 5);
}

/// SQLite's own functions go on for minutes here, and only then is their statement stopped.
#[tokio::test]
async fn functions_of_large_texts_are_done_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let connection = &mut *connect_for(&store, terms(30_000));
    let zeros = |count: u32| format!("hex(zeroblob({}))", count / 2);
    let (many, half) = (zeros(1_000_000), zeros(500_000));
    for (sql, expected) in [
        (format!("SELECT instr({many}, {half} || '1')"), 0),
        (
            format!("SELECT length(replace({many}, {half} || '1', 'x'))"),
            1_000_000,
        ),
        (
            format!("SELECT length(trim({many}, replace({half}, '0', 'a') || '0'))"),
            0,
        ),
        (
            format!(
                "SELECT length(unhex(replace({half}, '0', 'x'), replace({many}, '0', 'a') || 'x'))"
            ),
            0,
        ),
        (format!("SELECT {many} LIKE '{}1'", "%0".repeat(200)), 0),
        (format!("SELECT {many} GLOB '{}1'", "*0".repeat(200)), 0),
    ] {
        assert_eq!(number(connection, &sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn what_is_sorted_and_grouped_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let endless =
        "WITH RECURSIVE n(v) AS (SELECT zeroblob(900000) UNION ALL SELECT zeroblob(900000) FROM n)";
    for sql in [
        format!("{endless} SELECT v FROM n ORDER BY v || random()"),
        format!("{endless} SELECT DISTINCT v || random() FROM n"),
        format!("{endless}, m AS MATERIALIZED (SELECT v FROM n) SELECT count(*) FROM m, m AS o"),
    ] {
        let mut connection = connect_for(&store, terms(60_000));
        let error = try_execute(&mut *connection, &sql).await.unwrap_err();
        assert_eq!(error.kind, SqlKind::TooLarge, "{sql}: {error}");
    }
    // What they wrote is gone with them.
    let left = std::fs::read_dir(dir.path().join("sql")).unwrap();
    assert_eq!(left.count(), 1);
}

#[tokio::test]
async fn what_is_too_large_or_too_deep_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let connection = &mut *connect(&store);
    execute(connection, "CREATE TABLE t (v)").await;
    let repeated = |text: &str, count: usize| text.repeat(count);
    let columns: Vec<_> = (0..101).map(|n| format!("c{n}")).collect();
    let columns = columns.join(", ");
    for sql in [
        "SELECT zeroblob(1 << 30)".to_owned(),
        "SELECT randomblob(2000000)".to_owned(),
        "SELECT length(hex(zeroblob(900000)))".to_owned(),
        "SELECT printf('%2000000d', 1)".to_owned(),
        "SELECT replace(hex(zeroblob(100000)), '0', '0123456789')".to_owned(),
        "SELECT group_concat(hex(randomblob(100000))) FROM json_each('[1,2,3,4,5,6,7,8,9]')"
            .to_owned(),
        format!("SELECT {}1{}", repeated("(", 3_000), repeated(")", 3_000)),
        format!("SELECT {}1", repeated("-", 20_000).replace('-', "- ")),
        format!("SELECT 1{}", repeated(" + 1", 20_000)),
        format!("SELECT 1{}", repeated(" UNION ALL SELECT 1", 5_000)),
        format!(
            "SELECT {}",
            repeated("(SELECT ", 2_000) + "1" + &repeated(")", 2_000)
        ),
        format!("SELECT coalesce(1{})", repeated(", 1", 200)),
        format!("SELECT 1 WHERE 'a' LIKE '{}'", repeated("%a", 1_000)),
        format!("SELECT 1 FROM t{}", repeated(", t", 100)),
        format!("CREATE TABLE u ({columns})"),
        format!("SELECT {}1", repeated("NOT ", 20_000)),
        format!("SELECT {}", repeated("CASE WHEN 1 THEN ", 3_000)),
        format!("SELECT json('{}')", repeated("[", 2_000)),
        format!("SELECT json_extract('{}', '$')", repeated("{\"a\":", 2_000)),
        "SELECT ?2000".to_owned(),
    ] {
        let error = try_execute(connection, &sql).await.unwrap_err();
        let is_refused = matches!(error.kind, SqlKind::TooLarge | SqlKind::Sql);
        assert!(is_refused, "{}: {error}", &sql[..60.min(sql.len())]);
    }
    assert_eq!(number(connection, "SELECT count(*) FROM t").await, 0);
}

#[tokio::test]
async fn definitions_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let connection = &mut *connect(&store);
    let long = "x".repeat(80_000);
    let mut made = 0;
    let error = loop {
        let sql = format!("CREATE TABLE t{made} (n CHECK (n <> '{long}'))");
        match try_execute(connection, &sql).await {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 20, "there is no bound");
    };
    assert_eq!(error.kind, SqlKind::TooLarge, "{error}");
    execute(connection, "DROP TABLE t0").await;

    let mut many = store
        .sql()
        .connect(&database("shop", "many"), Terms::default());
    many.begin(Access::Write).await.unwrap();
    let mut error = None;
    for number in 0..1_100 {
        let made = try_execute(&mut *many, &format!("CREATE VIEW v{number} AS SELECT 1")).await;
        if let Err(why) = made {
            error = Some(why);
            break;
        }
    }
    assert!(error.is_some(), "objects have no bound");
}

#[tokio::test]
async fn malformed_json_is_a_mistake_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let connection = &mut *connect(&store);
    execute(connection, "CREATE TABLE t (v)").await;
    // Any bytes may come as SQLite's own form of JSON.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..300 {
        let mut hex = String::new();
        for _ in 0..24 {
            seed = seed
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            write!(hex, "{:02x}", (seed >> 33) & 0xff).unwrap();
        }
        for sql in [
            format!("SELECT json(x'{hex}'), jsonb(x'{hex}'), json_valid(x'{hex}', 8)"),
            format!("SELECT jsonb_set(x'{hex}', '$.a[#-1]', 1), json_remove(x'{hex}', '$[0]')"),
            format!("SELECT count(*) FROM json_tree(x'{hex}')"),
        ] {
            if let Err(error) = rows(connection, &sql).await {
                assert!(
                    matches!(error.kind, SqlKind::Sql | SqlKind::TooLarge),
                    "{sql}: {error}"
                );
            }
        }
    }
    assert_eq!(number(connection, "SELECT 1").await, 1);
}

#[tokio::test]
async fn log_is_written_back_although_readers_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut connection = connect(&store);
    execute(
        &mut *connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    )
    .await;
    for _ in 0..60 {
        let mut reader = connect(&store);
        reader.begin(Access::Read).await.unwrap();
        number(&mut *reader, "SELECT count(*) FROM t").await;
        execute(
            &mut *connection,
            "REPLACE INTO t VALUES (1, zeroblob(1000000)), (2, zeroblob(1000000))",
        )
        .await;
    }
    let log = dir.path().join("sql/default/shop/default.sqlite-wal");
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes <= 70 << 20, "{bytes}");

    // One that stays keeps it from being written back: then writing waits, and is refused, and the log has its bound.
    let mut reader = connect(&store);
    reader.begin(Access::Read).await.unwrap();
    number(&mut *reader, "SELECT count(*) FROM t").await;
    let mut writer = connect_for(
        &store,
        Terms {
            waiting_max: Duration::from_millis(20),
            running_max: Duration::from_millis(500),
            ..Terms::default()
        },
    );
    let mut error = None;
    for _ in 0..100 {
        let done = try_execute(
            &mut *writer,
            "REPLACE INTO t VALUES (1, zeroblob(1000000)), (2, zeroblob(1000000))",
        )
        .await;
        if let Err(why) = done {
            error = Some(why);
            break;
        }
    }
    assert_eq!(error.unwrap().kind, SqlKind::Busy);
    let bytes = std::fs::metadata(&log).unwrap().len();
    assert!(bytes <= 70 << 20, "{bytes}");
    reader.commit().await.unwrap();
    execute(&mut *writer, "DELETE FROM t").await;
    assert!(std::fs::metadata(&log).unwrap().len() < 1 << 20);
}
