//! Does with SQL databases what a test asks for: a request's body is a list of [`Ask`]s in JSON, done in order on one
//! connection. The answer is what came of each: `{"ok": ...}`, or `{"error": "<kind>", "text": "..."}`.
//!
//! Values are JSON's own; bytes are `{"blob": "text"}`. `GET` is what the bench measures: `/hello` asks nothing,
//! `/select` reads one row; the answer is a hello.

use everwarm_sdk::http::Method;
use everwarm_sdk::sql::{Access, Connection, SqlError, Value};
use everwarm_sdk::{Error, IntoResponse as _, Json, Request, Result, params};
use serde::Deserialize;
use serde_json::{Value as Any, json};

#[derive(Deserialize)]
struct Asked {
    database: Option<String>,
    asks: Vec<Ask>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Ask {
    /// All rows, with the columns' names.
    Query(Statement),
    /// So many rows of it, and the others are dropped.
    First(Statement, usize),
    Execute(Statement),
    Batch(Vec<Statement>),
    Begin,
    BeginRead,
    Commit,
    Rollback,
    /// Begins to read, and asks for this while rows are left.
    WhileReading(Statement, Statement),
    /// Traps.
    Trap,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Statement {
    Text(String),
    With(String, Vec<Any>),
}

const HELLO: &str = "Hello from Everwarm\n";

#[everwarm_sdk::http]
async fn sql(request: Request) -> Result {
    if request.method() == Method::GET {
        return Ok(hello(request.uri().path()).await?.into_response());
    }
    let asked: Asked = request.into_body().json().await?;
    let name = asked.database.as_deref().unwrap_or("default");
    let database = match Connection::open(name) {
        Ok(database) => database,
        Err(error) => return Ok(Json(vec![answer(Err(error))]).into_response()),
    };
    let mut answers = Vec::new();
    // The SDK's transaction borrows its connection; tests ask for what it wouldn't let them.
    let mut open = None;
    for ask in &asked.asks {
        answers.push(answer(done(&database, ask, &mut open).await));
    }
    Ok(Json(answers).into_response())
}

fn answer(done: Result<Any, SqlError>) -> Any {
    let error = match done {
        Ok(value) => return json!({ "ok": value }),
        Err(error) => error,
    };
    let kind = match &error {
        SqlError::NoSuchDatabase => "no-such-database",
        SqlError::AccessDenied => "access-denied",
        SqlError::Refused { code, .. } => code,
        SqlError::Unavailable(_) => "unavailable",
        SqlError::Timeout(_) => "timeout",
        SqlError::TooMuch(_) => "too-much",
        _ => "other",
    };
    json!({ "error": kind, "text": error.to_string() })
}

async fn done<'a>(
    database: &'a Connection,
    ask: &Ask,
    open: &mut Option<everwarm_sdk::sql::Transaction<'a>>,
) -> Result<Any, SqlError> {
    Ok(match ask {
        Ask::Query(statement) => {
            let (text, values) = parts(statement);
            let rows = database.query(text, values).await?;
            let columns = rows.columns().to_vec();
            let rows = rows.all().await?;
            let rows: Vec<Vec<Any>> = rows
                .iter()
                .map(|row| row.values().iter().map(any).collect())
                .collect();
            json!({ "columns": columns, "rows": rows })
        }
        Ask::First(statement, count) => {
            let (text, values) = parts(statement);
            let mut rows = database.query(text, values).await?;
            let mut read = Vec::new();
            while read.len() < *count
                && let Some(row) = rows.next().await?
            {
                read.push(row.values().iter().map(any).collect::<Vec<_>>());
            }
            json!(read)
        }
        Ask::Execute(statement) => {
            let (text, values) = parts(statement);
            json!(database.execute(text, values).await?)
        }
        Ask::Batch(statements) => {
            let statements: Vec<_> = statements.iter().map(parts).collect();
            let lent = statements
                .iter()
                .map(|(text, values)| (*text, values.as_slice()));
            json!(database.execute_batch(&lent.collect::<Vec<_>>()).await?)
        }
        Ask::Begin => {
            *open = Some(database.begin(Access::Write).await?);
            Any::Null
        }
        Ask::BeginRead => {
            *open = Some(database.begin(Access::Read).await?);
            Any::Null
        }
        Ask::Commit => {
            if let Some(transaction) = open.take() {
                transaction.commit().await?;
            }
            Any::Null
        }
        Ask::Rollback => {
            if let Some(transaction) = open.take() {
                transaction.rollback().await?;
            }
            Any::Null
        }
        Ask::WhileReading(first, second) => {
            let (text, values) = parts(first);
            let mut rows = database.query(text, values).await?;
            rows.next().await?;
            let (text, values) = parts(second);
            json!(database.execute(text, values).await?)
        }
        Ask::Trap => std::process::abort(),
    })
}

fn parts(statement: &Statement) -> (&str, Vec<Value>) {
    match statement {
        Statement::Text(text) => (text, Vec::new()),
        Statement::With(text, values) => (text, values.iter().map(value).collect()),
    }
}

fn value(any: &Any) -> Value {
    match any {
        Any::Null => Value::Null,
        Any::Bool(value) => Value::from(*value),
        Any::Number(number) => match number.as_i64() {
            Some(value) => Value::from(value),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Any::String(text) => Value::from(text.as_str()),
        other => Value::Blob(other["blob"].as_str().unwrap_or_default().into()),
    }
}

fn any(value: &Value) -> Any {
    match value {
        Value::Null => Any::Null,
        Value::Boolean(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Real(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Blob(bytes) => json!({ "blob": String::from_utf8_lossy(bytes) }),
    }
}

async fn hello(path: &str) -> Result<String> {
    match path {
        "/hello" => return Ok(HELLO.to_owned()),
        "/select" => {}
        _ => return Err(Error::not_found("there is /hello and /select")),
    }
    let database = Connection::open("default")?;
    let rows = database
        .query("SELECT text FROM hello WHERE id = ?1", params![1])
        .await?;
    let rows = rows.all().await?;
    let row = rows
        .first()
        .ok_or_else(|| Error::not_found("there is no hello"))?;
    Ok(row.at(0)?)
}
