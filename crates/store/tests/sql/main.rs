//! The embedded engine's SQL databases: restarts, hand-overs, callers that leave, callers that come together, and faults
//! injected for real into their files. What statements may not do is in `denied`, what they may not take in `bounds`.

// A test that can't go on has failed.
#![allow(clippy::unwrap_used)]

mod bounds;
mod denied;
mod faults;
mod killed;
mod together;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use everwarm_manifest::{AppName, DatabaseName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::embedded::Embedded;
use everwarm_store::sql::{
    Access, Connection, Database, Executed, Row, SqlError, SqlKind, Statement, Terms, Value,
};

/// A query that never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn open(dir: &Path) -> Embedded {
    Embedded::open(dir).unwrap()
}

fn database(app: &str, name: &str) -> Database {
    Database {
        tenant: TenantId::default_tenant(),
        app: AppName::new(app).unwrap(),
        name: DatabaseName::new(name).unwrap(),
    }
}

fn connect(store: &Embedded) -> Box<dyn Connection> {
    connect_for(store, Terms::default())
}

fn connect_for(store: &Embedded, terms: Terms) -> Box<dyn Connection> {
    store.sql().connect(&database("shop", "default"), terms)
}

async fn try_execute(connection: &mut dyn Connection, sql: &str) -> Result<Executed, SqlError> {
    connection.execute(Statement::new(sql)).await
}

async fn execute(connection: &mut dyn Connection, sql: &str) -> Executed {
    let executed = try_execute(connection, sql).await;
    executed.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn rows(connection: &mut dyn Connection, sql: &str) -> Result<Vec<Row>, SqlError> {
    let mut cursor = connection.query(Statement::new(sql)).await?;
    let mut rows = Vec::new();
    while let Some(more) = cursor.rows().await? {
        rows.extend(more);
    }
    Ok(rows)
}

async fn number(connection: &mut dyn Connection, sql: &str) -> i64 {
    match rows(connection, sql).await.unwrap().as_slice() {
        [row] => match row.as_slice() {
            [Value::Integer(number)] => *number,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}

/// Asks once, which starts the work, and gives it up.
async fn start_and_drop<T>(work: impl Future<Output = T>) {
    let mut work = Box::pin(work);
    let polled = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut work).poll(context)));
    assert!(polled.await.is_pending(), "it was done at once");
    // Into SQLite, if it isn't there yet: whether it is changes nothing of what must hold.
    std::thread::sleep(Duration::from_millis(5));
}

#[tokio::test]
async fn rows_are_there_after_a_restart_and_nothing_is_beside_the_file() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = open(dir.path());
        let mut connection = connect(&store);
        execute(&mut *connection, "CREATE TABLE t (n)").await;
        execute(&mut *connection, "INSERT INTO t VALUES (7)").await;
    }
    let folder = dir.path().join("sql/default/shop");
    let names = std::fs::read_dir(folder).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["default.sqlite"]);
    let store = open(dir.path());
    assert_eq!(number(&mut *connect(&store), "SELECT n FROM t").await, 7);
}

#[tokio::test]
async fn store_that_is_let_go_ends_statements_and_goes_on_when_it_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut one, mut other) = (connect(&store), connect(&store));
    execute(&mut *one, "CREATE TABLE t (n)").await;
    one.begin(Access::Write).await.unwrap();
    execute(&mut *one, "INSERT INTO t VALUES (1)").await;
    let running = std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime
                .build()
                .unwrap()
                .block_on(rows(&mut *other, ENDLESS))
        });
        std::thread::sleep(Duration::from_millis(20));
        store.let_go();
        running.join().unwrap()
    });
    let kind = running.unwrap_err().kind;
    assert!(
        matches!(kind, SqlKind::Interrupted | SqlKind::Failed),
        "{kind:?}"
    );
    let error = try_execute(&mut *one, "INSERT INTO t VALUES (2)").await;
    assert_eq!(error.unwrap_err().kind, SqlKind::Failed);
    let error = try_execute(&mut *connect(&store), "SELECT 1").await;
    assert_eq!(error.unwrap_err().kind, SqlKind::Failed);
    {
        let store = open(dir.path());
        assert_eq!(
            number(&mut *connect(&store), "SELECT count(*) FROM t").await,
            0
        );
        execute(&mut *connect(&store), "INSERT INTO t VALUES (3)").await;
    }
    store.take_back().unwrap();
    assert_eq!(number(&mut *connect(&store), "SELECT n FROM t").await, 3);
    // Its transaction is over, whatever came between.
    assert!(one.commit().await.is_err());
    execute(&mut *one, "INSERT INTO t VALUES (4)").await;
}

#[tokio::test]
async fn future_that_is_dropped_ends_its_statement_and_not_the_next_ones() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    for round in 0..40 {
        let mut connection = connect(&store);
        if round % 2 == 0 {
            start_and_drop(rows(&mut *connection, ENDLESS)).await;
        } else {
            start_and_drop(try_execute(&mut *connection, ENDLESS)).await;
        }
        // More of them than there are connections: each ends at once, and none takes the next one's statement along.
        let mut next = connect(&store);
        execute(&mut *next, &format!("INSERT INTO t VALUES ({round})")).await;
        assert_eq!(
            number(&mut *next, "SELECT count(*) FROM t").await,
            round + 1
        );
        execute(&mut *connection, "SELECT 1").await;
    }
}

#[tokio::test]
async fn future_that_is_dropped_in_a_transaction_takes_it_along() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut connection = connect(&store);
    execute(&mut *connection, "CREATE TABLE t (n)").await;
    for is_committed in [false, true] {
        connection.begin(Access::Write).await.unwrap();
        execute(&mut *connection, "INSERT INTO t VALUES (1)").await;
        start_and_drop(try_execute(&mut *connection, ENDLESS)).await;
        let error = try_execute(&mut *connection, "INSERT INTO t VALUES (2)").await;
        assert_eq!(error.unwrap_err().kind, SqlKind::Ended);
        // Another writes already.
        execute(&mut *connect(&store), "DELETE FROM t").await;
        if is_committed {
            assert_eq!(connection.commit().await.unwrap_err().kind, SqlKind::Ended);
        } else {
            connection.rollback().await.unwrap();
        }
        assert_eq!(number(&mut *connection, "SELECT count(*) FROM t").await, 0);
    }
}

#[tokio::test]
async fn handles_and_cursors_that_are_dropped_give_their_connections_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n";
    for _ in 0..40 {
        let mut writing = connect(&store);
        writing.begin(Access::Write).await.unwrap();
        execute(&mut *writing, "INSERT INTO t VALUES (1)").await;
        let mut cursor = connect(&store).query(Statement::new(many)).await.unwrap();
        cursor.rows().await.unwrap();
        let mut reading = connect(&store);
        reading.begin(Access::Read).await.unwrap();
        let _in_it = reading.query(Statement::new(many)).await.unwrap();
    }
    assert_eq!(
        number(&mut *connect(&store), "SELECT count(*) FROM t").await,
        0
    );
}

#[tokio::test]
async fn transaction_that_is_open_too_long_is_rolled_back_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    let terms = Terms {
        open_max: Duration::from_millis(50),
        ..Terms::default()
    };
    let mut slow = connect_for(&store, terms);
    slow.begin(Access::Write).await.unwrap();
    execute(&mut *slow, "INSERT INTO t VALUES (1)").await;
    // Waits until it is over, and no longer.
    execute(&mut *connect(&store), "INSERT INTO t VALUES (2)").await;
    let error = slow.commit().await.unwrap_err();
    assert_eq!(error.kind, SqlKind::Ended);
    assert!(error.message.contains("longer than it may"), "{error}");
    assert_eq!(number(&mut *slow, "SELECT n FROM t").await, 2);

    let mut cursor = slow.query(Statement::new(
        "SELECT randomblob(100000) FROM json_each('[1,2,3,4,5,6,7,8,9]')",
    ));
    let mut cursor = cursor.as_mut().await.unwrap();
    cursor.rows().await.unwrap();
    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(80)))
        .await
        .unwrap();
    assert_eq!(cursor.rows().await.unwrap_err().kind, SqlKind::Ended);
}
