//! `everwarm:sql`, by the canonical ABI of the component model, as `wit/` has it. Both versions of WASI call it alike.
//! What leaves this module is safe.

use std::marker::PhantomData;

use super::abi::{self, host, owned, text};
use crate::sql::{Access, SqlError, Value};

host! {
    #[module = "everwarm:sql/client@0.1.0"] {
        #[name = "open"] unsafe fn open(*const u8, usize, *mut Area);
        #[name = "[method]connection.query"] unsafe fn query(u32, *const u8, usize, *const Lent<'_>, usize, *mut Area);
        #[name = "[method]connection.execute"] unsafe fn execute(u32, *const u8, usize, *const Lent<'_>, usize, *mut Area);
        #[name = "[method]connection.execute-batch"] unsafe fn execute_batch(u32, *const LentStatement<'_>, usize, *mut Area);
        #[name = "[method]connection.begin"] unsafe fn begin(u32, u32, *mut Area);
        #[name = "[method]connection.commit"] unsafe fn commit(u32, *mut Area);
        #[name = "[method]connection.rollback"] unsafe fn rollback(u32, *mut Area);
        #[name = "[resource-drop]connection"] safe fn connection_drop(u32);
        #[name = "[method]rows.columns"] unsafe fn columns(u32, *mut [usize; 2]);
        #[name = "[method]rows.next"] unsafe fn next(u32, u32, *mut Area);
        #[name = "[resource-drop]rows"] safe fn rows_drop(u32);
    }
}

/// What the calls return. An error has 20 bytes; it begins at 8 where a number of 64 bits may stand in its place, and at
/// 4 elsewhere.
type Area = abi::Area<32>;

/// `value`, of which it borrows what it refers to: the case, and 8 bytes that depend on it.
#[repr(C)]
struct Lent<'a> {
    case: u8,
    content: u64,
    borrowed: PhantomData<&'a Value>,
}

/// `statement`, which it borrows.
#[repr(C)]
struct LentStatement<'a> {
    text: *const u8,
    text_len: usize,
    parameters: *const Lent<'a>,
    parameters_len: usize,
}

/// `value`, as the host wrote it.
#[repr(C)]
struct Given {
    case: u8,
    content: u64,
}

impl<'a> From<&'a Value> for Lent<'a> {
    fn from(value: &'a Value) -> Self {
        let list = |bytes: &[u8]| u64::from(address(bytes)) | (bytes.len() as u64) << 32;
        let (case, content) = match value {
            Value::Null => (0, 0),
            Value::Boolean(value) => (1, u64::from(*value)),
            Value::Integer(value) => (2, value.cast_unsigned()),
            Value::Real(value) => (3, value.to_bits()),
            Value::Text(text) => (4, list(text.as_bytes())),
            Value::Blob(bytes) => (5, list(bytes)),
        };
        Self {
            case,
            content,
            borrowed: PhantomData,
        }
    }
}

/// Memory has 32 bits of addresses here.
#[expect(clippy::cast_possible_truncation, reason = "as above")]
fn address(bytes: &[u8]) -> u32 {
    bytes.as_ptr() as usize as u32
}

impl Given {
    /// The value.
    ///
    /// # Safety
    /// The host wrote it, and it is taken once.
    unsafe fn take(self) -> Value {
        let content = self.content;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower and the upper half"
        )]
        let list = || {
            // SAFETY: these cases carry a list, which the host allocated.
            unsafe { owned(content as u32 as usize, (content >> 32) as usize) }
        };
        match self.case {
            0 => Value::Null,
            1 => Value::Boolean(content & 0xff == 1),
            2 => Value::Integer(content.cast_signed()),
            3 => Value::Real(f64::from_bits(content)),
            4 => Value::Text(text(list())),
            _ => Value::Blob(list()),
        }
    }
}

/// What is in the first case, or the error in the second, which begins at `place`.
///
/// # Safety
/// The host wrote `result<_, error>`, and the error is taken once.
unsafe fn check(area: Area, place: usize) -> Result<Area, SqlError> {
    if area.case(0) == 0 {
        return Ok(area);
    }
    let first = place + 4;
    // SAFETY: the strings are those of the case.
    Err(unsafe {
        match area.case(place) {
            0 => SqlError::NoSuchDatabase,
            1 => SqlError::AccessDenied,
            2 => SqlError::Refused {
                code: area.string(first),
                message: area.string(first + 8),
            },
            3 => SqlError::Unavailable(area.string(first)),
            4 => SqlError::Timeout(area.string(first)),
            5 => SqlError::TooMuch(area.string(first)),
            _ => SqlError::Other(area.string(first)),
        }
    })
}

fn lent(parameters: &[Value]) -> Vec<Lent<'_>> {
    parameters.iter().map(Lent::from).collect()
}

/// A database that is open.
#[derive(Debug)]
pub(crate) struct Connection(u32);

impl Drop for Connection {
    fn drop(&mut self) {
        connection_drop(self.0);
    }
}

impl Connection {
    pub(crate) fn open(name: &str) -> Result<Self, SqlError> {
        // SAFETY: the name is read during the call; the host writes `result<connection, error>`.
        unsafe {
            let area = Area::fill(|area| open(name.as_ptr(), name.len(), area));
            Ok(Self(check(area, 4)?.word(4)))
        }
    }

    pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
        let lent = lent(parameters);
        let (start, len) = (statement.as_ptr(), statement.len());
        // SAFETY: as in `open`; the host writes `result<rows, error>`.
        unsafe {
            let area =
                Area::fill(|area| query(self.0, start, len, lent.as_ptr(), lent.len(), area));
            Ok(Rows(check(area, 4)?.word(4)))
        }
    }

    pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<u64, SqlError> {
        let lent = lent(parameters);
        let (start, len) = (statement.as_ptr(), statement.len());
        // SAFETY: as in `open`; the host writes `result<u64, error>`.
        unsafe {
            let area =
                Area::fill(|area| execute(self.0, start, len, lent.as_ptr(), lent.len(), area));
            Ok(check(area, 8)?.double_word(8))
        }
    }

    pub(crate) fn execute_batch(
        &self,
        statements: &[(&str, &[Value])],
    ) -> Result<Vec<u64>, SqlError> {
        let parameters: Vec<_> = statements.iter().map(|(_, values)| lent(values)).collect();
        let texts = statements.iter().map(|(text, _)| *text);
        let statements = texts.zip(&parameters).map(|(text, lent)| LentStatement {
            text: text.as_ptr(),
            text_len: text.len(),
            parameters: lent.as_ptr(),
            parameters_len: lent.len(),
        });
        let statements: Vec<_> = statements.collect();
        // SAFETY: as in `open`; the host writes `result<list<u64>, error>`.
        unsafe {
            let area = Area::fill(|area| {
                execute_batch(self.0, statements.as_ptr(), statements.len(), area);
            });
            Ok(check(area, 4)?.list(4))
        }
    }

    pub(crate) fn begin(&self, access: Access) -> Result<(), SqlError> {
        let access = match access {
            Access::Read => 0,
            Access::Write => 1,
        };
        // SAFETY: the host writes `result<_, error>`.
        unsafe { check(Area::fill(|area| begin(self.0, access, area)), 4).map(drop) }
    }

    pub(crate) fn commit(&self) -> Result<(), SqlError> {
        // SAFETY: as in `begin`.
        unsafe { check(Area::fill(|area| commit(self.0, area)), 4).map(drop) }
    }

    pub(crate) fn rollback(&self) -> Result<(), SqlError> {
        // SAFETY: as in `begin`.
        unsafe { check(Area::fill(|area| rollback(self.0, area)), 4).map(drop) }
    }
}

/// Rows of a statement.
#[derive(Debug)]
pub(crate) struct Rows(u32);

impl Drop for Rows {
    fn drop(&mut self) {
        rows_drop(self.0);
    }
}

impl Rows {
    /// Names and kinds.
    pub(crate) fn columns(&self) -> Vec<(String, String)> {
        let mut area = [0; 2];
        // SAFETY: the host writes `list<column>`, each of two strings, which are ours.
        unsafe {
            columns(self.0, &raw mut area);
            let columns: Vec<[usize; 4]> = owned(area[0], area[1]);
            let columns = columns.into_iter().map(|[name, name_len, kind, kind_len]| {
                (text(owned(name, name_len)), text(owned(kind, kind_len)))
            });
            columns.collect()
        }
    }

    pub(crate) fn next(&self, count_max: u32) -> Result<Vec<Vec<Value>>, SqlError> {
        // SAFETY: the host writes `result<list<row>, error>`; each list and value is ours, and taken once.
        unsafe {
            let area = Area::fill(|area| next(self.0, count_max, area));
            let rows: Vec<[usize; 2]> = check(area, 4)?.list(4);
            let rows = rows.into_iter().map(|[start, len]| {
                let values: Vec<Given> = owned(start, len);
                values.into_iter().map(|value| value.take()).collect()
            });
            Ok(rows.collect())
        }
    }
}
