//! What a guest's statement may do, asked by SQLite while it prepares one. Owns the lists; the port tells them to
//! users. Knows nothing of how statements run.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use super::watch::Watch;
use crate::sql::{COLUMNS_MAX, OBJECTS_MAX, PARAMETERS_MAX, SQL_BYTES_MAX, VALUE_BYTES_MAX};

/// What names of the engine's own objects begin with.
const OWN: &str = "__everwarm";
/// Pragmas that read, with any argument.
const PRAGMAS_WITH_ARGUMENT: &[&str] = &[
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    // Ends with its transaction.
    "defer_foreign_keys",
];
/// Pragmas that read when they have no argument.
const PRAGMAS_WITHOUT_ARGUMENT: &[&str] = &[
    "application_id",
    "collation_list",
    "compile_options",
    "data_version",
    "encoding",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "max_page_count",
    "page_count",
    "page_size",
    "schema_version",
    "user_version",
];
/// Virtual tables that may be made.
const MODULES: &[&str] = &["fts5", "fts5vocab"];
/// Virtual tables that are there without being made, and show the file.
const HIDDEN_TABLES: &[&str] = &["dbstat", "sqlite_dbpage"];
/// Why nothing temporary is made.
const TEMPORARY: &str = "temporary tables, views and triggers";
/// Functions that reach out of the database, in this build of SQLite or another, and two whose time grows with the
/// product of their arguments' sizes: nothing can stop them.
const FUNCTIONS_DENIED: &[&str] = &[
    "edit",
    "fts3_tokenizer",
    "json_patch",
    "jsonb_patch",
    "load_extension",
    "readfile",
    "sqlite_log",
    "writefile",
];

/// SQLite's own bounds of a connection. Some are of memory: of a statement's program, its parser, and of what it may
/// nest, on the thread's stack.
const LIMITS: &[(Limit, usize)] = &[
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
    (Limit::SQLITE_LIMIT_COLUMN, COLUMNS_MAX),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 500),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, PARAMETERS_MAX),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    (Limit::SQLITE_LIMIT_PARSER_DEPTH, 500),
    (Limit::SQLITE_LIMIT_SCHEMA, OBJECTS_MAX),
    (Limit::SQLITE_LIMIT_TRIGGER_STEPS, 100),
];

/// Sets the rules on a connection, and what they ask.
pub(super) fn set(connection: &mut Connection, watch: &Watch) -> rusqlite::Result<()> {
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        // A misspelt name in double quotes is a mistake, not a text.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        connection.set_db_config(config, on)?;
    }
    for (limit, max) in LIMITS {
        set_limit(connection, *limit, *max)?;
    }
    let watch = watch.clone();
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if watch.is_engine() {
            return Authorization::Allow;
        }
        if makes_object(&context.action) {
            watch.note_object();
        }
        match refused(&context) {
            None => Authorization::Allow,
            Some(what) => {
                watch.deny(what);
                Authorization::Deny
            }
        }
    }))
}

pub(super) fn set_limit(connection: &Connection, limit: Limit, max: usize) -> rusqlite::Result<()> {
    let max = i32::try_from(max).unwrap_or(i32::MAX);
    connection.set_limit(limit, max).map(|_| ())
}

fn makes_object(action: &AuthAction<'_>) -> bool {
    matches!(
        action,
        AuthAction::CreateTable { .. }
            | AuthAction::CreateIndex { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::CreateVtable { .. }
            | AuthAction::AlterTable { .. }
    )
}

/// What isn't allowed of an action, in words.
fn refused(context: &AuthContext<'_>) -> Option<String> {
    use AuthAction as A;
    // `CREATE TABLE temp.t` says that it makes a table, in that schema. Changing its rows is what renaming does.
    let makes = makes_object(&context.action) && !matches!(context.action, A::AlterTable { .. });
    if makes && context.database_name == Some("temp") {
        return Some(TEMPORARY.to_owned());
    }
    let own = |name: &str| is_own(name).then(|| format!("to change `{}`", shortened(name)));
    match context.action {
        A::Select
        | A::Recursive
        | A::Reindex { .. }
        | A::Savepoint { .. }
        | A::CreateView { .. }
        | A::DropView { .. } => None,
        A::Read { table_name, .. } => is_one_of(HIDDEN_TABLES, table_name)
            .then(|| format!("to read `{}`", shortened(table_name))),
        A::Function { function_name } => is_one_of(FUNCTIONS_DENIED, function_name)
            .then(|| format!("to call `{}`", shortened(function_name))),
        A::CreateTable { table_name }
        | A::DropTable { table_name }
        | A::Insert { table_name }
        | A::Update { table_name, .. }
        | A::Delete { table_name }
        | A::AlterTable { table_name, .. }
        | A::Analyze { table_name }
        | A::CreateIndex { table_name, .. }
        | A::DropIndex { table_name, .. }
        | A::CreateTrigger { table_name, .. }
        | A::DropTrigger { table_name, .. }
        | A::DropVtable { table_name, .. } => own(table_name),
        A::CreateVtable {
            table_name,
            module_name,
        } => {
            let is_allowed = is_one_of(MODULES, module_name);
            own(table_name).or_else(|| {
                (!is_allowed).then(|| format!("to make a table of `{}`", shortened(module_name)))
            })
        }
        A::Pragma {
            pragma_name,
            pragma_value,
        } => {
            let is_allowed = is_one_of(PRAGMAS_WITH_ARGUMENT, pragma_name)
                || pragma_value.is_none() && is_one_of(PRAGMAS_WITHOUT_ARGUMENT, pragma_name);
            (!is_allowed).then(|| format!("`PRAGMA {}`", shortened(pragma_name)))
        }
        A::Attach { .. } => Some("`ATTACH` or `VACUUM`: another file".to_owned()),
        A::Detach { .. } => Some("`DETACH`".to_owned()),
        A::Transaction { .. } => Some(
            "`BEGIN`, `COMMIT` or `ROLLBACK` as SQL: use the connection's transactions, or a batch"
                .to_owned(),
        ),
        A::CreateTempTable { .. }
        | A::CreateTempView { .. }
        | A::CreateTempTrigger { .. }
        | A::CreateTempIndex { .. }
        | A::DropTempTable { .. }
        | A::DropTempView { .. }
        | A::DropTempTrigger { .. }
        | A::DropTempIndex { .. } => Some(TEMPORARY.to_owned()),
        _ => Some("what SQLite doesn't name".to_owned()),
    }
}

fn is_own(name: &str) -> bool {
    let start = name.as_bytes().get(..OWN.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OWN.as_bytes()))
}

fn is_one_of(list: &[&str], name: &str) -> bool {
    list.iter().any(|one| one.eq_ignore_ascii_case(name))
}

/// Names are the guest's own text, and may be long.
fn shortened(name: &str) -> String {
    name.chars().take(60).collect()
}
