//! What is refused, what is not, and that it doesn't matter in which pieces bytes come.

use proptest::prelude::*;

use super::*;

fn scanned(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    scan.take(bytes);
    scan
}

fn reason(fields: &str) -> Option<&'static str> {
    let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
    scanned(head.as_bytes()).wrong().map(|wrong| wrong.reason)
}

#[test]
fn heads_that_two_readers_end_differently_are_wrong() {
    for fields in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: -1\r\n",
        "content-length: 0x5\r\n",
        "content-length:\r\n",
        "content-length: 99999999999999999999\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "x: y\nz: w\r\n",
        "x: y\r\n\n",
    ] {
        assert!(reason(fields).is_some(), "{fields:?}");
    }
    for fields in [
        "",
        "content-length: 5\r\n",
        "Content-LENGTH:5 \r\n",
        "transfer-encoding: Chunked\r\n",
        "x-content-length: 5\r\nx-transfer-encoding: gzip\r\n",
        "content-lengthy: x\r\ntransfer-encodings: x\r\n",
        "t: x\r\nc: x\r\n",
    ] {
        assert_eq!(reason(fields), None, "{fields:?}");
    }
}

#[test]
fn next_head_begins_where_the_body_ends() {
    let wrong = "GET / HTTP/1.1\nhost: a\r\n\r\n";
    for (request, heads) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n\r\n", 1),
        ("POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\nGET /\n\n", 1),
        ("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", 1),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n\n\n\n\n\n\r\nA \r\n0123456789\r\n0\r\nx: y\r\n\r\n",
            1,
        ),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", 2),
    ] {
        let scan = scanned(request.as_bytes());
        assert_eq!((scan.wrong(), scan.heads()), (None, heads), "{request:?}");
        let scan = scanned(format!("{request}{wrong}").as_bytes());
        assert_eq!(
            scan.wrong().map(|wrong| wrong.head),
            Some(heads + 1),
            "{request:?}"
        );
    }
}

#[test]
fn chunk_without_a_size_is_the_end_of_what_is_read() {
    for chunk in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "5 5\r\n",
        "fffffffffffffffff\r\n",
        "5\n",
    ] {
        let body = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        let scan = scanned(body.as_bytes());
        assert!(scan.is_off(), "{chunk:?}");
        assert_eq!(scan.wrong().map(|wrong| wrong.head), Some(2), "{chunk:?}");
    }
}

#[test]
fn http2_is_left_alone() {
    let scan = scanned(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(scan.is_off() && scan.wrong().is_none());
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("GET / HTTP/1.1\r\n".to_owned()),
        Just("content-length: 3\r\n".to_owned()),
        Just("transfer-encoding: chunked\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("3\r\nabc\r\n".to_owned()),
        Just("0\r\n\r\n".to_owned()),
        "[a-z:\r\n; 0-9]{0,8}",
    ]
}

proptest! {
    #[test]
    fn pieces_do_not_matter(pieces in prop::collection::vec(piece(), 0..20), cuts in prop::collection::vec(1_usize..9, 1..8)) {
        let bytes = pieces.concat();
        let whole = scanned(bytes.as_bytes());
        let mut scan = Scan::default();
        let (mut rest, mut cuts) = (bytes.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (first, more) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            scan.take(first);
            rest = more;
        }
        prop_assert_eq!((scan.wrong(), scan.heads(), scan.is_off()), (whole.wrong(), whole.heads(), whole.is_off()));
    }
}
