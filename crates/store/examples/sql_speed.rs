//! How fast SQL databases are on this disk: selects of one row and inserts, by one and by many callers at once.
//!
//! `cargo run --release -p everwarm-store --example sql_speed -- <empty folder> [seconds]`. Each figure is of `seconds`;
//! all are of one run, so that they can be compared with each other whatever else the machine does.

// An example that can't go on ends.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use everwarm_manifest::{AppName, DatabaseName, TenantId};
use everwarm_store::Store as _;
use everwarm_store::embedded::Embedded;
use everwarm_store::sql::{Connection, Database, Statement, Terms, Value};
use tokio::runtime::{Builder, Runtime};

const ROWS: i64 = 100_000;
const CALLERS: [usize; 3] = [1, 8, 64];
const APPS: usize = 8;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder, which is empty"));
    let seconds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let store = Embedded::open(&folder.join("store")).unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    for app in 0..APPS {
        runtime.block_on(fill(&mut *connect(&store, app)));
    }
    for callers in CALLERS {
        let times = together(&store, &runtime, callers, time, 1, select);
        print("selects of one row", callers, time, times);
    }
    for callers in CALLERS {
        let times = together(&store, &runtime, callers, time, 1, insert);
        print("inserts", callers, time, times);
    }
    let callers = CALLERS[2];
    let times = together(&store, &runtime, callers, time, APPS, select);
    print("selects of one row, 8 apps", callers, time, times);
    let times = together(&store, &runtime, callers, time, APPS, insert);
    print("inserts, 8 apps", callers, time, times);
}

fn connect(store: &Embedded, app: usize) -> Box<dyn Connection> {
    let database = Database {
        tenant: TenantId::new(&format!("t{app}")).unwrap(),
        app: AppName::new(&format!("speed{app}")).unwrap(),
        name: DatabaseName::new("default").unwrap(),
    };
    store.sql().connect(&database, Terms::default())
}

async fn fill(connection: &mut dyn Connection) {
    let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER)";
    connection.execute(Statement::new(table)).await.unwrap();
    let fill =
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
                SELECT i, 'name of ' || i, i % 7 FROM n";
    let fill = Statement::new(fill).bind(Value::Integer(ROWS));
    connection.execute(fill).await.unwrap();
}

/// Keys in no order (a Weyl sequence).
fn any_key(number: u64) -> i64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    i64::try_from(mixed).unwrap() % ROWS + 1
}

fn select(number: u64) -> Statement {
    Statement::new("SELECT name, n FROM t WHERE id = ?").bind(Value::Integer(any_key(number)))
}

fn insert(number: u64) -> Statement {
    let insert = Statement::new("INSERT INTO t (name, n) VALUES (?, ?) RETURNING id");
    insert
        .bind(Value::Text(format!("another name {number}")))
        .bind(Value::Integer(any_key(number)))
}

fn together(
    store: &Embedded,
    runtime: &Runtime,
    callers: usize,
    time: Duration,
    apps: usize,
    statement: fn(u64) -> Statement,
) -> Vec<Duration> {
    let end = Instant::now() + time;
    let callers = (0..callers).map(|caller| async move {
        let mut connection = connect(store, caller % apps);
        let mut times = Vec::new();
        let mut number = u64::try_from(caller).unwrap() * 1_000_000;
        while Instant::now() < end {
            number += 1;
            let start = Instant::now();
            let mut cursor = connection.query(statement(number)).await.unwrap();
            assert_eq!(cursor.rows().await.unwrap().unwrap().len(), 1);
            times.push(start.elapsed());
        }
        times
    });
    let times = runtime.block_on(futures_util::future::join_all(callers));
    times.concat()
}

fn print(what: &str, callers: usize, time: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let rate = times.len() as u64 / time.as_secs().max(1);
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{callers} callers, {what}: {rate}/s, p50 {p50:.1?}, p99 {p99:.1?}");
}
