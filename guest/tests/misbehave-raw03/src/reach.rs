//! Reaches for what no function is given, by the interfaces themselves. Says of each how it was refused.

use std::fmt::Debug;

use wasip3::filesystem::preopens;
use wasip3::http::client;
use wasip3::http::types::{Fields, Request, Scheme};
use wasip3::sockets::ip_name_lookup::resolve_addresses;
use wasip3::sockets::types::{
    ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_future;

/// A line for each attempt. Somebody listens at `port`.
pub(crate) async fn attempts(port: u16) -> String {
    [
        format!("folders: {}\n", preopens::get_directories().len()),
        line("connect", connect(port).await),
        line("bind", bind()),
        line("listen", listen()),
        line("bind for datagrams", bind_for_datagrams()),
        line("send a datagram", datagram(port).await),
        line(
            "look a name up",
            resolve_addresses("localhost".to_owned()).await,
        ),
        line("send a request", request(port).await),
    ]
    .concat()
}

fn line<T, E: Debug>(what: &str, outcome: Result<T, E>) -> String {
    match outcome {
        Ok(_) => format!("{what}: done\n"),
        Err(error) => format!("{what}: {error:?}\n"),
    }
}

fn loopback(port: u16) -> IpSocketAddress {
    let address = (127, 0, 0, 1);
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

async fn connect(port: u16) -> Result<(), ErrorCode> {
    let socket = TcpSocket::create(IpAddressFamily::Ipv4)?;
    socket.connect(loopback(port)).await
}

fn bind() -> Result<(), ErrorCode> {
    TcpSocket::create(IpAddressFamily::Ipv4)?.bind(loopback(0))
}

fn listen() -> Result<(), ErrorCode> {
    TcpSocket::create(IpAddressFamily::Ipv4)?.listen().map(drop)
}

fn bind_for_datagrams() -> Result<(), ErrorCode> {
    UdpSocket::create(IpAddressFamily::Ipv4)?.bind(loopback(0))
}

async fn datagram(port: u16) -> Result<(), ErrorCode> {
    let socket = UdpSocket::create(IpAddressFamily::Ipv4)?;
    let data = b"from a function".to_vec();
    socket.send(data, Some(loopback(port))).await
}

async fn request(port: u16) -> Result<(), wasip3::http::types::ErrorCode> {
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(&format!("127.0.0.1:{port}")));
    let _ = request.set_path_with_query(Some("/"));
    client::send(request).await.map(drop)
}
