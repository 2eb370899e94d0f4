//! Bytes and sockets of an outbox, over real connections. No HTTP, no lane: a turn ends when a test says so.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use hyper::rt::Write as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Connection, OUTBOX_MAX, Outbox, WAITING_BYTES_MAX};

/// An outbox that counts how often it asked for the end of a turn.
fn outbox() -> (Outbox, Rc<Cell<usize>>) {
    let asked = Rc::new(Cell::new(0));
    let outbox = Outbox::new({
        let asked = Rc::clone(&asked);
        move || asked.set(asked.get() + 1)
    });
    (outbox, asked)
}

async fn connect(outbox: &Outbox) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, server) = tokio::join!(client, listener.accept());
    (
        Connection::new(server.unwrap().0, outbox.clone()),
        client.unwrap(),
    )
}

async fn write_all(connection: &mut Connection, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| Pin::new(&mut *connection).poll_write(cx, bytes)).await?;
        bytes = &bytes[n..];
    }
    poll_fn(|cx| Pin::new(&mut *connection).poll_flush(cx)).await
}

async fn read(client: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    client.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn nothing_has_come(client: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(client.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn what_is_written_in_one_turn_leaves_at_its_end() {
    let (outbox, asked) = outbox();
    let (mut one, mut client_one) = connect(&outbox).await;
    let (mut two, mut client_two) = connect(&outbox).await;
    write_all(&mut one, b"head ").await.unwrap();
    write_all(&mut two, b"other").await.unwrap();
    write_all(&mut one, b"body").await.unwrap();
    assert_eq!(asked.get(), 1);
    assert!(nothing_has_come(&client_one) && nothing_has_come(&client_two));

    outbox.post();
    assert_eq!(read(&mut client_one, 9).await, b"head body");
    assert_eq!(read(&mut client_two, 5).await, b"other");

    write_all(&mut two, b"next").await.unwrap();
    assert_eq!(asked.get(), 2);
    outbox.post();
    assert_eq!(read(&mut client_two, 4).await, b"next");
}

#[tokio::test]
async fn an_outbox_that_is_full_or_late_does_not_wait_for_the_end_of_the_turn() {
    let (outbox, _asked) = outbox();
    let mut open = Vec::new();
    for _ in 0..OUTBOX_MAX {
        open.push(connect(&outbox).await);
    }
    for (connection, _) in &mut open {
        write_all(connection, b"x").await.unwrap();
    }
    let (_, first) = &mut open[0];
    assert_eq!(read(first, 1).await, b"x");
}

#[tokio::test]
async fn a_reader_that_is_slow_loses_nothing_and_holds_its_writer_back() {
    let (outbox, _asked) = outbox();
    let (mut connection, mut client) = connect(&outbox).await;
    let mut bytes = (0u8..251).cycle();
    // What waits leaves turn by turn, until the socket is full and the connection's task is told.
    let mut accepted = 0;
    loop {
        let part: Vec<u8> = bytes.clone().take(WAITING_BYTES_MAX).collect();
        let written = poll_fn(|cx| {
            let written = Pin::new(&mut connection).poll_write(cx, &part);
            Poll::Ready(match written {
                Poll::Ready(written) => Some(written.unwrap()),
                Poll::Pending => None,
            })
        });
        let Some(written) = written.await else { break };
        bytes.nth(written - 1);
        accepted += written;
        assert!(accepted < 1 << 30, "the socket took everything");
        outbox.post();
    }
    let flush = poll_fn(|cx| Pin::new(&mut connection).poll_flush(cx));
    let (came, flushed) = tokio::join!(read(&mut client, accepted), flush);
    flushed.unwrap();
    assert!((0u8..251).cycle().take(accepted).eq(came));
    // And on it goes as before.
    write_all(&mut connection, b"end").await.unwrap();
    outbox.post();
    assert_eq!(read(&mut client, 3).await, b"end");
}

#[tokio::test]
async fn a_shutdown_sends_what_waits_and_a_drop_does_too() {
    let (outbox, _asked) = outbox();
    let (mut connection, mut client) = connect(&outbox).await;
    write_all(&mut connection, b"last").await.unwrap();
    poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx))
        .await
        .unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"last");

    let (mut connection, mut client) = connect(&outbox).await;
    write_all(&mut connection, b"cut off").await.unwrap();
    drop(connection);
    // Nothing of it is sent twice.
    outbox.post();
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"cut off");
}

#[tokio::test]
async fn a_client_that_is_gone_is_an_error_of_its_connection_alone() {
    let (outbox, _asked) = outbox();
    let (mut gone, client_gone) = connect(&outbox).await;
    let (mut well, mut client) = connect(&outbox).await;
    rustix::net::sockopt::set_socket_linger(&client_gone, Some(std::time::Duration::ZERO)).unwrap();
    drop(client_gone);
    // The reset is there when the write is refused.
    let error = loop {
        write_all(&mut well, b"x").await.unwrap();
        let result = write_all(&mut gone, b"to nobody").await;
        outbox.post();
        assert_eq!(read(&mut client, 1).await, b"x");
        if let Err(error) = result {
            break error;
        }
    };
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ),
        "{error}"
    );
}
