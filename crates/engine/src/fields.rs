//! HTTP fields as guests see them: the same rules in WASI 0.2 and 0.3.
//!
//! Owns mutability, the bound on size, and the fields that belong to the connection and not to the
//! guest. `wasi02` and `wasi03` only convert.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Bytes of names and values that one set of fields made by a guest may hold.
const FIELDS_BYTES_MAX: usize = 128 << 10;

/// Fields that belong to the connection (RFC 9110, section 7.6.1) or that the host sets itself.
static FORBIDDEN: [HeaderName; 8] = [
    header::CONNECTION,
    header::HOST,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Why a change of fields was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldsError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    TooLarge,
}

/// A set of fields.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    map: Arc<HeaderMap>,
    bytes: usize,
    mutable: bool,
}

impl Fields {
    pub(crate) fn new() -> Self {
        Self {
            map: Arc::new(HeaderMap::new()),
            bytes: 0,
            mutable: true,
        }
    }

    /// Fields that came from outside; a guest may read them.
    pub(crate) fn received(mut map: HeaderMap) -> Self {
        for name in &FORBIDDEN {
            map.remove(name);
        }
        Self {
            map: Arc::new(map),
            bytes: 0,
            mutable: false,
        }
    }

    pub(crate) fn from_list(entries: Vec<(String, Vec<u8>)>) -> Result<Self, FieldsError> {
        let mut fields = Self::new();
        for (name, value) in entries {
            fields.append(&name, value)?;
        }
        Ok(fields)
    }

    /// A copy that may be changed.
    pub(crate) fn clone_mutable(&self) -> Self {
        Self {
            map: Arc::clone(&self.map),
            bytes: size(&self.map),
            mutable: true,
        }
    }

    /// The same fields, which nobody may change any more.
    pub(crate) fn frozen(mut self) -> Self {
        self.mutable = false;
        self
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }

    pub(crate) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    pub(crate) fn get(&self, name: &str) -> Vec<Vec<u8>> {
        self.map
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes().to_vec())
            .collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    pub(crate) fn entries(&self) -> Vec<(String, Vec<u8>)> {
        self.map
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect()
    }

    pub(crate) fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> Result<(), FieldsError> {
        let name = self.writable(name)?;
        let values = values
            .into_iter()
            .map(parse_value)
            .collect::<Result<Vec<_>, _>>()?;
        self.remove(&name);
        values
            .into_iter()
            .try_for_each(|value| self.push(name.clone(), value))
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<Vec<Vec<u8>>, FieldsError> {
        let name = self.writable(name)?;
        let values = self.get(name.as_str());
        self.remove(&name);
        Ok(values)
    }

    pub(crate) fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), FieldsError> {
        let name = self.writable(name)?;
        self.push(name, parse_value(value)?)
    }

    fn writable(&self, name: &str) -> Result<HeaderName, FieldsError> {
        let name: HeaderName = name.parse().map_err(|_| FieldsError::InvalidSyntax)?;
        if FORBIDDEN.contains(&name) {
            return Err(FieldsError::Forbidden);
        }
        if self.mutable {
            Ok(name)
        } else {
            Err(FieldsError::Immutable)
        }
    }

    fn push(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), FieldsError> {
        let bytes = self.bytes + name.as_str().len() + value.len();
        if bytes > FIELDS_BYTES_MAX {
            return Err(FieldsError::TooLarge);
        }
        Arc::make_mut(&mut self.map)
            .try_append(name, value)
            .map_err(|_| FieldsError::TooLarge)?;
        self.bytes = bytes;
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        let freed: usize = self
            .map
            .get_all(name)
            .iter()
            .map(|value| name.as_str().len() + value.len())
            .sum();
        self.bytes = self.bytes.saturating_sub(freed);
        Arc::make_mut(&mut self.map).remove(name);
    }
}

fn parse_value(value: Vec<u8>) -> Result<HeaderValue, FieldsError> {
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value))
        .map_err(|_| FieldsError::InvalidSyntax)
}

fn size(map: &HeaderMap) -> usize {
    map.iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_can_neither_set_nor_see_fields_of_the_connection() {
        let mut map = HeaderMap::new();
        map.insert("upgrade", HeaderValue::from_static("h2c"));
        map.insert("accept", HeaderValue::from_static("*/*"));
        let received = Fields::received(map);
        assert_eq!(received.entries(), vec![("accept".into(), b"*/*".to_vec())]);
        let mut own = Fields::new();
        assert_eq!(
            own.append("Transfer-Encoding", b"chunked".to_vec()),
            Err(FieldsError::Forbidden)
        );
    }

    #[test]
    fn fields_are_bounded_and_removed_bytes_count_no_more() {
        let mut fields = Fields::new();
        let half = vec![b'a'; FIELDS_BYTES_MAX / 2];
        fields.append("x", half.clone()).unwrap();
        assert_eq!(fields.append("y", half.clone()), Err(FieldsError::TooLarge));
        fields.delete("x").unwrap();
        fields.append("y", half).unwrap();
    }

    #[test]
    fn received_fields_are_immutable_and_their_copies_are_not() {
        let received = Fields::received(HeaderMap::new());
        assert_eq!(
            received.clone().append("a", b"b".to_vec()),
            Err(FieldsError::Immutable)
        );
        assert_eq!(received.clone_mutable().append("a", b"b".to_vec()), Ok(()));
        assert_eq!(
            received
                .clone_mutable()
                .append("a", b"line\nbreak".to_vec()),
            Err(FieldsError::InvalidSyntax)
        );
    }
}
