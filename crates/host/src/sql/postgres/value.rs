//! Values on their way to and from Postgres. Owns how each of the interface's kinds is sent, and what a column's value is
//! in them. Knows no connection.

use std::error::Error;
use std::fmt::Write as _;

use bytes::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::sql::Value;

/// A parameter, in whose text is no NUL. All but bytes are sent as text, which the server reads as what it needs there: so a text may stand for a
/// time, a UUID or a number of any size, as it may in a literal.
#[derive(Debug)]
pub(super) struct Parameter(pub(super) Value);

impl Parameter {
    /// What the server is told of its type.
    pub(super) fn kind(&self) -> Type {
        match self.0 {
            Value::Blob(_) => Type::BYTEA,
            _ => Type::UNKNOWN,
        }
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Boolean(value) => out.extend_from_slice(if *value { b"t" } else { b"f" }),
            Value::Integer(value) => write!(out, "{value}")?,
            Value::Real(value) if value.is_infinite() => {
                out.extend_from_slice(if *value < 0.0 {
                    b"-Infinity"
                } else {
                    b"Infinity"
                });
            }
            Value::Real(value) => write!(out, "{value:?}")?,
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Blob(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self.0 {
            Value::Blob(_) => Format::Binary,
            _ => Format::Text,
        }
    }

    to_sql_checked!();
}

/// A value of a row.
pub(super) struct Cell(pub(super) Value);

/// A value of a type that has no form here.
#[derive(Debug, thiserror::Error)]
#[error(
    "a value of the type `{0}` can't be read: cast it to text in the statement (`column::text`)"
)]
pub(super) struct Unreadable(String);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        value(kind, raw).map(Cell)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Cell(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn value(kind: &Type, raw: &[u8]) -> Result<Value, Box<dyn Error + Sync + Send>> {
    if let Kind::Domain(base) = kind.kind() {
        return value(base, raw);
    }
    if let Kind::Enum(_) = kind.kind() {
        return Ok(Value::Text(String::from_sql(&Type::TEXT, raw)?));
    }
    Ok(match *kind {
        Type::BOOL => Value::Boolean(bool::from_sql(kind, raw)?),
        Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
        Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
        Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
        Type::OID => Value::Integer(u32::from_sql(kind, raw)?.into()),
        Type::FLOAT4 => Value::Real(f32::from_sql(kind, raw)?.into()),
        Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML => Value::Text(std::str::from_utf8(raw)?.to_owned()),
        // Behind the version of its form.
        Type::JSONB => match raw.split_first() {
            Some((1, text)) => Value::Text(std::str::from_utf8(text)?.to_owned()),
            _ => return Err(Unreadable("jsonb of another form".to_owned()).into()),
        },
        Type::BYTEA => Value::Blob(raw.to_vec()),
        Type::UUID => Value::Text(uuid(raw)?),
        Type::DATE => Value::Text(jiff::civil::Date::from_sql(kind, raw)?.to_string()),
        Type::TIME => Value::Text(jiff::civil::Time::from_sql(kind, raw)?.to_string()),
        Type::TIMESTAMP => Value::Text(jiff::civil::DateTime::from_sql(kind, raw)?.to_string()),
        Type::TIMESTAMPTZ => Value::Text(jiff::Timestamp::from_sql(kind, raw)?.to_string()),
        Type::NUMERIC => Value::Text(numeric(raw).ok_or("a number breaks off")?),
        Type::VOID => Value::Null,
        _ => return Err(Unreadable(kind.name().to_owned()).into()),
    })
}

/// RFC 9562, section 4.
fn uuid(raw: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let bytes: [u8; 16] = raw.try_into()?;
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// A number of any size, in groups of four decimal digits (`numeric_send` in Postgres's `numeric.c`). `None` when it
/// breaks off.
fn numeric(raw: &[u8]) -> Option<String> {
    const NEGATIVE: u16 = 0x4000;
    let mut words = raw.chunks(2).map(|word| match *word {
        [high, low] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    });
    let mut next = || words.next().flatten();
    let (count, weight, sign, scale) = (next()?, next()?.cast_signed(), next()?, next()?);
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let groups = (0..count).map(|_| next()).collect::<Option<Vec<u16>>>()?;
    // Group `n` counts 10000 to the power of `weight - n`; what isn't sent is zero.
    let group = |power: i32| {
        let index = usize::try_from(i32::from(weight) - power).ok();
        index
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for power in (0..=i32::from(weight).max(0)).rev() {
        let group = group(power);
        let written = if text.is_empty() {
            write!(text, "{group}")
        } else {
            write!(text, "{group:04}")
        };
        written.ok()?;
    }
    let mut fraction = String::new();
    for place in 1..=i32::from(scale).div_euclid(4) + 1 {
        write!(fraction, "{:04}", group(-place)).ok()?;
    }
    if scale > 0 {
        text.push('.');
        text.push_str(fraction.get(..usize::from(scale))?);
    }
    Some(if sign == NEGATIVE {
        format!("-{text}")
    } else {
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(count: &[u16], weight: i16, sign: u16, scale: u16) -> String {
        let head = [
            u16::try_from(count.len()).unwrap(),
            weight.cast_unsigned(),
            sign,
            scale,
        ];
        let words = head.iter().chain(count);
        numeric(
            &words
                .flat_map(|word| word.to_be_bytes())
                .collect::<Vec<_>>(),
        )
        .unwrap()
    }

    #[test]
    fn numbers_of_any_size_are_text_as_postgres_writes_them() {
        assert_eq!(number(&[], 0, 0, 0), "0");
        assert_eq!(number(&[], 0, 0, 2), "0.00");
        assert_eq!(number(&[7], 0, 0, 0), "7");
        assert_eq!(number(&[1, 2345], 1, 0x4000, 0), "-12345");
        assert_eq!(number(&[1], 2, 0, 0), "100000000");
        assert_eq!(number(&[12, 5000], 0, 0, 1), "12.5");
        assert_eq!(number(&[5], -1, 0, 4), "0.0005");
        assert_eq!(number(&[1], -2, 0, 8), "0.00000001");
        assert_eq!(number(&[], 0, 0xc000, 0), "NaN");
        assert_eq!(numeric(&[0, 1]), None);
        assert_eq!(numeric(&[0, 1, 0, 0, 0, 0, 0, 0, 7]), None);
    }

    #[test]
    fn type_without_a_form_says_what_to_do() {
        let error = value(&Type::POINT, &[0; 16]).unwrap_err();
        assert!(error.to_string().contains("`point`"), "{error}");
    }
}
