//! What is taken for a value.

use secrecy::ExposeSecret as _;

use super::*;

#[test]
fn value_has_so_many_bytes_of_utf_8() {
    for good in ["x", "é\n\0", &"x".repeat(VALUE_BYTES_MAX)] {
        let taken = value(good.as_bytes().to_vec()).unwrap();
        assert_eq!(taken.expose_secret(), good);
    }
    for (bad, code) in [
        (Vec::new(), "EW5009"),
        (vec![0xff, 0xfe], "EW5009"),
        (vec![b'x'; VALUE_BYTES_MAX + 1], "EW5021"),
        (vec![0xff; VALUE_BYTES_MAX + 1], "EW5021"),
    ] {
        assert_eq!(value(bad).unwrap_err().code(), code);
    }
}
