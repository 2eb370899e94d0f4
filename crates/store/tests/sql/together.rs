//! Callers that come together: all are served, in turn, and nobody waits without need or without end.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use everwarm_store::Store as _;

use super::*;

const CALLERS: usize = 64;

#[tokio::test]
async fn callers_that_come_together_are_all_served() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n INTEGER)").await;
    execute(&mut *connect(&store), "CREATE TABLE sum (n INTEGER)").await;
    execute(&mut *connect(&store), "INSERT INTO sum VALUES (0)").await;
    let callers = (0..CALLERS).map(|number| {
        let mut connection = connect(&store);
        async move {
            let connection = &mut *connection;
            execute(connection, &format!("INSERT INTO t VALUES ({number})")).await;
            // What is read is what is written upon: no two are at it at once.
            connection.begin(Access::Write).await.unwrap();
            let sum = super::number(connection, "SELECT n FROM sum").await;
            execute(connection, &format!("UPDATE sum SET n = {}", sum + 1)).await;
            connection.commit().await.unwrap();
            rows(connection, "SELECT n FROM t").await.unwrap().len()
        }
    });
    let seen = join_all(callers).await;
    assert!(seen.iter().all(|count| (1..=CALLERS).contains(count)));
    let mut connection = connect(&store);
    let sum = super::number(&mut *connection, "SELECT n FROM sum").await;
    assert_eq!(usize::try_from(sum), Ok(CALLERS));
}

#[tokio::test]
async fn more_databases_than_there_may_be_connections_are_all_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let uses = (0..100).map(|number| {
        let database = database(&format!("app{}", number % 20), &format!("d{number}"));
        let mut connection = store.sql().connect(&database, Terms::default());
        async move {
            execute(&mut *connection, "CREATE TABLE t (n)").await;
            execute(&mut *connection, "INSERT INTO t VALUES (1)").await;
        }
    });
    join_all(uses).await;
    // Those that nobody uses are closed, the oldest first: few files stay open.
    let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, |files| {
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links
            .filter(|link| link.starts_with(dir.path().join("sql")))
            .count()
    });
    assert!(open_files <= 32 * 3, "{open_files} files are open");
}

#[tokio::test]
async fn readers_go_on_while_a_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    let mut writer = connect(&store);
    writer.begin(Access::Write).await.unwrap();
    execute(&mut *writer, "INSERT INTO t VALUES (1)").await;
    for _ in 0..20 {
        assert_eq!(
            number(&mut *connect(&store), "SELECT count(*) FROM t").await,
            0
        );
    }
    writer.commit().await.unwrap();
    // One long statement, with others beside it.
    let fill = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n";
    let mut reads = 0;
    let mut filled = Box::pin(try_execute(&mut *writer, fill));
    loop {
        let polled = std::future::poll_fn(|context| Poll::Ready(filled.as_mut().poll(context)));
        if let Poll::Ready(done) = polled.await {
            done.unwrap();
            break;
        }
        let count = number(&mut *connect(&store), "SELECT count(*) FROM t").await;
        assert!(count == 1 || count == 200_001, "{count}");
        reads += 1;
    }
    assert!(reads > 0);
}

#[tokio::test]
async fn who_waits_too_long_for_his_turn_or_a_connection_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    execute(&mut *connect(&store), "CREATE TABLE t (n)").await;
    let terms = Terms {
        waiting_max: Duration::from_millis(30),
        running_max: Duration::from_millis(30),
        ..Terms::default()
    };
    let mut writer = connect(&store);
    writer.begin(Access::Write).await.unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        let mut connection = connect_for(&store, terms);
        let error = try_execute(&mut *connection, "INSERT INTO t VALUES (1)").await;
        assert_eq!(error.unwrap_err().kind, SqlKind::Busy);
        let error = connection.begin(Access::Write).await.unwrap_err();
        assert_eq!(error.kind, SqlKind::Busy);
    }
    // All connections of the app.
    let mut others: Vec<_> = (0..7).map(|_| connect(&store)).collect();
    for other in &mut others {
        other.begin(Access::Read).await.unwrap();
    }
    let mut late = connect_for(&store, terms);
    let error = try_execute(&mut *late, "SELECT 1").await.unwrap_err();
    assert_eq!(error.kind, SqlKind::Busy);
    assert!(error.message.contains("waited for others"), "{error}");
    assert!(started.elapsed() > Duration::from_millis(7 * 60));
    // Another app's are its own.
    let mut own = store.sql().connect(&database("blog", "default"), terms);
    let terms = Terms::default();
    drop(std::mem::replace(
        &mut own,
        store.sql().connect(&database("blog", "default"), terms),
    ));
    execute(&mut *own, "SELECT 1").await;
    drop(others.pop());
    let mut next = connect(&store);
    execute(&mut *next, "SELECT 1").await;
}

#[tokio::test]
async fn more_callers_of_an_app_than_may_wait_are_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut held: Vec<_> = (0..8).map(|_| connect(&store)).collect();
    for one in &mut held {
        one.begin(Access::Read).await.unwrap();
    }
    let mut callers: Vec<_> = (0..300).map(|_| connect(&store)).collect();
    let asked = callers
        .iter_mut()
        .map(|one| one.execute(Statement::new("SELECT 1")));
    let mut asked: Vec<_> = asked.collect();
    let mut refused = 0;
    for one in &mut asked {
        let polled = std::future::poll_fn(|context| Poll::Ready(one.as_mut().poll(context)));
        if let Poll::Ready(done) = polled.await {
            assert_eq!(done.unwrap_err().kind, SqlKind::Busy);
            refused += 1;
        }
    }
    assert_eq!(refused, 300 - 256);
    drop(asked);
    drop(held);
    execute(&mut *connect(&store), "SELECT 1").await;
}

#[tokio::test]
async fn app_is_removed_when_its_callers_are_done_and_comes_back_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut connection = connect(&store);
    execute(&mut *connection, "CREATE TABLE t (n)").await;
    let mut busy = connect(&store);
    busy.begin(Access::Write).await.unwrap();
    let of = database("shop", "default");
    let mut removed = store.sql().remove_app(&of.tenant, &of.app);
    let polled = std::future::poll_fn(|context| Poll::Ready(removed.as_mut().poll(context)));
    assert!(polled.await.is_pending(), "a transaction is open");
    busy.commit().await.unwrap();
    assert_eq!(removed.await, Ok(true));
    let error = try_execute(&mut *connection, "SELECT * FROM t")
        .await
        .unwrap_err();
    assert!(error.message.contains("no such table"), "{error}");
    let store_folder = dir.path().join("sql/default/shop");
    assert!(store_folder.join("default.sqlite").exists());
}
