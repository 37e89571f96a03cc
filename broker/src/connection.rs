//! One Network Connection: bytes in go to the engine, its outbox goes out.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::broker::Broker;
use crate::engine::{ConnectionKey, Engine, Verdict};
use crate::socket::Socket;

/// The socket's side of a connection; the engine knows the other by the same key.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// Keys are used again, serial numbers are not.
    serial: u32,
    /// The beginning of a packet whose rest has not come yet, or packets for which the engine was not ready.
    partial: Vec<u8>,
    /// The engine is ready for them now.
    resumed: bool,
    /// Wakes the task of this connection.
    waker: Option<Waker>,
    /// Everything is written and the peer was told so; what it still sends is dropped.
    finished: bool,
}

impl Connection {
    pub(crate) fn new(socket: Socket, serial: u32) -> Self {
        Connection {
            socket,
            serial,
            partial: Vec::new(),
            resumed: false,
            waker: None,
            finished: false,
        }
    }

    /// The engine goes on with this connection after a pause. Returns whom to wake for it.
    pub(crate) fn resume(&mut self) -> Option<&Waker> {
        self.resumed = true;
        self.waker.as_ref()
    }

    /// Gives the engine what it had no use for before.
    fn take_partial(&mut self, engine: &mut Engine, key: ConnectionKey) {
        let used = engine.receive(Instant::now(), key, &self.partial);
        self.partial.drain(..used);
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
    }

    /// Wakes the task of this connection.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// How often a connection is written in one turn, while its queue refills the outbox: others wait for their turn.
const WRITES_A_TURN: usize = 8;

/// The task of one connection: ends with it.
pub(crate) async fn serve(broker: Rc<Broker>, key: ConnectionKey, serial: u32) {
    std::future::poll_fn(|cx| poll(&broker, key, serial, cx)).await;
}

fn poll(broker: &Broker, key: ConnectionKey, serial: u32, cx: &Context<'_>) -> Poll<()> {
    let connections = &mut *broker.connections.borrow_mut();
    let Some(connection) = connections.get_mut(key).filter(|one| one.serial == serial) else {
        return Poll::Ready(()); // closed by the other side of the house
    };
    if !connection
        .waker
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()))
    {
        connection.waker = Some(cx.waker().clone());
    }
    let closed = match write(broker, key, connection) {
        Poll::Ready(reason) => Poll::Ready(reason),
        Poll::Pending => read(broker, key, connection, cx),
    };
    closed.map(|reason| {
        connections.remove(key);
        broker
            .engine
            .borrow_mut()
            .closed(Instant::now(), key, reason);
    })
}

/// Reads once and feeds the engine. Ready when the connection is over, with the reason.
fn read(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
    cx: &Context<'_>,
) -> Poll<&'static str> {
    if broker.engine.borrow().is_held(key) {
        return Poll::Pending; // woken when it may go on
    }
    if connection.resumed {
        connection.resumed = false;
        let engine = &mut *broker.engine.borrow_mut();
        connection.take_partial(engine, key);
        if engine.is_held(key) {
            return Poll::Pending;
        }
    }
    let buffer = &mut *broker.buffer.borrow_mut();
    let count = match connection.socket.poll_read(cx, buffer) {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Ok(0)) => return Poll::Ready("the connection was closed"),
        Poll::Ready(Ok(count)) => count,
        Poll::Ready(Err(error)) => return Poll::Ready(lost(&error)),
    };
    let engine = &mut *broker.engine.borrow_mut();
    let now = Instant::now();
    let input = &buffer[..count];
    if connection.partial.is_empty() {
        let used = engine.receive(now, key, input);
        connection.partial.extend_from_slice(&input[used..]);
    } else {
        connection.partial.extend_from_slice(input);
        connection.take_partial(engine, key);
    }
    if count == buffer.len() {
        // More is there; the others come first.
        broker.again(cx.waker());
        return Poll::Pending;
    }
    // A short read: ask the reactor to wake this task for the next bytes, unless the end is near.
    match connection.socket.poll_readable(cx) {
        Poll::Ready(()) => {
            broker.again(cx.waker());
            Poll::Pending
        }
        Poll::Pending => Poll::Pending,
    }
}

/// Writes the outbox. Ready when the connection is over, with the reason.
pub(crate) fn write(
    broker: &Broker,
    key: ConnectionKey,
    connection: &mut Connection,
) -> Poll<&'static str> {
    let engine = &mut *broker.engine.borrow_mut();
    let Some(waker) = &connection.waker else {
        return Poll::Pending;
    };
    let cx = Context::from_waker(waker);
    match engine.verdict(key) {
        Verdict::Keep => {}
        // Nobody will take it.
        Verdict::CloseWhenWritten => connection.partial = Vec::new(),
        Verdict::CloseNow => return Poll::Ready("closed"),
    }
    for _ in 0..WRITES_A_TURN {
        let outbox = engine.outbox(key);
        if outbox.is_empty() {
            break;
        }
        let len = outbox.len();
        match connection.socket.poll_write(&cx, outbox) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(count)) => {
                engine.written(Instant::now(), key, count);
                if count < len {
                    // Full: the reactor wakes the task when there is room.
                    let _ = connection.socket.poll_writable(&cx);
                    return Poll::Pending;
                }
            }
            Poll::Ready(Err(error)) => return Poll::Ready(lost(&error)),
        }
    }
    if !engine.outbox(key).is_empty() {
        broker.again(waker);
    } else if engine.verdict(key) == Verdict::CloseWhenWritten && !connection.finished {
        // Closing with unread bytes would destroy what was just written, so the peer goes first.
        connection.finished = true;
        connection.socket.finish();
    }
    Poll::Pending
}

fn lost(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "the connection was reset by the client",
        io::ErrorKind::BrokenPipe => "the connection was closed",
        io::ErrorKind::TimedOut => "the connection timed out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the client can no longer be reached"
        }
        _ => "the connection failed",
    }
}
