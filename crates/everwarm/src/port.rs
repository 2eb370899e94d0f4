//! Whether a port is free, and which program has it if it isn't.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// Whether one could listen on an address.
///
/// # Errors
/// What the operating system says when one can't.
pub(crate) fn probe(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (process {})", self.name, self.pid)
    }
}

/// Who listens on an address, where Linux's `/proc` tells it; programs of other users stay unknown.
pub(crate) fn owner(address: SocketAddr) -> Option<Program> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| table.lines().find_map(|line| listening(line, address)))?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        // A process chooses its own name: nothing in it may steer the terminal.
        let name = name.trim().escape_debug().to_string();
        Some(Program { name, pid })
    })
}

/// The inode of the socket in a line of `/proc/net/tcp`, if it listens where `address` would.
fn listening(line: &str, address: SocketAddr) -> Option<u64> {
    const STATE_LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if *fields.get(3)? != STATE_LISTEN || port != address.port() {
        return None;
    }
    // The kernel writes the words of an address in its own byte order; only these two matter here.
    let everywhere = ip.bytes().all(|digit| digit == b'0');
    let same = match address.ip() {
        IpAddr::V4(wanted) => {
            let word = u32::from_str_radix(ip, 16).ok();
            word.is_some_and(|word| Ipv4Addr::from(word.to_ne_bytes()) == wanted)
        }
        IpAddr::V6(_) => ip.len() == 32,
    };
    (everywhere || same || address.ip().is_unspecified())
        .then(|| fields.get(9)?.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn own_socket_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(address).is_err());
        assert_eq!(owner(address).unwrap().pid, std::process::id());
        drop(listener);
        assert_eq!(owner(address), None);
    }

    #[test]
    fn line_of_the_kernels_table_is_read() {
        let line = "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0";
        let at = |text: &str| text.parse().unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(listening(line, at("127.0.0.1:3000")), Some(4242));
            assert_eq!(listening(line, at("127.0.0.2:3000")), None);
        }
        assert_eq!(listening(line, at("127.0.0.1:3001")), None);
        let connected = line.replace(" 0A ", " 01 ");
        assert_eq!(listening(&connected, at("127.0.0.1:3000")), None);
        assert_eq!(listening("sl  local_address", at("127.0.0.1:3000")), None);
    }
}
