//! Behaviours of SQL databases: statements, values, rows and transactions. Those of migrations and of apps are in
//! `apps`.

mod apps;

use bytes::Bytes;
use everwarm_manifest::DatabaseName;

use super::{app_name, tenant};
use crate::Store;
use crate::sql::{
    Access, Connection, Database, Executed, ROWS_MAX, Row, SqlError, SqlKind, Statement, Terms,
    Value,
};

pub(super) use apps::*;

fn database(owner: &str, app: &str, name: &str) -> Database {
    Database {
        tenant: tenant(owner),
        app: app_name(app),
        name: DatabaseName::new(name).expect("the suite's databases have valid names"),
    }
}

fn default_database() -> Database {
    database("ann", "shop", "default")
}

fn connect(store: &dyn Store) -> Box<dyn Connection> {
    store.sql().connect(&default_database(), Terms::default())
}

async fn execute(connection: &mut dyn Connection, sql: &str) -> Executed {
    let executed = connection.execute(Statement::new(sql)).await;
    executed.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn refused(connection: &mut dyn Connection, sql: &str) -> SqlError {
    let executed = connection.execute(Statement::new(sql)).await;
    executed.expect_err("the statement is refused")
}

/// All rows of a statement.
async fn rows(connection: &mut dyn Connection, statement: Statement) -> Vec<Row> {
    let cursor = connection.query(statement).await;
    let mut cursor = cursor.expect("a statement can be run");
    let mut rows = Vec::new();
    while let Some(more) = cursor.rows().await.expect("rows can be read") {
        assert!(!more.is_empty(), "rows come until there are none");
        rows.extend(more);
    }
    rows
}

async fn number(connection: &mut dyn Connection, sql: &str) -> i64 {
    let rows = rows(connection, Statement::new(sql)).await;
    match rows.as_slice() {
        [row] => match row.as_slice() {
            [Value::Integer(number)] => *number,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}

pub(super) async fn values_of_all_types_read_back_as_they_were_bound(store: &dyn Store) {
    let mut connection = connect(store);
    execute(
        &mut *connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
    )
    .await;
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(-1.5e300),
        Value::Real(f64::INFINITY),
        Value::Text(String::new()),
        Value::Text("\u{10ffff} '\"; \0 %".to_owned()),
        Value::Blob(Bytes::new()),
        Value::Blob((0..=u8::MAX).collect()),
    ];
    for value in &values {
        let insert = Statement::new("INSERT INTO t (v) VALUES (?)").bind(value.clone());
        let inserted = connection
            .execute(insert)
            .await
            .expect("a value can be inserted");
        assert_eq!(inserted.changes, 1);
    }
    let found = rows(
        &mut *connection,
        Statement::new("SELECT v FROM t ORDER BY id"),
    )
    .await;
    assert_eq!(found, values.map(|value| vec![value]));

    let named = Statement::new("SELECT :a AS one, :b, :a")
        .bind(Value::Integer(1))
        .bind(Value::Text("x".to_owned()));
    let mut cursor = connection.query(named).await.expect("named parameters");
    assert_eq!(cursor.columns(), ["one", ":b", ":a"]);
    let row = cursor.rows().await.expect("a row").expect("a row");
    let expected = [
        Value::Integer(1),
        Value::Text("x".to_owned()),
        Value::Integer(1),
    ];
    assert_eq!(row, [expected.to_vec()]);
    assert_eq!(cursor.rows().await, Ok(None));
    let not_a_number = Statement::new("SELECT ?").bind(Value::Real(f64::NAN));
    assert_eq!(rows(&mut *connection, not_a_number).await, [[Value::Null]]);
}

pub(super) async fn statement_says_what_it_changed(store: &dyn Store) {
    let mut connection = connect(store);
    let connection = &mut *connection;
    let made = execute(
        connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
    )
    .await;
    assert_eq!(made.changes, 0);
    let inserted = execute(connection, "INSERT INTO t (n) VALUES (1), (2), (3)").await;
    assert_eq!((inserted.changes, inserted.last_insert_id), (3, 3));
    assert_eq!(
        execute(connection, "UPDATE t SET n = 9 WHERE id > 1")
            .await
            .changes,
        2
    );
    assert_eq!(
        execute(connection, "UPDATE t SET n = 9 WHERE id > 7")
            .await
            .changes,
        0
    );
    assert_eq!(execute(connection, "SELECT * FROM t").await.changes, 0);
    assert_eq!(execute(connection, "DELETE FROM t").await.changes, 3);
    let returning = Statement::new("INSERT INTO t (n) VALUES (5), (6) RETURNING id, n");
    let returned = rows(connection, returning).await;
    let row = |id, n| vec![Value::Integer(id), Value::Integer(n)];
    assert_eq!(returned, [row(1, 5), row(2, 6)]);
    assert_eq!(number(connection, "SELECT count(*) FROM t").await, 2);
}

pub(super) async fn mistakes_are_told_with_sqlites_code_and_change_nothing(store: &dyn Store) {
    let mut connection = connect(store);
    let connection = &mut *connection;
    execute(connection, "CREATE TABLE p (id INTEGER PRIMARY KEY)").await;
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL CHECK (n < 10), p REFERENCES p) STRICT";
    assert_eq!(refused(connection, table).await.kind, SqlKind::Sql);
    execute(connection, &table.replace("p REF", "p INTEGER REF")).await;
    execute(connection, "INSERT INTO t VALUES (1, 1, NULL)").await;
    for (sql, code) in [
        ("INSERT INTO t VALUES (1, 1, NULL)", 1555),
        ("INSERT INTO t VALUES (2, NULL, NULL)", 1299),
        ("INSERT INTO t VALUES (2, 11, NULL)", 275),
        ("INSERT INTO t VALUES (2, 1, 7)", 787),
        ("INSERT INTO t VALUES (2, 'x', NULL)", 3091),
        ("INSERT INTO t VALUES (2, 2, NULL), (3, 11, NULL)", 275),
    ] {
        let error = refused(connection, sql).await;
        assert_eq!(
            (error.kind, error.code),
            (SqlKind::Constraint, Some(code)),
            "{sql}: {error}"
        );
    }
    for (sql, said) in [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT missing FROM t", "no such column: missing"),
        ("SELECT \"missing\" FROM t", "no such column"),
        (
            "INSERT INTO t (id) VALUES (2); DELETE FROM t",
            "more than one statement",
        ),
        ("SELECT ?", "1 parameters, and 0 values"),
        ("SELECT 1 WHERE ?3 = ?1", "3 parameters, and 0 values"),
    ] {
        let error = refused(connection, sql).await;
        assert_eq!(error.kind, SqlKind::Sql, "{sql}: {error}");
        assert!(error.message.contains(said), "{sql}: {error}");
    }
    let surplus = Statement::new("SELECT 1").bind(Value::Null);
    let error = connection
        .execute(surplus)
        .await
        .expect_err("a value too many");
    assert_eq!(error.kind, SqlKind::Sql);
    assert_eq!(number(connection, "SELECT count(*) FROM t").await, 1);
}

pub(super) async fn batches_of_statements_are_done_whole_or_not_at_all(store: &dyn Store) {
    let mut connection = connect(store);
    let batch = |texts: &[&str]| {
        texts
            .iter()
            .copied()
            .map(Statement::new)
            .collect::<Vec<_>>()
    };
    let done = connection
        .execute_batch(batch(&[
            "CREATE TABLE t (id INTEGER PRIMARY KEY)",
            "INSERT INTO t VALUES (1), (2)",
            "DELETE FROM t WHERE id = 1",
        ]))
        .await
        .expect("a batch");
    let changes: Vec<_> = done.iter().map(|one| one.changes).collect();
    assert_eq!(changes, [0, 2, 1]);
    let wrong = batch(&[
        "DELETE FROM t",
        "CREATE TABLE u (x)",
        "INSERT INTO t VALUES (5), (5)",
    ]);
    for is_in_transaction in [false, true] {
        if is_in_transaction {
            connection
                .begin(Access::Write)
                .await
                .expect("a transaction");
            execute(&mut *connection, "INSERT INTO t VALUES (3)").await;
        }
        let error = connection.execute_batch(wrong.clone()).await;
        let error = error.expect_err("the third breaks a key");
        assert_eq!(
            (error.kind, error.statement),
            (SqlKind::Constraint, Some(2))
        );
        assert!(error.to_string().starts_with("statement 3: "), "{error}");
        if is_in_transaction {
            connection
                .commit()
                .await
                .expect("what was before it is kept");
        }
        let expected = if is_in_transaction { 2 } else { 1 };
        assert_eq!(
            number(&mut *connection, "SELECT count(*) FROM t").await,
            expected
        );
    }
    assert_eq!(connection.execute_batch(Vec::new()).await, Ok(Vec::new()));
}

pub(super) async fn transaction_is_seen_when_it_is_kept_and_undone_otherwise(store: &dyn Store) {
    let (mut one, mut other) = (connect(store), connect(store));
    execute(&mut *one, "CREATE TABLE t (n)").await;
    let count = "SELECT count(*) FROM t";
    for is_kept in [false, true] {
        one.begin(Access::Write).await.expect("a transaction");
        execute(&mut *one, "INSERT INTO t VALUES (1)").await;
        execute(&mut *one, "SAVEPOINT s").await;
        execute(&mut *one, "INSERT INTO t VALUES (2)").await;
        execute(&mut *one, "ROLLBACK TO s").await;
        assert_eq!(number(&mut *one, count).await, 1);
        assert_eq!(number(&mut *other, count).await, 0);
        let ended = if is_kept {
            one.commit().await
        } else {
            one.rollback().await
        };
        ended.expect("a transaction can be ended");
        assert_eq!(number(&mut *other, count).await, i64::from(is_kept));
    }
    // One that only reads sees one moment.
    other.begin(Access::Read).await.expect("a transaction");
    assert_eq!(number(&mut *other, count).await, 1);
    execute(&mut *one, "INSERT INTO t VALUES (2)").await;
    assert_eq!(number(&mut *other, count).await, 1);
    assert_eq!(
        refused(&mut *other, "DELETE FROM t").await.kind,
        SqlKind::Denied
    );
    other.commit().await.expect("it can be ended");
    assert_eq!(number(&mut *other, count).await, 2);

    let misuse = |done: Result<(), SqlError>| done.expect_err("it is misuse").kind;
    assert_eq!(misuse(one.commit().await), SqlKind::Misuse);
    assert_eq!(misuse(one.rollback().await), SqlKind::Misuse);
    one.begin(Access::Write).await.expect("a transaction");
    assert_eq!(misuse(one.begin(Access::Read).await), SqlKind::Misuse);
    execute(&mut *one, "DELETE FROM t").await;
    // Nor is it kept when its handle is dropped: the next one doesn't wait for it.
    drop(one);
    execute(&mut *other, "INSERT INTO t VALUES (3)").await;
    assert_eq!(number(&mut *other, count).await, 3);
}

pub(super) async fn transaction_that_sqlite_ended_says_so_until_it_is_ended(store: &dyn Store) {
    let mut connection = connect(store);
    let connection = &mut *connection;
    execute(connection, "CREATE TABLE t (id INTEGER PRIMARY KEY)").await;
    for is_committed in [false, true] {
        connection
            .begin(Access::Write)
            .await
            .expect("a transaction");
        execute(connection, "INSERT INTO t VALUES (1)").await;
        let error = refused(connection, "INSERT OR ROLLBACK INTO t VALUES (1)").await;
        assert_eq!(error.kind, SqlKind::Constraint);
        assert_eq!(
            refused(connection, "INSERT INTO t VALUES (2)").await.kind,
            SqlKind::Ended
        );
        if is_committed {
            let error = connection.commit().await.expect_err("nothing is kept");
            assert_eq!(error.kind, SqlKind::Ended);
        } else {
            connection.rollback().await.expect("it was rolled back");
        }
        assert_eq!(number(connection, "SELECT count(*) FROM t").await, 0);
    }
    // What breaks a foreign key is told at the end, and undone.
    execute(
        connection,
        "CREATE TABLE c (t REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    connection
        .begin(Access::Write)
        .await
        .expect("a transaction");
    execute(connection, "INSERT INTO c VALUES (9)").await;
    let error = connection
        .commit()
        .await
        .expect_err("a foreign key is broken");
    assert_eq!((error.kind, error.code), (SqlKind::Constraint, Some(787)));
    assert_eq!(number(connection, "SELECT count(*) FROM c").await, 0);
}

pub(super) async fn rows_come_part_by_part_as_of_one_moment(store: &dyn Store) {
    let (mut one, mut other) = (connect(store), connect(store));
    execute(&mut *one, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").await;
    let count = 3 * i64::try_from(ROWS_MAX).expect("a small number") + 7;
    let fill = format!(
        "INSERT INTO t SELECT value, 'v' || value FROM json_each('[' || (
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
            SELECT group_concat(i) FROM n) || ']')"
    );
    execute(&mut *one, &fill).await;
    for is_in_transaction in [false, true] {
        if is_in_transaction {
            one.begin(Access::Read).await.expect("a transaction");
        }
        let statement = Statement::new("SELECT id, v FROM t ORDER BY id");
        let mut cursor = one.query(statement).await.expect("a cursor");
        let first = cursor.rows().await.expect("rows").expect("rows");
        assert_eq!(first.len(), ROWS_MAX);
        execute(&mut *other, "UPDATE t SET v = 'new'").await;
        let mut found = first;
        while let Some(more) = cursor.rows().await.expect("rows") {
            assert!(more.len() <= ROWS_MAX);
            found.extend(more);
        }
        assert_eq!(cursor.rows().await, Ok(None));
        assert_eq!(i64::try_from(found.len()), Ok(count));
        let old = if is_in_transaction { "new" } else { "v" };
        for (id, row) in (1..).zip(&found) {
            let text = if is_in_transaction {
                old.to_owned()
            } else {
                format!("{old}{id}")
            };
            assert_eq!(row, &[Value::Integer(id), Value::Text(text)]);
        }
    }
    // The next statement of a transaction ends its cursor.
    let mut cursor = one
        .query(Statement::new("SELECT v FROM t"))
        .await
        .expect("a cursor");
    cursor.rows().await.expect("rows");
    assert_eq!(number(&mut *one, "SELECT 1").await, 1);
    assert_eq!(
        cursor.rows().await.expect_err("it is closed").kind,
        SqlKind::Ended
    );
    one.commit().await.expect("it can be ended");
}

pub(super) async fn answer_has_the_columns_that_the_table_has_now(store: &dyn Store) {
    let (mut one, mut other) = (connect(store), connect(store));
    execute(&mut *one, "CREATE TABLE t (a)").await;
    execute(&mut *one, "INSERT INTO t VALUES (1)").await;
    let all = || Statement::new("SELECT * FROM t");
    assert_eq!(rows(&mut *one, all()).await, [[Value::Integer(1)]]);
    execute(&mut *other, "ALTER TABLE t ADD COLUMN b DEFAULT 2").await;
    // Each of the connections that had the statement before.
    for _ in 0..3 {
        let mut cursor = one.query(all()).await.expect("a cursor");
        assert_eq!(cursor.columns(), ["a", "b"]);
        let row = cursor.rows().await.expect("rows");
        assert_eq!(row, Some(vec![vec![Value::Integer(1), Value::Integer(2)]]));
    }
}

pub(super) async fn json_full_text_and_windows_are_there(store: &dyn Store) {
    let mut connection = connect(store);
    let connection = &mut *connection;
    execute(
        connection,
        "CREATE VIRTUAL TABLE notes USING fts5(title, body)",
    )
    .await;
    execute(
        connection,
        "INSERT INTO notes VALUES ('a', 'warm edges'), ('b', 'cold start')",
    )
    .await;
    let found = "SELECT count(*) FROM notes WHERE notes MATCH 'warm'";
    assert_eq!(number(connection, found).await, 1);
    let json = "SELECT sum(value ->> '$.n') FROM json_each('[{\"n\": 1}, {\"n\": 41}]')";
    assert_eq!(number(connection, json).await, 42);
    let window = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY title) AS r FROM notes)";
    assert_eq!(number(connection, window).await, 2);
    assert_eq!(number(connection, "PRAGMA page_size").await, 4_096);
    let columns = "SELECT count(*) FROM pragma_table_info('notes')";
    assert_eq!(number(connection, columns).await, 2);
}
