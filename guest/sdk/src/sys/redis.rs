//! `everwarm:redis`, by the canonical ABI of the component model, as `wit/` has it. Both versions of WASI call it alike.
//! What leaves this module is safe.

use std::marker::PhantomData;

use super::abi::{self, host, owned, text};
use crate::redis::{Command, Item, RedisError, Value};

host! {
    #[module = "everwarm:redis/client@0.1.0"] {
        #[name = "execute"] unsafe fn client_execute(*const u8, usize, *const Lent<'_, u8>, usize, *mut Area);
        #[name = "execute-all"] unsafe fn client_execute_all(*const u8, usize, *const Lent<'_, Lent<'_, u8>>, usize, u32, *mut Area);
    }
}

/// `result<list<item>, error>`: what is behind the case begins at 4.
type Area = abi::Area<16>;

/// `list<T>`, which it borrows.
#[repr(C)]
struct Lent<'a, T> {
    start: *const T,
    len: usize,
    borrowed: PhantomData<&'a [T]>,
}

impl<'a, T> From<&'a [T]> for Lent<'a, T> {
    fn from(list: &'a [T]) -> Self {
        Self {
            start: list.as_ptr(),
            len: list.len(),
            borrowed: PhantomData,
        }
    }
}

/// `item`, as the host wrote it.
#[repr(C)]
struct Given {
    case: u8,
    content: u64,
}

impl Given {
    /// The part of an answer.
    ///
    /// # Safety
    /// The host wrote it, and it is taken once.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower and the upper half"
    )]
    unsafe fn take(self) -> Item {
        let content = self.content;
        // SAFETY: these cases carry a list, which the host allocated.
        let list = || unsafe { owned(content as u32 as usize, (content >> 32) as usize) };
        Item::One(match self.case {
            0 => Value::Nil,
            1 => Value::Integer(content.cast_signed()),
            2 => Value::Real(f64::from_bits(content)),
            3 => Value::Boolean(content & 0xff == 1),
            4 => Value::Status(text(list())),
            5 => Value::Bytes(list()),
            6 => return Item::List(content as u32),
            7 => return Item::Pairs(content as u32),
            _ => Value::Problem(text(list())),
        })
    }
}

fn lent(command: &[Vec<u8>]) -> Vec<Lent<'_, u8>> {
    command
        .iter()
        .map(|argument| Lent::from(&argument[..]))
        .collect()
}

/// What came of it.
///
/// # Safety
/// The host wrote the area, and it is taken once.
unsafe fn answer(area: &Area) -> Result<Vec<Item>, RedisError> {
    // SAFETY: the list is ours, and so is what is in it; errors but the first two carry a string.
    unsafe {
        if area.case(0) == 0 {
            let items: Vec<Given> = area.list(4);
            return Ok(items.into_iter().map(|item| item.take()).collect());
        }
        Err(match area.case(4) {
            0 => RedisError::NoSuchServer,
            1 => RedisError::AccessDenied,
            2 => RedisError::Refused(area.string(8)),
            3 => RedisError::NotAllowed(area.string(8)),
            4 => RedisError::Unavailable(area.string(8)),
            5 => RedisError::Timeout(area.string(8)),
            _ => RedisError::TooMuch(area.string(8)),
        })
    }
}

pub(crate) fn execute(server: &str, command: &[Vec<u8>]) -> Result<Vec<Item>, RedisError> {
    let lent = lent(command);
    // SAFETY: what is lent is read during the call, and the area is large enough for what is written.
    unsafe {
        let area = Area::fill(|area| {
            client_execute(
                server.as_ptr(),
                server.len(),
                lent.as_ptr(),
                lent.len(),
                area,
            );
        });
        answer(&area)
    }
}

pub(crate) fn execute_all(
    server: &str,
    commands: &[Command],
    is_atomic: bool,
) -> Result<Vec<Item>, RedisError> {
    let arguments: Vec<_> = commands.iter().map(|command| lent(&command.0)).collect();
    let lent: Vec<_> = arguments
        .iter()
        .map(|command| Lent::from(&command[..]))
        .collect();
    let (start, len) = (server.as_ptr(), server.len());
    // SAFETY: as in `execute`.
    unsafe {
        let area = Area::fill(|area| {
            client_execute_all(
                start,
                len,
                lent.as_ptr(),
                lent.len(),
                u32::from(is_atomic),
                area,
            );
        });
        answer(&area)
    }
}
