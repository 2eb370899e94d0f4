//! Behaviours of SQL databases beyond statements: whose they are, migrations, quotas, removal.

use super::{connect, database, default_database, execute, number, refused, rows};
use crate::Store;
use crate::catalog::UnixMillis;
use crate::conformance::{app_name, tenant};
use crate::sql::{
    Applied, MigrateError, Migration, Migrations, SQL_BYTES_MAX, SqlKind, Statement, Terms,
    VALUE_BYTES_MAX, Value,
};

const NOW: UnixMillis = UnixMillis(1_000);

fn migrations(files: &[(&str, &str)]) -> Migrations {
    let file = |(name, text): &(&str, &str)| Migration {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    Migrations::new(files.iter().map(file).collect()).expect("the suite's names are valid")
}

const FIRST: (&str, &str) = (
    "0001_users.sql",
    "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT); -- one\nINSERT INTO user VALUES (1, 'ann; bob');\n",
);
const SECOND: (&str, &str) = ("0002_index.sql", "CREATE INDEX name ON user (name);");

async fn migrate(store: &dyn Store, files: &[(&str, &str)]) -> Result<Vec<String>, MigrateError> {
    let database = default_database();
    let migrated = store
        .sql()
        .migrate(&database, migrations(files), Terms::default(), NOW);
    migrated.await
}

async fn applied(store: &dyn Store) -> Vec<Applied> {
    let database = default_database();
    let applied = store.sql().migrations(&database, Terms::default()).await;
    applied.expect("migrations can be listed")
}

pub(in super::super) async fn databases_apps_and_tenants_have_only_their_own(store: &dyn Store) {
    let databases = [
        database("ann", "blog", "default"),
        database("ann", "shop", "default"),
        database("ann", "shop", "other"),
        database("bob", "shop", "default"),
    ];
    for (marker, database) in (0..).zip(&databases) {
        let mut connection = store.sql().connect(database, Terms::default());
        execute(&mut *connection, "CREATE TABLE t (n)").await;
        execute(
            &mut *connection,
            &format!("INSERT INTO t VALUES ({marker})"),
        )
        .await;
    }
    for (marker, database) in (0..).zip(&databases) {
        let mut connection = store.sql().connect(database, Terms::default());
        assert_eq!(number(&mut *connection, "SELECT n FROM t").await, marker);
    }
    let sql = store.sql();
    let (ann, bob) = (tenant("ann"), tenant("bob"));
    let (blog, shop) = (app_name("blog"), app_name("shop"));
    let kept = sql
        .kept(&ann, &shop)
        .await
        .expect("databases can be listed");
    let names: Vec<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["default", "other"]);
    assert!(kept.iter().all(|(_, bytes)| *bytes > 0), "{kept:?}");

    let first = sql.apps(None, 1).await.expect("apps can be listed");
    assert_eq!(first, [(ann.clone(), blog.clone())]);
    let rest = sql
        .apps(Some((&ann, &blog)), 10)
        .await
        .expect("apps can be listed");
    assert_eq!(
        rest,
        [(ann.clone(), shop.clone()), (bob.clone(), shop.clone())]
    );

    assert_eq!(sql.remove_app(&ann, &shop).await, Ok(true));
    assert_eq!(sql.remove_app(&ann, &shop).await, Ok(false));
    assert_eq!(sql.kept(&ann, &shop).await, Ok(Vec::new()));
    let apps = sql.apps(None, 10).await.expect("apps can be listed");
    assert_eq!(apps, [(ann, blog), (bob, shop)]);
    // One that comes back begins anew.
    let mut connection = sql.connect(&databases[1], Terms::default());
    assert_eq!(
        refused(&mut *connection, "SELECT n FROM t").await.kind,
        SqlKind::Sql
    );
}

pub(in super::super) async fn migrations_are_applied_once_in_order(store: &dyn Store) {
    assert_eq!(applied(store).await, []);
    assert_eq!(migrate(store, &[FIRST]).await, Ok(vec![FIRST.0.to_owned()]));
    assert_eq!(migrate(store, &[FIRST]).await, Ok(Vec::new()));
    assert_eq!(
        migrate(store, &[SECOND, FIRST]).await,
        Ok(vec![SECOND.0.to_owned()])
    );
    let mut connection = connect(store);
    let connection = &mut *connection;
    assert_eq!(number(connection, "SELECT count(*) FROM user").await, 1);
    let had = applied(store).await;
    let expected = migrations(&[FIRST, SECOND]);
    let expected = expected.list().iter().map(|one| Applied {
        name: one.name.clone(),
        digest: one.digest(),
        at: NOW,
    });
    assert_eq!(had, expected.collect::<Vec<_>>());

    // Guests may read the record, and not change it.
    let names = Statement::new("SELECT name FROM __everwarm_migrations ORDER BY name");
    let text = |name: &str| vec![Value::Text(name.to_owned())];
    assert_eq!(
        rows(connection, names).await,
        [text(FIRST.0), text(SECOND.0)]
    );
    for sql in [
        "DELETE FROM __everwarm_migrations",
        "UPDATE \"__EVERWARM_migrations\" SET name = 'x'",
        "INSERT INTO main.__everwarm_migrations VALUES ('x', x'00', 1)",
        "DROP TABLE __everwarm_migrations",
        "ALTER TABLE __everwarm_migrations RENAME TO m",
        "CREATE TRIGGER tr AFTER INSERT ON __everwarm_migrations BEGIN DELETE FROM user; END",
        "CREATE INDEX i ON __everwarm_migrations (name)",
    ] {
        assert_eq!(
            refused(connection, sql).await.kind,
            SqlKind::Denied,
            "{sql}"
        );
    }
    assert_eq!(applied(store).await.len(), 2);
}

pub(in super::super) async fn migration_that_was_changed_is_refused_before_anything(
    store: &dyn Store,
) {
    migrate(store, &[FIRST, SECOND])
        .await
        .expect("they are new");
    let new = ("0003_more.sql", "CREATE TABLE more (id);");
    let changed = (FIRST.0, "CREATE TABLE user (id);");
    let late = ("0001_a_late.sql", "CREATE TABLE late (id);");
    for (files, named) in [
        (vec![changed, SECOND, new], FIRST.0),
        (vec![FIRST, new], SECOND.0),
        (vec![("0001_people.sql", FIRST.1), SECOND, new], FIRST.0),
        (
            vec![(SECOND.0, FIRST.1), ("0001_users.sql", SECOND.1), new],
            FIRST.0,
        ),
    ] {
        let error = migrate(store, &files).await.expect_err("it is refused");
        assert!(error.to_string().contains(named), "{error}");
    }
    let between = ("0000_late.sql", late.1);
    let error = migrate(store, &[between, FIRST, SECOND])
        .await
        .expect_err("it is refused");
    assert!(
        matches!(&error, MigrateError::OutOfOrder { name, .. } if name == between.0),
        "{error}"
    );
    assert_eq!(applied(store).await.len(), 2);
    let mut connection = connect(store);
    assert_eq!(
        refused(&mut *connection, "SELECT * FROM more").await.kind,
        SqlKind::Sql
    );
}

pub(in super::super) async fn migrations_that_fail_leave_nothing(store: &dyn Store) {
    migrate(store, &[FIRST]).await.expect("it is new");
    for text in [
        "INSERT INTO user VALUES (2, 'x'); SELECT * FROM nowhere;",
        "INSERT INTO user VALUES (2, 'x'); COMMIT; CREATE TABLE left (x);",
        "INSERT INTO user VALUES (2, 'x'); INSERT OR ROLLBACK INTO user VALUES (1, 'x'); CREATE TABLE left (x);",
        "INSERT INTO user VALUES (2, 'x'); DELETE FROM __everwarm_migrations;",
        "INSERT INTO user VALUES (2, 'x'); ATTACH 'other.sqlite' AS other;",
        "CREATE TABLE left (x); PRAGMA journal_mode = DELETE;",
    ] {
        let third = ("0003_wrong.sql", text);
        let error = migrate(store, &[FIRST, SECOND, third])
            .await
            .expect_err("it is wrong");
        assert!(
            matches!(&error, MigrateError::Statement { name, .. } if name == third.0),
            "{error}"
        );
        assert_eq!(applied(store).await.len(), 1, "{text}");
        let mut connection = connect(store);
        assert_eq!(
            number(&mut *connection, "SELECT count(*) FROM user").await,
            1
        );
        let left = "SELECT count(*) FROM sqlite_schema WHERE name IN ('left', 'name')";
        assert_eq!(number(&mut *connection, left).await, 0, "{text}");
    }
}

pub(in super::super) async fn deploys_at_once_apply_migrations_once(store: &dyn Store) {
    let database = default_database();
    let slow = "CREATE TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n;";
    let files = migrations(&[FIRST, ("0002_slow.sql", slow)]);
    let deploys = (0..4).map(|_| {
        let sql = store.sql();
        sql.migrate(&database, files.clone(), Terms::default(), NOW)
    });
    let done = crate::conformance::all(deploys).await;
    let counts = done.into_iter().map(|one| one.expect("a deploy").len());
    let mut counts: Vec<_> = counts.collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 0, 2]);
}

pub(in super::super) async fn quota_is_told_and_leaves_the_database_usable(store: &dyn Store) {
    let terms = Terms {
        bytes_max: 1 << 20,
        ..Terms::default()
    };
    let mut connection = store.sql().connect(&default_database(), terms);
    let connection = &mut *connection;
    execute(
        connection,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)",
    )
    .await;
    let mut kept = 0;
    let error = loop {
        let insert = Statement::new("INSERT INTO t (v) VALUES (zeroblob(50000))");
        match connection.execute(insert).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "a quota bounds what is kept");
    };
    assert_eq!(error.kind, SqlKind::Quota);
    assert!(error.message.contains("1048576"), "{error}");
    assert!(kept > 15, "{kept}");
    let loop_of_blobs =
        "INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT randomblob(10000) FROM n";
    assert_eq!(
        refused(connection, loop_of_blobs).await.kind,
        SqlKind::Quota
    );
    assert_eq!(number(connection, "SELECT count(*) FROM t").await, kept);
    assert_eq!(
        execute(connection, "DELETE FROM t WHERE id <= 5")
            .await
            .changes,
        5
    );
    execute(connection, "INSERT INTO t (v) VALUES (zeroblob(50000))").await;
    // A smaller quota than what is there keeps nobody from making room.
    let less = Terms {
        bytes_max: 100_000,
        ..terms
    };
    let mut less = store.sql().connect(&default_database(), less);
    let refused = refused(&mut *less, "INSERT INTO t (v) VALUES (zeroblob(900000))").await;
    assert_eq!(refused.kind, SqlKind::Quota);
    execute(&mut *less, "DELETE FROM t").await;
}

pub(in super::super) async fn what_is_too_large_for_sql_is_refused(store: &dyn Store) {
    let mut connection = connect(store);
    let connection = &mut *connection;
    execute(connection, "CREATE TABLE t (v)").await;
    let bind = |value| Statement::new("INSERT INTO t VALUES (?)").bind(value);
    let largest = VALUE_BYTES_MAX - 100;
    let fits = bind(Value::Text("x".repeat(largest)));
    connection.execute(fits).await.expect("it fits");
    let many = (0..1_001).fold(Statement::new("SELECT 1"), |it, n| {
        it.bind(Value::Integer(n))
    });
    for (what, statement) in [
        ("text", bind(Value::Text("x".repeat(VALUE_BYTES_MAX + 1)))),
        (
            "blob",
            bind(Value::Blob(vec![0; VALUE_BYTES_MAX + 1].into())),
        ),
        (
            "sql",
            Statement::new("SELECT 1".to_owned() + &" ".repeat(SQL_BYTES_MAX)),
        ),
        ("parameters", many),
        (
            "made",
            Statement::new("INSERT INTO t VALUES (zeroblob(1 << 30))"),
        ),
        (
            "joined",
            Statement::new("INSERT INTO t SELECT v || v FROM t"),
        ),
        (
            "row",
            Statement::new("INSERT INTO t VALUES (hex(zeroblob(600000)))"),
        ),
    ] {
        let error = connection
            .execute(statement)
            .await
            .expect_err("it is too large");
        assert_eq!(error.kind, SqlKind::TooLarge, "{what}: {error}");
    }
    let wide = "SELECT v, v, v, v, v, v FROM t";
    let error = connection.query(Statement::new(wide)).await.err();
    assert_eq!(error.map(|error| error.kind), Some(SqlKind::TooLarge));
    assert_eq!(number(connection, "SELECT count(*) FROM t").await, 1);
}
