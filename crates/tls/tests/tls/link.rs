//! The stream over a link that takes and brings bytes as it likes, and forgets every waker but the last, as sockets do.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use smol::LocalExecutor;
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tls::{ClientOptions, ClientPsk, ClientTls, ServerTls, Stream};
use zeroize::Zeroizing;

use crate::pki::{Recipe, directory};
use crate::server::{certificate, psk};

/// Bytes on their way in one direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    writes: usize,
}

/// One end of a link; portions come from a little generator, so that a failure can be had again.
struct End {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    seed: u32,
    /// Everything passes in portions as large as there is room for.
    smooth: bool,
}

fn link(room: usize, seed: u32, smooth: bool) -> (End, End) {
    let pipe = || {
        Rc::new(RefCell::new(Pipe {
            room,
            ..Pipe::default()
        }))
    };
    let (there, back) = (pipe(), pipe());
    let end = |incoming: &Rc<_>, outgoing: &Rc<_>, seed| End {
        incoming: Rc::clone(incoming),
        outgoing: Rc::clone(outgoing),
        seed,
        smooth,
    };
    (end(&back, &there, seed), end(&there, &back, !seed))
}

impl End {
    /// At least 1.
    fn portion(&mut self, most: usize) -> usize {
        if self.smooth {
            return most;
        }
        self.seed = self
            .seed
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let drawn = match self.seed >> 30 {
            0 => 1,
            1 => 1 + (self.seed >> 16) as usize % 7,
            _ => 1 + (self.seed >> 12) as usize % 5000,
        };
        most.min(drawn)
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = buffer.len().min(this.incoming.borrow().bytes.len());
        let pipe = Rc::clone(&this.incoming);
        let pipe = &mut *pipe.borrow_mut();
        if count == 0 && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        let count = this.portion(count);
        for (place, byte) in buffer.iter_mut().zip(pipe.bytes.drain(..count)) {
            *place = byte;
        }
        pipe.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let pipe = Rc::clone(&this.outgoing);
        let pipe = &mut *pipe.borrow_mut();
        pipe.writes += 1;
        let count = bytes.len().min(pipe.room - pipe.bytes.len());
        if count == 0 && !bytes.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = this.portion(count);
        pipe.bytes.extend(&bytes[..count]);
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.outgoing.borrow_mut();
        pipe.ended = true;
        pipe.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

/// The kinds of session that there are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Certificate,
    Psk12,
    Psk13,
}

const KINDS: [Kind; 4] = [Kind::Plain, Kind::Certificate, Kind::Psk12, Kind::Psk13];

fn sides(kind: Kind) -> (ServerTls, Option<ClientTls>) {
    let make = |options: &ClientOptions| ClientTls::new(options, &mut |_| unreachable!()).unwrap();
    let key = [5; 32];
    match kind {
        Kind::Plain => (ServerTls::None, None),
        Kind::Certificate => {
            let own = Recipe::new("localhost").self_signed();
            let files = directory(&[("ca.crt", &own.pem())]);
            let options = ClientOptions {
                ca_file: Some(files.path().join("ca.crt")),
                ..ClientOptions::default()
            };
            let server = certificate(b"", &own.pem(), &own.key_pem(), false);
            (server, Some(make(&options)))
        }
        Kind::Psk12 | Kind::Psk13 => {
            let version = match kind {
                Kind::Psk12 => Some(tls::Version::Tls12),
                _ => None,
            };
            let options = ClientOptions {
                psk: Some(ClientPsk {
                    identity: "test".to_string(),
                    key: Zeroizing::new(key.to_vec()),
                }),
                version,
                ..ClientOptions::default()
            };
            (psk("test", &key), Some(make(&options)))
        }
    }
}

/// Runs tasks until all are done. None waits for anything but the others, so standing still is a lost wake-up.
fn run_all(executor: &LocalExecutor<'_>, tasks: Vec<smol::Task<()>>) {
    let mut tasks = tasks;
    loop {
        while executor.try_tick() {}
        tasks.retain(|task| !task.is_finished());
        if tasks.is_empty() {
            return;
        }
        assert!(!executor.is_empty(), "a task has vanished");
        assert!(executor.try_tick(), "{} tasks wait for ever", tasks.len());
    }
}

/// Connects both sides over a link.
async fn connect(kind: Kind, ends: (End, End)) -> (Stream<End>, Stream<End>) {
    let (server, client) = sides(kind);
    let accept = async {
        server
            .accept(ends.0)
            .await
            .map_err(|refused| refused.reason)
            .unwrap()
    };
    let connect = async {
        match client {
            Some(client) => client.connect("localhost", ends.1).await.unwrap(),
            None => Stream::plain(ends.1),
        }
    };
    smol::future::zip(accept, connect).await
}

fn content(length: usize, seed: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at * 7 + at / 251 + seed) as u8)
        .collect()
}

/// Sends portions of these sizes, flushing now and then, and closes.
async fn send(mut writer: impl AsyncWrite + Unpin, portions: Vec<usize>, seed: usize) {
    let total = portions.iter().sum();
    let bytes = content(total, seed);
    let mut rest = &bytes[..];
    for (at, portion) in portions.into_iter().enumerate() {
        let (now, later) = rest.split_at(portion);
        writer.write_all(now).await.unwrap();
        if at % 3 == 0 {
            writer.flush().await.unwrap();
        }
        rest = later;
    }
    writer.flush().await.unwrap();
    writer.close().await.unwrap();
}

/// Reads portions of these sizes, over and over, to the end.
async fn receive(
    mut reader: impl AsyncRead + Unpin,
    portions: Vec<usize>,
    total: usize,
    seed: usize,
) {
    let mut bytes = Vec::new();
    for portion in portions.into_iter().cycle() {
        let mut buffer = vec![0; portion];
        match reader.read(&mut buffer).await.unwrap() {
            0 => break,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    assert!(
        bytes == content(total, seed),
        "{} of {total} bytes came",
        bytes.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Reader and writer of both sides are tasks of their own.
    #[test]
    fn everything_arrives_and_nothing_stalls(
        which in 0..KINDS.len(),
        room in 1usize..200_000,
        seed: u32,
        smooth: bool,
        there in prop::collection::vec(0usize..70_000, 0..6),
        back in prop::collection::vec(0usize..70_000, 0..6),
        reads in prop::collection::vec(1usize..40_000, 1..4),
    ) {
        let executor = LocalExecutor::new();
        let (one, other) = smol::block_on(executor.run(connect(KINDS[which], link(room, seed, smooth))));
        let (one_reader, one_writer) = smol::io::split(one);
        let (other_reader, other_writer) = smol::io::split(other);
        let (total_there, total_back) = (there.iter().sum(), back.iter().sum());
        let tasks = vec![
            executor.spawn(send(one_writer, there, 1)),
            executor.spawn(send(other_writer, back, 2)),
            executor.spawn(receive(one_reader, reads.clone(), total_back, 2)),
            executor.spawn(receive(other_reader, reads, total_there, 1)),
        ];
        run_all(&executor, tasks);
    }
}

/// A peer that says something now and then, does not read, and then reads after all: the writer must go on.
#[test]
fn a_reader_does_not_take_the_writers_wake_up() {
    for kind in KINDS {
        let executor = LocalExecutor::new();
        let (one, mut other) = smol::block_on(connect(kind, link(10_000, 3, true)));
        let (mut reader, writer) = smol::io::split(one);
        let mut tasks = vec![
            executor.spawn(send(writer, vec![70_000; 8], 1)),
            executor.spawn(async move {
                let mut all = Vec::new();
                reader.read_to_end(&mut all).await.unwrap();
                assert_eq!(all.len(), 100);
            }),
        ];
        tasks.push(executor.spawn(async move {
            for _ in 0..100 {
                other.write_all(b"x").await.unwrap();
                other.flush().await.unwrap();
                smol::future::yield_now().await;
            }
            let mut all = Vec::new();
            let mut buffer = vec![0; 3000];
            while all.len() < 8 * 70_000 {
                let count = other.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0);
                all.extend_from_slice(&buffer[..count]);
            }
            other.close().await.unwrap();
        }));
        run_all(&executor, tasks);
    }
}

/// 64 KiB of plaintext go out with one write.
#[test]
fn one_write_for_one_outbox() {
    for kind in KINDS {
        smol::block_on(async {
            let (mut one, mut other) = connect(kind, link(1_000_000, 3, true)).await;
            let writes = |stream: &Stream<End>| stream.get_ref().outgoing.borrow().writes;
            let before = writes(&one);
            let bytes = content(64 * 1024, 0);
            let count = smol::future::poll_fn(|cx| Pin::new(&mut one).poll_write(cx, &bytes)).await;
            assert_eq!(count.unwrap(), bytes.len());
            assert_eq!(writes(&one) - before, 1, "{kind:?}");
            assert!(!one.has_unsent());
            let mut came = vec![0; bytes.len()];
            other.read_exact(&mut came).await.unwrap();
            assert!(came == bytes);
        });
    }
}

/// Less than asked for means that nothing is left inside; so does `has_unread`.
#[test]
fn a_short_read_has_left_nothing() {
    for kind in KINDS {
        smol::block_on(async {
            let (mut one, mut other) = connect(kind, link(1_000_000, 3, true)).await;
            for _ in 0..50 {
                other.write_all(&[7; 100]).await.unwrap();
            }
            other.flush().await.unwrap();
            let mut buffer = [0; 4096];
            let count = one.read(&mut buffer).await.unwrap();
            assert_eq!(count, 4096, "{kind:?}");
            assert!(one.has_unread() || !one.is_encrypted());
            let count = one.read(&mut buffer).await.unwrap();
            assert_eq!(count, 5000 - 4096);
            assert!(!one.has_unread());
            let next = smol::future::poll_once(one.read(&mut buffer)).await;
            assert!(next.is_none());
        });
    }
}

/// Whether its task was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end that comes with the last bytes is told without another event of the socket.
#[test]
fn an_end_behind_a_short_read_wakes_the_reader() {
    for kind in KINDS {
        smol::block_on(async {
            let (mut one, mut other) = connect(kind, link(1_000_000, 3, true)).await;
            other.write_all(b"last").await.unwrap();
            other.close().await.unwrap();
            let mut buffer = [0; 100];
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut cx = Context::from_waker(&waker);
            let count = Pin::new(&mut one).poll_read(&mut cx, &mut buffer);
            assert!(matches!(count, Poll::Ready(Ok(4))), "{count:?}");
            let woken = woken.0.load(Ordering::Relaxed);
            assert!(woken || !one.is_encrypted(), "{kind:?}");
            assert!(one.has_unread() || !one.is_encrypted());
            assert_eq!(one.read(&mut buffer).await.unwrap(), 0);
        });
    }
}

/// Bytes that come together with the end of the handshake are not lost on the way to another socket.
#[test]
fn the_socket_can_be_exchanged() {
    struct Wrapped(End);
    impl AsyncRead for Wrapped {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }
    impl AsyncWrite for Wrapped {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_close(cx)
        }
    }
    for kind in KINDS {
        smol::block_on(async {
            let (server, client) = sides(kind);
            let ends = link(1_000_000, 3, true);
            let early = async {
                let mut stream = match client {
                    Some(client) => client.connect("localhost", ends.1).await.unwrap(),
                    None => Stream::plain(ends.1),
                };
                // In TLS 1.3 the client may speak before the server has its last message.
                stream.write_all(b"early").await.unwrap();
                stream.flush().await.unwrap();
                stream
            };
            let late = async {
                let accepted = server.accept(ends.0).await;
                accepted.map_err(|refused| refused.reason).unwrap()
            };
            let (stream, mut other) = smol::future::zip(late, early).await;
            let mut stream = stream.try_map(|end| io::Result::Ok(Wrapped(end))).unwrap();
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"early");
            stream.write_all(b"late!").await.unwrap();
            stream.flush().await.unwrap();
            other.read_exact(&mut buffer).await.unwrap();
            assert_eq!(&buffer, b"late!");
            // Cut off without farewell.
            drop(other);
            stream.get_mut().0.incoming.borrow_mut().ended = true;
            let end = stream.read(&mut buffer).await.map_err(|error| error.kind());
            match kind {
                Kind::Plain => assert_eq!(end, Ok(0)),
                _ => assert_eq!(end, Err(io::ErrorKind::UnexpectedEof)),
            }
        });
    }
}

/// What a stranger may send instead of a handshake: nothing panics, nothing hangs.
#[test]
fn garbage_instead_of_records() {
    for kind in [Kind::Certificate, Kind::Psk12] {
        let (server, _) = sides(kind);
        for first in [
            &[22, 3, 1, 0xff, 0xff][..],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0],
            &[22],
            &[0x16, 9, 9, 0, 1, 2],
        ] {
            smol::block_on(async {
                let (one, other) = link(1_000_000, 3, true);
                let mut bytes = first.to_vec();
                bytes.extend(content(30_000, first.len()));
                other.outgoing.borrow_mut().bytes.extend(bytes);
                other.outgoing.borrow_mut().ended = true;
                let refused = server.accept(one).await.map(|_| ()).unwrap_err();
                assert!(!refused.reason.to_string().is_empty());
            });
        }
    }
}

/// A first message of 64 KB that does not end: it is refused before half of it is there.
#[test]
fn a_hello_without_end() {
    for kind in [Kind::Certificate, Kind::Psk12] {
        let (server, _) = sides(kind);
        let accept = |records: usize| {
            let (one, other) = link(1_000_000, 3, true);
            let mut bytes = Vec::new();
            for number in 0..records {
                bytes.extend([22, 3, 1, 0x3f, 0xfa]);
                let start = bytes.len();
                bytes.extend(content(0x3ffa, 1));
                if number == 0 {
                    bytes[start..start + 6].copy_from_slice(&[1, 0, 0xff, 0xff, 3, 3]);
                }
            }
            other.outgoing.borrow_mut().bytes.extend(bytes);
            other.outgoing.borrow_mut().ended = true;
            let refused = smol::block_on(server.accept(one)).map(|_| ()).unwrap_err();
            refused.reason.to_string()
        };
        assert!(accept(1).contains("closed the connection"));
        assert!(accept(3).contains("its first message is too long"));
    }
}

/// Damaged ciphertext ends the connection and gives no plaintext of it.
#[test]
fn damaged_records() {
    for kind in [Kind::Certificate, Kind::Psk12, Kind::Psk13] {
        smol::block_on(async {
            let (mut one, mut other) = connect(kind, link(1_000_000, 3, true)).await;
            other.write_all(b"good").await.unwrap();
            other.flush().await.unwrap();
            let before = other.get_ref().outgoing.borrow().bytes.len();
            other.write_all(b"evil").await.unwrap();
            other.flush().await.unwrap();
            other.get_ref().outgoing.borrow_mut().bytes[before + 8] ^= 1;
            let mut buffer = [0; 100];
            assert_eq!(one.read(&mut buffer).await.unwrap(), 4);
            for _ in 0..2 {
                let error = one.read(&mut buffer).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            }
        });
    }
}
