//! Reaches for what no function is given, by the interfaces themselves. Says of each how it was refused.

use std::fmt::Debug;

use wasip2::filesystem::preopens;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// A line for each attempt. Somebody listens at `port`.
pub(crate) fn attempts(port: u16) -> String {
    [
        format!("folders: {}\n", preopens::get_directories().len()),
        line("connect", connect(port)),
        line("bind", bind()),
        line("bind for datagrams", bind_for_datagrams()),
        line("send a datagram", datagram(port)),
        line(
            "look a name up",
            resolve_addresses(&instance_network(), "localhost"),
        ),
        line("send a request", request(port)),
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

fn connect(port: u16) -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), loopback(port))?;
    socket.subscribe().block();
    socket.finish_connect().map(drop)
}

fn bind() -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), loopback(0))?;
    socket.finish_bind()
}

fn bind_for_datagrams() -> Result<(), ErrorCode> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), loopback(0))?;
    socket.finish_bind()
}

fn datagram(port: u16) -> Result<(), ErrorCode> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    let (_, outgoing) = socket.stream(Some(loopback(port)))?;
    outgoing.subscribe().block();
    outgoing.check_send()?;
    let datagram = OutgoingDatagram {
        data: b"from a function".to_vec(),
        remote_address: None,
    };
    outgoing.send(&[datagram]).map(drop)
}

fn request(port: u16) -> Result<(), wasip2::http::types::ErrorCode> {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(&format!("127.0.0.1:{port}")));
    let _ = request.set_path_with_query(Some("/"));
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    match response.get() {
        Some(Ok(response)) => response.map(drop),
        _ => Ok(()),
    }
}
