//! Faults injected for real into the files: pages that are garbage, files that are no databases, and other processes.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;

const PAGE_BYTES: usize = 4_096;

fn file(dir: &Path) -> PathBuf {
    dir.join("sql/default/shop/default.sqlite")
}

async fn fill(store: &Embedded) {
    let connection = &mut *connect(store);
    execute(
        connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)",
    )
    .await;
    let fill = "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                SELECT hex(zeroblob(500)) FROM n";
    execute(connection, fill).await;
}

/// A store whose database has garbage in the place of some pages.
async fn damaged(dir: &Path, pages: impl Fn(usize) -> bool) -> Embedded {
    fill(&open(dir)).await;
    let file = fs::OpenOptions::new().write(true).open(file(dir)).unwrap();
    let count = usize::try_from(file.metadata().unwrap().len()).unwrap() / PAGE_BYTES;
    assert!(count > 100, "{count} pages are no test");
    for page in (1..count).filter(|page| pages(*page)) {
        let offset = u64::try_from(page * PAGE_BYTES).unwrap();
        file.write_all_at(&[0x5a; PAGE_BYTES], offset).unwrap();
    }
    open(dir)
}

#[tokio::test]
async fn damaged_database_says_so_and_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |page| page > 2).await;
    for sql in [
        "SELECT count(v) FROM t",
        "UPDATE t SET v = ''",
        "DELETE FROM t WHERE id > 1",
    ] {
        let error = try_execute(&mut *connect(&store), sql).await.unwrap_err();
        assert_eq!(error.kind, SqlKind::Damaged, "{sql}: {error}");
    }
    let mut other = store
        .sql()
        .connect(&database("blog", "default"), Terms::default());
    execute(&mut *other, "CREATE TABLE t (n)").await;
}

#[tokio::test]
async fn rows_on_sound_pages_are_read_and_written_whatever_the_others_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = damaged(dir.path(), |page| page == 40).await;
    let (mut sound, mut broken) = (0, 0);
    let connection = &mut *connect(&store);
    for id in 1..=1_000 {
        match try_execute(connection, &format!("UPDATE t SET v = 'x' WHERE id = {id}")).await {
            Ok(executed) => sound += executed.changes,
            Err(error) if error.kind == SqlKind::Damaged => broken += 1,
            Err(error) => panic!("{id}: {error}"),
        }
    }
    assert!(broken > 0 && sound > 900, "{sound} sound, {broken} broken");
}

#[tokio::test]
async fn file_that_is_no_database_is_said_to_be_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fill(&open(dir.path())).await;
    fs::write(
        file(dir.path()),
        "this isn't a database any more".repeat(300),
    )
    .unwrap();
    let store = open(dir.path());
    for _ in 0..3 {
        let error = try_execute(&mut *connect(&store), "SELECT 1")
            .await
            .unwrap_err();
        assert_eq!(error.kind, SqlKind::Damaged, "{error}");
        assert!(!error.message.contains("default.sqlite"), "{error}");
    }
}

#[tokio::test]
async fn database_of_a_later_release_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    fill(&open(dir.path())).await;
    let connection = rusqlite::Connection::open(file(dir.path())).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let store = open(dir.path());
    let error = try_execute(&mut *connect(&store), "DELETE FROM t")
        .await
        .unwrap_err();
    assert_eq!(error.kind, SqlKind::Failed, "{error}");
}

#[tokio::test]
async fn folder_that_cant_be_written_is_told_and_used_when_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // A file in the place of the app's folder.
    fs::create_dir(dir.path().join("sql/default")).unwrap();
    fs::write(dir.path().join("sql/default/shop"), "").unwrap();
    let error = try_execute(&mut *connect(&store), "SELECT 1")
        .await
        .unwrap_err();
    assert_eq!(error.kind, SqlKind::Failed, "{error}");
    fs::remove_file(dir.path().join("sql/default/shop")).unwrap();
    execute(&mut *connect(&store), "SELECT 1").await;
}

#[tokio::test]
async fn other_processes_are_kept_out_of_a_database_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store).await;
    let script = "import sqlite3, sys\n\
                  connection = sqlite3.connect(sys.argv[1], timeout=0)\n\
                  connection.execute('SELECT count(*) FROM t')\n";
    let Ok(output) = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(file(dir.path()))
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("locked") || said.contains("No module"),
        "{said}"
    );
}
