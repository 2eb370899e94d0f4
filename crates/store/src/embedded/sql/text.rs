//! `instr`, `replace`, `trim`, `ltrim`, `rtrim` and `unhex` in time that grows with their arguments' sizes alone.
//!
//! SQLite's own compare at each place: with two texts of a mebibyte that takes from half a minute to half an hour, in
//! which nothing can stop it. Owns these, with the answers that SQLite's own give for text that is UTF-8.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, ffi};

use crate::sql::VALUE_BYTES_MAX;

/// Puts them in the place of SQLite's own.
pub(super) fn add(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("instr", 2, flags, |context| instr(context))?;
    connection.create_scalar_function("replace", 3, flags, |context| replace(context))?;
    for (name, start, end) in [
        ("trim", true, true),
        ("ltrim", true, false),
        ("rtrim", false, true),
    ] {
        connection
            .create_scalar_function(name, 2, flags, move |context| trim(context, start, end))?;
    }
    connection.create_scalar_function("unhex", 2, flags, |context| unhex(context))
}

/// Where the second stands in the first, from 1: in characters, or in bytes of two blobs.
fn instr(context: &Context<'_>) -> rusqlite::Result<Option<i64>> {
    let (in_what, what) = (context.get_raw(0), context.get_raw(1));
    let is_text = !matches!((in_what, what), (ValueRef::Blob(_), ValueRef::Blob(_)));
    let (Some(in_what), Some(what)) = (bytes_of(in_what)?, bytes_of(what)?) else {
        return Ok(None);
    };
    let goes_on = |byte: u8| is_text && byte & 0xc0 == 0x80;
    let found = match what.first() {
        // Between characters no such byte is looked for.
        Some(first) if goes_on(*first) => in_what.starts_with(&what).then_some(0),
        _ => memmem::find(&in_what, &what),
    };
    let place = found.map_or(0, |at| {
        let passed = in_what.get(1..=at).unwrap_or_default();
        1 + passed.iter().filter(|byte| !goes_on(**byte)).count()
    });
    Ok(i64::try_from(place).ok())
}

/// The first with the third in each place of the second.
fn replace(context: &Context<'_>) -> rusqlite::Result<Value> {
    let (Some(in_what), Some(what)) =
        (bytes_of(context.get_raw(0))?, bytes_of(context.get_raw(1))?)
    else {
        return Ok(Value::Null);
    };
    if what.first().is_none_or(|first| *first == 0) {
        return Ok(text(in_what.into_owned()));
    }
    let Some(with) = bytes_of(context.get_raw(2))? else {
        return Ok(Value::Null);
    };
    let mut replaced = Vec::with_capacity(in_what.len());
    let mut rest = 0;
    for at in memmem::find_iter(&in_what, &what) {
        replaced.extend_from_slice(&in_what[rest..at]);
        replaced.extend_from_slice(&with);
        rest = at + what.len();
        if replaced.len() > VALUE_BYTES_MAX {
            let code = ffi::Error::new(ffi::SQLITE_TOOBIG);
            let said = "string or blob too big".to_owned();
            return Err(Error::SqliteFailure(code, Some(said)));
        }
    }
    replaced.extend_from_slice(&in_what[rest..]);
    Ok(text(replaced))
}

/// The first without the second's characters at its ends.
fn trim(context: &Context<'_>, start: bool, end: bool) -> rusqlite::Result<Value> {
    let (Some(text), Some(chars)) = (bytes_of(context.get_raw(0))?, bytes_of(context.get_raw(1))?)
    else {
        return Ok(Value::Null);
    };
    let (text, chars) = (String::from_utf8_lossy(&text), chars_of(&chars));
    let mut trimmed = &*text;
    if start {
        trimmed = trimmed.trim_start_matches(|char| chars.contains(&char));
    }
    if end {
        trimmed = trimmed.trim_end_matches(|char| chars.contains(&char));
    }
    Ok(Value::Text(trimmed.to_owned()))
}

/// The bytes that the first says in hexadecimal digits, with the second's characters between them.
fn unhex(context: &Context<'_>) -> rusqlite::Result<Value> {
    let (Some(text), Some(pass)) = (bytes_of(context.get_raw(0))?, bytes_of(context.get_raw(1))?)
    else {
        return Ok(Value::Null);
    };
    let (text, pass) = (String::from_utf8_lossy(&text), chars_of(&pass));
    let digit = |char: char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut chars = text.chars().take_while(|char| *char != '\0');
    while let Some(char) = chars.next() {
        let Some(high) = digit(char) else {
            if pass.contains(&char) {
                continue;
            }
            return Ok(Value::Null);
        };
        let Some(low) = chars.next().and_then(digit) else {
            return Ok(Value::Null);
        };
        bytes.push(high << 4 | low);
    }
    Ok(Value::Blob(bytes))
}

/// The characters of a text, which ends for SQLite with the first NUL here.
fn chars_of(text: &[u8]) -> HashSet<char> {
    let text = String::from_utf8_lossy(text);
    text.chars().take_while(|char| *char != '\0').collect()
}

fn text(bytes: Vec<u8>) -> Value {
    let text = String::from_utf8(bytes);
    Value::Text(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// What SQLite takes for a value's text; none for `NULL`.
fn bytes_of(value: ValueRef<'_>) -> rusqlite::Result<Option<Cow<'_, [u8]>>> {
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
        ValueRef::Real(number) => Some(text_of_real(number)?.into_bytes().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.into()),
    })
}

/// SQLite has a form of its own for these, and tells it.
fn text_of_real(number: f64) -> rusqlite::Result<String> {
    thread_local! {
        static EMPTY: rusqlite::Result<Connection> = Connection::open_in_memory();
    }
    EMPTY.with(|connection| match connection {
        Ok(connection) => {
            let mut cast = connection.prepare_cached("SELECT CAST(?1 AS TEXT)")?;
            cast.query_row([number], |row| row.get(0))
        }
        Err(_) => Err(Error::SqliteFailure(
            ffi::Error::new(ffi::SQLITE_NOMEM),
            None,
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_sqlites_own() {
        let own = Connection::open_in_memory().unwrap();
        let ours = Connection::open_in_memory().unwrap();
        add(&ours).unwrap();
        let values = [
            "NULL",
            "''",
            "'a'",
            "'aa'",
            "'aaaa'",
            "'b\u{e4}\u{10ffff}aab\u{e4}'",
            "'\u{e4}'",
            "'\u{10ffff}a'",
            "x''",
            "x'61'",
            "x'a4'",
            "x'c3a461a4'",
            "x'00'",
            "'a' || char(0) || 'b'",
            "'61-6F b'",
            "' -'",
            "12",
            "1.0",
            "1.5e300",
            "-0.1",
            "9e999",
            "123456789012345",
        ];
        for first in values {
            for second in values {
                for sql in [
                    format!("SELECT instr({first}, {second})"),
                    format!("SELECT quote(replace({first}, {second}, 'x'))"),
                    format!("SELECT quote(replace({first}, {second}, NULL))"),
                    format!("SELECT quote(replace({first}, {second}, 7.25))"),
                    format!("SELECT quote(trim({first}, {second}))"),
                    format!("SELECT quote(ltrim({first}, {second}))"),
                    format!("SELECT quote(rtrim({first}, {second}))"),
                    format!("SELECT quote(unhex({first}, {second}))"),
                ] {
                    let ask = |connection: &Connection| {
                        connection.query_row(&sql, [], |row| row.get::<_, Value>(0))
                    };
                    match (ask(&own), ask(&ours)) {
                        (Ok(own), Ok(ours)) => assert_eq!(own, ours, "{sql}"),
                        // Text that isn't UTF-8 has no form in a test.
                        (Err(_), _) => {}
                        (own, ours) => panic!("{sql}: {own:?} {ours:?}"),
                    }
                }
            }
        }
    }
}
