//! A disk that is full under SQL databases.

use everwarm_store::Store as _;
use everwarm_store::sql::{Access, SqlError, SqlKind, Statement, Terms, Value};

use crate::Place;
use crate::simulated::Lies;
use crate::story::{SQL_STORY, database};

#[test]
fn full_disk_is_told_and_what_is_kept_is_read_until_there_is_room() {
    let place = Place::of(SQL_STORY, true, Lies::Never);
    let disk = place.new_disk();
    let store = place.open(&disk).unwrap();
    let mut connection = store.sql().connect(&database(), Terms::default());
    let mut execute = |sql: &str| -> Result<u64, SqlError> {
        let done = place
            .runtime
            .block_on(connection.execute(Statement::new(sql)));
        done.map(|executed| executed.changes)
    };
    let insert = "INSERT INTO t VALUES (hex(zeroblob(5000)))";
    execute("CREATE TABLE t (v)").unwrap();
    assert_eq!(execute(insert), Ok(1));
    disk.set_capacity(disk.used() + 4_096);
    for sql in [
        insert,
        "UPDATE t SET v = v || v",
        "CREATE TABLE u AS SELECT * FROM t",
    ] {
        let error = execute(sql).unwrap_err();
        assert_eq!(error.kind, SqlKind::DiskFull, "{error}");
    }
    let mut reader = store.sql().connect(&database(), Terms::default());
    let mut count = || {
        place.runtime.block_on(async {
            let query = Statement::new("SELECT count(*) FROM t");
            let mut cursor = reader.query(query).await.unwrap();
            cursor.rows().await.unwrap().unwrap()
        })
    };
    assert_eq!(count(), [[Value::Integer(1)]]);
    // A transaction that finds no room is undone, whole.
    let mut other = store.sql().connect(&database(), Terms::default());
    place.runtime.block_on(async {
        other.begin(Access::Write).await.unwrap();
        let mut failed = false;
        for _ in 0..5 {
            failed |= other.execute(Statement::new(insert)).await.is_err();
        }
        failed |= other.commit().await.is_err();
        assert!(failed, "there was no room");
    });
    assert_eq!(count(), [[Value::Integer(1)]]);
    disk.set_capacity(usize::MAX);
    assert_eq!(execute(insert), Ok(1));
    assert_eq!(count(), [[Value::Integer(2)]]);
}
