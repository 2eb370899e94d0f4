//! Reaches for what no function is given: files, sockets and names. Says of each how it was refused.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use crate::Query;

/// A line for each attempt. `port` is one that somebody listens at, `file` one that is there.
pub(crate) fn attempts(query: &Query) -> String {
    let port = query.get("port").unwrap_or("80");
    let file = query.get("file").unwrap_or("/etc/hostname");
    let address = format!("127.0.0.1:{port}");
    let attempts = [
        ("list a folder", fs::read_dir("/").map(drop)),
        ("read a file", fs::read(file).map(drop)),
        ("make a file", fs::write(format!("{file}.made"), "made")),
        ("remove a file", fs::remove_file(file)),
        ("connect", TcpStream::connect(&address).map(drop)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("send a datagram", datagram(&address)),
        (
            "look a name up",
            ("localhost", 80).to_socket_addrs().map(drop),
        ),
    ];
    let mut lines = String::new();
    for (what, outcome) in attempts {
        let outcome = match outcome {
            Ok(()) => "done".to_owned(),
            Err(error) => format!("{:?}", error.kind()),
        };
        lines.push_str(&[what, ": ", &outcome, "\n"].concat());
    }
    lines
}

fn datagram(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"from a function", address).map(drop)
}
