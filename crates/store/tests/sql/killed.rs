//! A process that is killed while it writes: what it was told is kept is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// The folder, in the process that is to be killed.
const FOLDER: &str = "EVERWARM_TEST_SQL_FOLDER";
const ACKNOWLEDGED: &str = "acknowledged ";

/// Writes until it is killed, and says what was acknowledged.
async fn write_for_ever(folder: &Path) {
    let store = open(folder);
    let mut connection = connect(&store);
    let connection = &mut *connection;
    let table = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, v)";
    execute(connection, table).await;
    loop {
        let insert = "INSERT INTO t (v) VALUES (hex(randomblob(2000)))";
        let id = execute(connection, insert).await.last_insert_id;
        connection.begin(Access::Write).await.unwrap();
        execute(connection, "UPDATE t SET v = 'whole' WHERE id % 2 = 0").await;
        execute(connection, "UPDATE t SET v = 'whole' WHERE id % 2 = 1").await;
        connection.commit().await.unwrap();
        println!("{ACKNOWLEDGED}{id}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn rows_that_were_acknowledged_are_there_however_often_the_process_is_killed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return write_for_ever(folder.as_ref()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact"])
            .arg(
                "killed::rows_that_were_acknowledged_are_there_however_often_the_process_is_killed",
            )
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = said.filter_map(|line| {
            let line = line.unwrap();
            line.rsplit_once(ACKNOWLEDGED)?.1.parse::<i64>().ok()
        });
        last = said.take(3 * round).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(dir.path());
        let connection = &mut *connect(&store);
        let rows = "SELECT count(*) FROM t";
        assert!(number(connection, rows).await >= last, "round {round}");
        // A transaction is whole or not there: at most the last row wasn't in one that was acknowledged.
        let before = format!("SELECT count(*) FROM t WHERE v <> 'whole' AND id <= {last}");
        assert_eq!(number(connection, &before).await, 0, "round {round}");
        let check = super::rows(connection, "PRAGMA integrity_check")
            .await
            .unwrap();
        assert_eq!(check, [[Value::Text("ok".to_owned())]]);
    }
    assert!(last > 0);
}
