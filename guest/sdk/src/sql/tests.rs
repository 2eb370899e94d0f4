//! Statements as unit tests of functions have them.

use super::{Access, Connection, SqlError, Value};
use crate::testing::{SqlAnswer, block_on, on_sql};

#[test]
fn rows_are_read_by_name_and_by_place() {
    on_sql(|statement, parameters| {
        assert_eq!(statement, "SELECT * FROM t WHERE id > ?1");
        assert_eq!(parameters, [Value::Integer(7)]);
        let row = |id: i64, name: Option<&str>| vec![Value::from(id), Value::from(name)];
        Ok(SqlAnswer::rows(
            ["id", "name"],
            [row(8, Some("a")), row(9, None)],
        ))
    });
    block_on(async {
        let database = Connection::open("default").unwrap();
        let rows = database.query("SELECT * FROM t WHERE id > ?1", params![7]);
        let rows = rows.await.unwrap().all().await.unwrap();
        assert_eq!(rows[0].get::<u32>("id"), Ok(8));
        assert_eq!(rows[0].at::<String>(1).as_deref(), Ok("a"));
        assert_eq!(rows[1].get::<Option<String>>("name"), Ok(None));
        for error in [rows[1].get::<String>("name"), rows[0].get::<String>("none")] {
            assert!(matches!(error, Err(SqlError::Value(_))), "{error:?}");
        }
    });
}

#[test]
fn rows_come_one_by_one_too() {
    on_sql(|_, _| Ok(SqlAnswer::rows(["n"], (0..3).map(|n| vec![Value::from(n)]))));
    block_on(async {
        let database = Connection::open("default").unwrap();
        let mut rows = database.query("SELECT n", []).await.unwrap();
        let mut sum = 0;
        while let Some(row) = rows.next().await.unwrap() {
            sum += row.at::<i64>(0).unwrap();
        }
        assert_eq!(sum, 3);
    });
}

#[test]
fn transaction_that_is_dropped_is_rolled_back_and_one_that_is_committed_is_not() {
    use std::cell::RefCell;
    use std::rc::Rc;

    let said = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&said);
    on_sql(move |statement, _| {
        heard.borrow_mut().push(statement.to_owned());
        Ok(SqlAnswer::changed(1))
    });
    block_on(async {
        let database = Connection::open("default").unwrap();
        let transaction = database.begin(Access::Write).await.unwrap();
        assert_eq!(transaction.execute("DELETE FROM t", []).await, Ok(1));
        drop(transaction);
        database
            .begin(Access::Read)
            .await
            .unwrap()
            .commit()
            .await
            .unwrap();
    });
    let expected = ["BEGIN", "DELETE FROM t", "ROLLBACK", "BEGIN READ", "COMMIT"];
    assert_eq!(*said.borrow(), expected);
}
