//! A field's value that is made anew for each response: put together in place, so that it costs one allocation.

use http::HeaderValue;

/// The longest value.
const BYTES_MAX: usize = 128;

/// See the module's documentation. What doesn't fit is cut off: all that is written here is short.
#[derive(Debug, Clone, Copy)]
pub struct FieldText {
    bytes: [u8; BYTES_MAX],
    length: usize,
}

impl Default for FieldText {
    fn default() -> Self {
        Self {
            bytes: [0; BYTES_MAX],
            length: 0,
        }
    }
}

impl FieldText {
    /// More of it.
    pub fn push(&mut self, text: &str) {
        let text = text.as_bytes();
        let fits = text.len().min(BYTES_MAX - self.length);
        self.bytes[self.length..self.length + fits].copy_from_slice(&text[..fits]);
        self.length += fits;
    }

    /// A number.
    pub fn number(&mut self, number: impl itoa::Integer) {
        self.push(itoa::Buffer::new().format(number));
    }

    /// The value. Empty if it is none, which takes characters that no field has.
    pub fn value(&self) -> HeaderValue {
        let value = HeaderValue::from_bytes(&self.bytes[..self.length]);
        value.unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_was_pushed_and_no_longer_than_the_longest() {
        let mut text = FieldText::default();
        text.push("a; b=");
        text.number(-17_i64);
        assert_eq!(text.value(), "a; b=-17");
        for _ in 0..BYTES_MAX {
            text.push("xy");
        }
        assert_eq!(text.value().len(), BYTES_MAX);
        let mut none = FieldText::default();
        none.push("a\nb");
        assert_eq!(none.value(), "");
    }
}
