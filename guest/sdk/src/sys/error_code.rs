//! `error-code` of `wasi:http`, which both versions lay out alike: which case it is, and what the case
//! carries. It knows where the parts lie in memory, and not what a case means: that is `client::kind`.
//!
//! # Where the parts lie
//!
//! A variant is its case's number, in one byte as there are fewer than 256 cases, and behind it, at the
//! alignment of the largest payload, the payload. The largest alignment is that of `option<u64>`: 8. So
//! each payload begins at 8, and the whole is aligned to 8. In a payload:
//!
//! - `option<T>` is a byte that is 1 when there is a `T`, and then the `T` at its alignment: `u8` at 1,
//!   `u16` at 2, `u32` at 4, `u64` at 8. A string is two words, its start and its length, so that
//!   `option<string>` is 12 bytes with the string at 4.
//! - `DNS-error-payload` is `option<string>` at 0 and `option<u16>` at 12.
//! - `TLS-alert-received-payload` is `option<u8>` at 0, which takes 2 bytes, and `option<string>` at 4.
//! - `field-size-payload` is `option<string>` at 0 and `option<u32>` at 12, and takes 20 bytes.
//! - `option<field-size-payload>` is a byte, and the record at 4. With 24 bytes it is the largest payload,
//!   so that the whole is 8 + 24 = 32 bytes.
//!
//! The tests compare this with what the component toolchain computes.

/// The size of an `error-code` in bytes.
pub(crate) const ERROR_CODE_SIZE: usize = 32;
/// The case that says least.
pub(crate) const INTERNAL_ERROR: u8 = 38;
/// The case of a body that is not whole.
pub(crate) const RESPONSE_INCOMPLETE: u8 = 25;

/// An `error-code`. No case carries more than one text and one number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorCode {
    /// The number of the case in the WIT's order.
    pub(crate) case: u8,
    /// A name or a description.
    pub(crate) text: Option<String>,
    /// A size in bytes, or the number of what was received.
    pub(crate) number: Option<u64>,
}

/// Where a case's payload has its parts. Those that it lacks are at 0, where no payload is.
#[derive(Clone, Copy)]
struct Places {
    /// The option that both others are inside of.
    outer: u8,
    /// The `option<string>`.
    text: u8,
    /// The option of a number.
    number: u8,
    /// The number's length, which is its alignment too.
    number_len: u8,
}

/// How many cases there are.
const CASES_LEN: usize = 39;

/// Where every payload begins.
const PAYLOAD: u8 = 8;

/// Those of each case.
static PLACES: [Places; CASES_LEN] = {
    let mut places = [Places::of(0); CASES_LEN];
    let mut case = 0;
    while case < CASES_LEN {
        places[case] = Places::of(case);
        case += 1;
    }
    places
};

impl Places {
    const fn of(case: usize) -> Self {
        let nothing = Self {
            outer: 0,
            text: 0,
            number: 0,
            number_len: 0,
        };
        match case {
            // DNS-error
            1 => Self {
                text: PAYLOAD,
                number: PAYLOAD + 12,
                number_len: 2,
                ..nothing
            },
            // TLS-alert-received
            14 => Self {
                number: PAYLOAD,
                number_len: 1,
                text: PAYLOAD + 4,
                ..nothing
            },
            // HTTP-request-body-size, HTTP-response-body-size
            17 | 28 => Self {
                number: PAYLOAD,
                number_len: 8,
                ..nothing
            },
            // HTTP-request-header-section-size, HTTP-request-trailer-section-size and the response's two
            21 | 23 | 26 | 29 => Self {
                number: PAYLOAD,
                number_len: 4,
                ..nothing
            },
            // HTTP-request-header-size
            22 => Self {
                outer: PAYLOAD,
                text: PAYLOAD + 4,
                number: PAYLOAD + 4 + 12,
                number_len: 4,
            },
            // HTTP-request-trailer-size, HTTP-response-header-size, HTTP-response-trailer-size
            24 | 27 | 30 => Self {
                text: PAYLOAD,
                number: PAYLOAD + 12,
                number_len: 4,
                ..nothing
            },
            // HTTP-response-transfer-coding, HTTP-response-content-coding, internal-error
            31 | 32 | 38 => Self {
                text: PAYLOAD,
                ..nothing
            },
            _ => nothing,
        }
    }
}

impl ErrorCode {
    /// A case that carries nothing.
    pub(crate) fn of(case: u8) -> Self {
        Self {
            case,
            ..Self::default()
        }
    }

    /// Reads one. Its text is read by `read_text`, which is given its start and its length, once.
    pub(crate) fn read(
        area: &[u8; ERROR_CODE_SIZE],
        read_text: impl FnOnce(usize, usize) -> String,
    ) -> Self {
        let mut code = Self::of(area[0]);
        if let Some((start, len)) = text_in(area) {
            code.text = Some(read_text(start, len));
        }
        if let Some(places) = places(area)
            && places.number != 0
            && area[usize::from(places.number)] == 1
        {
            let len = usize::from(places.number_len);
            code.number = Some(number(area, usize::from(places.number) + len, len));
        }
        code
    }
}

/// The start and length of the text in an `error-code`, if there is one.
pub(crate) fn text_in(area: &[u8; ERROR_CODE_SIZE]) -> Option<(usize, usize)> {
    let option = usize::from(places(area)?.text);
    if option == 0 || area[option] != 1 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "it is of four bytes")]
    let word = |place| number(area, place, 4) as usize;
    Some((word(option + 4), word(option + 8)))
}

/// Where what is there may have its parts.
fn places(area: &[u8; ERROR_CODE_SIZE]) -> Option<Places> {
    let places = *PLACES.get(usize::from(area[0]))?;
    let outer = usize::from(places.outer);
    (outer == 0 || area[outer] == 1).then_some(places)
}

/// The little-endian number of this many bytes at this place.
fn number(area: &[u8; ERROR_CODE_SIZE], place: usize, len: usize) -> u64 {
    let bytes = area[place..place + len].iter().rev();
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
