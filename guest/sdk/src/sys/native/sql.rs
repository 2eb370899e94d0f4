//! SQL as unit tests have it: a closure of the test's answers each statement.

use std::cell::RefCell;
use std::rc::Rc;

use crate::sql::{Access, SqlError, Value};
use crate::testing::SqlAnswer;

/// What answers statements.
type Database = Rc<dyn Fn(&str, &[Value]) -> Result<SqlAnswer, SqlError>>;

thread_local! {
    static DATABASE: RefCell<Option<Database>> = const { RefCell::new(None) };
}

/// Has statements answered by this from now on.
pub(crate) fn on_sql(answer: impl Fn(&str, &[Value]) -> Result<SqlAnswer, SqlError> + 'static) {
    DATABASE.set(Some(Rc::new(answer)));
}

fn ask(statement: &str, parameters: &[Value]) -> Result<SqlAnswer, SqlError> {
    let database = DATABASE.with_borrow(Clone::clone);
    let database = database.ok_or_else(|| {
        let text = "there is no database in a unit test: see `testing::on_sql`";
        SqlError::Unavailable(text.to_owned())
    })?;
    database(statement, parameters)
}

#[derive(Debug)]
pub(crate) struct Connection;

#[derive(Debug)]
pub(crate) struct Rows(RefCell<SqlAnswer>);

impl Connection {
    #[expect(clippy::unnecessary_wraps, reason = "a host may have no such database")]
    pub(crate) fn open(_: &str) -> Result<Self, SqlError> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "a host's has one")]
    pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
        ask(statement, parameters).map(|answer| Rows(RefCell::new(answer)))
    }

    #[expect(clippy::unused_self, reason = "a host's has one")]
    pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, SqlError> {
        ask(statement, parameters).map(|answer| answer.changed)
    }

    pub(crate) fn execute_batch(
        &self,
        statements: &[(&str, &[Value])],
    ) -> Result<Vec<u64>, SqlError> {
        let statements = statements.iter();
        let done = statements.map(|(statement, parameters)| self.execute(statement, parameters));
        done.collect()
    }

    pub(crate) fn begin(&self, access: Access) -> Result<(), SqlError> {
        let begin = match access {
            Access::Read => "BEGIN READ",
            Access::Write => "BEGIN",
        };
        self.execute(begin, &[]).map(drop)
    }

    pub(crate) fn commit(&self) -> Result<(), SqlError> {
        self.execute("COMMIT", &[]).map(drop)
    }

    pub(crate) fn rollback(&self) -> Result<(), SqlError> {
        self.execute("ROLLBACK", &[]).map(drop)
    }
}

impl Rows {
    pub(crate) fn columns(&self) -> Vec<(String, String)> {
        let answer = self.0.borrow();
        let columns = answer.columns.iter();
        columns.map(|name| (name.clone(), String::new())).collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "a host's may break off")]
    pub(crate) fn next(&self, count_max: u32) -> Result<Vec<Vec<Value>>, SqlError> {
        let mut answer = self.0.borrow_mut();
        let count = answer.rows.len().min(count_max as usize);
        Ok(answer.rows.drain(..count).collect())
    }
}
