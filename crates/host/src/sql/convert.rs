//! The interface of SQL databases, for both versions of WASI. Converts, and knows nothing else.

use everwarm_engine::Sandbox;
use everwarm_engine::span::{Kind, Ongoing};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::{Access, Column, Connection, Failure, Granted, Rows, Statement, Value};
use crate::patience::until;
use bindings::everwarm::sql::{client, types};

#[allow(clippy::pedantic, clippy::all, reason = "generated code")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/sql",
        world: "everwarm:sql/sql",
        imports: {
            "everwarm:sql/client.open": trappable,
            "everwarm:sql/client.[method]rows.columns": trappable,
            default: async | trappable,
        },
        with: {
            "everwarm:sql/client.connection": crate::sql::Connection,
            "everwarm:sql/client.rows": crate::sql::Rows,
        },
        require_store_data_send: true,
    });
}

type Answer<T> = Result<std::result::Result<T, types::Error>>;

impl From<Failure> for types::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NoSuchDatabase => Self::NoSuchDatabase,
            Failure::AccessDenied => Self::AccessDenied,
            Failure::Refused { code, message } => Self::Refused(types::Problem { code, message }),
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Timeout(text) => Self::Timeout(text),
            Failure::TooMuch(text) => Self::TooMuch(text),
            Failure::Other(text) => Self::Other(text),
        }
    }
}

impl From<types::Value> for Value {
    fn from(value: types::Value) -> Self {
        match value {
            types::Value::Null => Self::Null,
            types::Value::Boolean(value) => Self::Boolean(value),
            types::Value::Integer(value) => Self::Integer(value),
            types::Value::Real(value) => Self::Real(value),
            types::Value::Text(value) => Self::Text(value),
            types::Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<Value> for types::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value),
            Value::Blob(value) => Self::Blob(value),
        }
    }
}

impl From<types::Statement> for Statement {
    fn from(statement: types::Statement) -> Self {
        Self {
            text: statement.text,
            parameters: statement.parameters.into_iter().map(Value::from).collect(),
        }
    }
}

impl From<types::Access> for Access {
    fn from(access: types::Access) -> Self {
        match access {
            types::Access::Read => Self::Read,
            types::Access::Write => Self::Write,
        }
    }
}

impl From<&Column> for types::Column {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            kind: column.kind.clone(),
        }
    }
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "each of the interface's functions may trap, and this is its end"
)]
fn answer<T>(done: std::result::Result<T, Failure>) -> Answer<T> {
    Ok(done.map_err(types::Error::from))
}

/// The span of a call, if it is recorded. Statements and what is in them may be secret, and aren't said.
fn span(sandbox: &mut Sandbox, operation: &'static str) -> Option<Ongoing> {
    let mut span = sandbox.begin_span(operation, Kind::Client)?;
    span.fact("db.operation.name", &operation[4..]);
    Some(span)
}

/// As [`answer`], at the end of a span.
fn ended<T>(mut span: Option<Ongoing>, done: std::result::Result<T, Failure>) -> Answer<T> {
    if let (Some(span), Err(failure)) = (&mut span, &done) {
        span.failed(failure.word());
    }
    answer(done)
}

impl types::Host for Sandbox {}

impl client::Host for Sandbox {
    fn open(&mut self, database: String) -> Answer<Resource<Connection>> {
        let granted = self.state::<Granted>();
        let opened = granted.map_or(Err(Failure::AccessDenied), |it| it.open(&database));
        match opened {
            Ok(connection) => self.keep_resource(connection).map(Ok),
            Err(failure) => answer(Err(failure)),
        }
    }
}

impl client::HostConnection for Sandbox {
    async fn query(
        &mut self,
        connection: Resource<Connection>,
        statement: types::Statement,
    ) -> Answer<Resource<Rows>> {
        let span = span(self, "sql query");
        let until = until(self);
        let connection = self.resource_mut(&connection)?;
        match connection.query(statement.into(), until).await {
            Ok(rows) => self.keep_resource(rows).map(Ok),
            Err(failure) => ended(span, Err(failure)),
        }
    }

    async fn execute(
        &mut self,
        connection: Resource<Connection>,
        statement: types::Statement,
    ) -> Answer<u64> {
        let span = span(self, "sql execute");
        let until = until(self);
        let connection = self.resource_mut(&connection)?;
        ended(span, connection.execute(statement.into(), until).await)
    }

    async fn execute_batch(
        &mut self,
        connection: Resource<Connection>,
        statements: Vec<types::Statement>,
    ) -> Answer<Vec<u64>> {
        let span = span(self, "sql execute-batch");
        let until = until(self);
        let connection = self.resource_mut(&connection)?;
        let statements = statements.into_iter().map(Statement::from).collect();
        ended(span, connection.execute_batch(statements, until).await)
    }

    async fn begin(
        &mut self,
        connection: Resource<Connection>,
        access: types::Access,
    ) -> Answer<()> {
        let span = span(self, "sql begin");
        let until = until(self);
        ended(
            span,
            self.resource_mut(&connection)?
                .begin(access.into(), until)
                .await,
        )
    }

    async fn commit(&mut self, connection: Resource<Connection>) -> Answer<()> {
        let span = span(self, "sql commit");
        let until = until(self);
        ended(span, self.resource_mut(&connection)?.commit(until).await)
    }

    async fn rollback(&mut self, connection: Resource<Connection>) -> Answer<()> {
        let span = span(self, "sql rollback");
        let until = until(self);
        ended(span, self.resource_mut(&connection)?.rollback(until).await)
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.take_resource(&connection).map(drop)
    }
}

impl client::HostRows for Sandbox {
    fn columns(&mut self, rows: Resource<Rows>) -> Result<Vec<types::Column>> {
        let columns = self.resource(&rows)?.columns();
        Ok(columns.iter().map(types::Column::from).collect())
    }

    async fn next(&mut self, rows: Resource<Rows>, count_max: u32) -> Answer<Vec<types::Row>> {
        let span = span(self, "sql next");
        let until = until(self);
        let rows = self.resource_mut(&rows)?.next(count_max, until).await;
        ended(
            span,
            rows.map(|rows| {
                let row = |row: Vec<Value>| row.into_iter().map(types::Value::from).collect();
                rows.into_iter().map(row).collect()
            }),
        )
    }

    async fn drop(&mut self, rows: Resource<Rows>) -> Result<()> {
        self.take_resource(&rows).map(drop)
    }
}
