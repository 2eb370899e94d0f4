//! Values of SQL, and what they are in Rust.

use super::SqlError;

/// A value. What a database has no such kind for is text, in its own form: times, UUIDs, JSON, numbers of any size.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `NULL`.
    Null,
    /// `true` or `false`. SQLite has numbers for it.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! from {
    ($($case:ident: $($kind:ty),+;)+) => {$($(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$case(value.into())
            }
        }
    )+)+};
}

from! {
    Boolean: bool;
    Integer: i64, i32, i16, i8, u32, u16, u8;
    Real: f64, f32;
    Text: String, &str;
    Blob: Vec<u8>, &[u8];
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a value of a row can be read as.
pub trait FromValue: Sized {
    /// Reads it; `None` when it is of another kind.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(value) => Some(*value),
            Value::Integer(value @ (0 | 1)) => Some(*value == 1),
            _ => None,
        }
    }
}

macro_rules! whole {
    ($($kind:ty),+) => {$(
        impl FromValue for $kind {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Integer(value) => (*value).try_into().ok(),
                    _ => None,
                }
            }
        }
    )+};
}

whole!(i64, i32, i16, i8, u64, u32, u16, u8, usize);

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(value) => Some(*value),
            #[expect(
                clippy::cast_precision_loss,
                reason = "SQLite gives a whole real as an integer"
            )]
            Value::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub(super) columns: std::sync::Arc<[String]>,
    pub(super) values: Vec<Value>,
}

impl Row {
    /// The value of a column, by its name.
    ///
    /// # Errors
    /// [`SqlError::Value`] when there is no such column, or its value is of another type.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, SqlError> {
        let index = self.columns.iter().position(|name| name == column);
        let index = index.ok_or_else(|| {
            let names = self.columns.join(", ");
            SqlError::Value(format!("there is no column `{column}` among {names}"))
        })?;
        self.at(index)
    }

    /// The value of a column, by its place.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn at<T: FromValue>(&self, index: usize) -> Result<T, SqlError> {
        let value = self.values.get(index);
        let value = value.ok_or_else(|| SqlError::Value(format!("there is no column {index}")))?;
        T::from_value(value).ok_or_else(|| {
            let wanted = std::any::type_name::<T>();
            let name = self.columns.get(index).map_or("", String::as_str);
            SqlError::Value(format!(
                "the value of column {index} `{name}` is no {wanted}"
            ))
        })
    }

    /// All values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}
