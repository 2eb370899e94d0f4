//! What a node asks of its SQL databases, and what can be seen of them.

use everwarm_manifest::{AppName, DatabaseName};
use everwarm_store::catalog::UnixMillis;
use everwarm_store::sql::{
    Access, Connection, Database, Databases, Migration, Migrations, Row, SqlError, Statement, Terms,
};

use super::{Outcome, Step, tenant};

/// Databases of an app: migrations, statements, batches, transactions that are kept and that aren't, removal.
pub(crate) const SQL_STORY: &[Step] = &[
    Step::Migrate(1),
    Step::Execute("INSERT INTO item VALUES (1, 'one')"),
    Step::Execute("INSERT INTO item VALUES (2, hex(zeroblob(6000)))"),
    Step::Batch(&[
        "UPDATE item SET text = 'new' WHERE id = 1",
        "INSERT INTO item VALUES (3, 'three')",
        "DELETE FROM item WHERE id = 2",
    ]),
    Step::Migrate(2),
    Step::Transaction(
        &[
            "INSERT INTO item VALUES (4, 'four')",
            "UPDATE item SET text = upper(text)",
        ],
        true,
    ),
    Step::Transaction(&["INSERT INTO item VALUES (5, 'five')"], false),
    Step::Execute("INSERT INTO item SELECT id + 10, text FROM item RETURNING id"),
    Step::Migrate(3),
    Step::Execute("DELETE FROM item WHERE id < 4"),
    Step::RemoveDatabases,
    Step::Migrate(2),
    // The store is opened again here.
    Step::Execute("INSERT INTO item VALUES (7, 'seven')"),
    Step::Batch(&[
        "INSERT INTO item VALUES (8, 'eight')",
        "DELETE FROM item WHERE id = 7",
    ]),
];

const MIGRATIONS: [(&str, &str); 3] = [
    (
        "0001_item.sql",
        "CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT);",
    ),
    (
        "0002_index.sql",
        "CREATE INDEX item_text ON item (text); INSERT INTO item VALUES (100, 'made');",
    ),
    (
        "0003_column.sql",
        "ALTER TABLE item ADD COLUMN count INTEGER NOT NULL DEFAULT 1; CREATE TABLE item_new (id, text, count); \
         INSERT INTO item_new SELECT * FROM item; DROP TABLE item; ALTER TABLE item_new RENAME TO item;",
    ),
];

pub(crate) fn database() -> Database {
    Database {
        tenant: tenant(),
        app: AppName::new("shop").expect("a valid name"),
        name: DatabaseName::new("default").expect("a valid name"),
    }
}

/// Does a step. `Ok` is an acknowledgement.
pub(super) async fn run(step: Step, sql: &dyn Databases) -> Outcome {
    let database = database();
    let mut connection = sql.connect(&database, Terms::default());
    match step {
        Step::Migrate(count) => {
            let files = MIGRATIONS[..count].iter().map(|(name, text)| Migration {
                name: (*name).to_owned(),
                text: (*text).to_owned(),
            });
            let files = Migrations::new(files.collect())?;
            let migrated = sql.migrate(&database, files, Terms::default(), UnixMillis(1));
            migrated.await?;
        }
        Step::Execute(text) => {
            connection.execute(Statement::new(text)).await?;
        }
        Step::Batch(texts) => {
            let statements = texts.iter().copied().map(Statement::new);
            connection.execute_batch(statements.collect()).await?;
        }
        Step::Transaction(texts, is_kept) => {
            connection.begin(Access::Write).await?;
            for text in texts {
                connection.execute(Statement::new(*text)).await?;
            }
            if is_kept {
                connection.commit().await?;
            } else {
                connection.rollback().await?;
            }
        }
        Step::RemoveDatabases => {
            sql.remove_app(&database.tenant, &database.app).await?;
        }
        other => unreachable!("{other:?} is no step on databases"),
    }
    Ok(())
}

/// All that is in all databases. One without anything in it is as none: it may have been made for what wasn't
/// acknowledged.
pub(super) async fn seen(sql: &dyn Databases, seen: &mut Vec<String>) -> Outcome {
    for (tenant, app) in sql.apps(None, 10).await? {
        for (name, _) in sql.kept(&tenant, &app).await? {
            let database = Database {
                tenant: tenant.clone(),
                app: app.clone(),
                name,
            };
            let applied = sql.migrations(&database, Terms::default()).await?;
            let mut connection = sql.connect(&database, Terms::default());
            let connection = &mut *connection;
            let schema = "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE '\\_\\_everwarm%' ESCAPE '\\'";
            let schema = rows(connection, schema).await?;
            if schema.is_empty() && applied.is_empty() {
                continue;
            }
            seen.push(format!("{database:?} {applied:?} {schema:?}"));
            seen.push(format!(
                "{:?}",
                rows(connection, "SELECT * FROM item ORDER BY id").await?
            ));
            seen.push(format!(
                "{:?}",
                rows(connection, "PRAGMA integrity_check").await?
            ));
        }
    }
    Ok(())
}

async fn rows(connection: &mut dyn Connection, sql: &str) -> Result<Vec<Row>, SqlError> {
    let mut cursor = connection.query(Statement::new(sql)).await?;
    let mut rows = Vec::new();
    while let Some(more) = cursor.rows().await? {
        rows.extend(more);
    }
    Ok(rows)
}
