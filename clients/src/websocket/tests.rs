use smol::future;
use smol::net::unix::UnixStream;

use super::*;

fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Base64::encode_string(&digest)
}

async fn read_head(socket: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).await.expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(other, _)| *other == name);
    found.expect(name).1
}

/// Opens a WebSocket to a broker that gives this answer, `KEY` replaced, and then does `rest`.
fn with_broker<T>(
    answer: &str,
    client: impl AsyncFnOnce(io::Result<WebSocket<UnixStream>>) -> T,
    broker: impl AsyncFnOnce(UnixStream),
) -> T {
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let server = async {
        let head = read_head(&mut theirs).await;
        let answer = answer.replace("KEY", &accept(field(&head, "Sec-WebSocket-Key")));
        theirs.write_all(answer.as_bytes()).await.expect("written");
        broker(theirs).await;
    };
    let client = async { client(open(ours, "router", 1883).await).await };
    smol::block_on(future::zip(client, server)).0
}

const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                      Sec-WebSocket-Accept: KEY\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// A frame of the Client's: its first byte and its payload.
async fn read_frame(socket: &mut UnixStream) -> (u8, Vec<u8>) {
    let mut start = [0; 2];
    socket.read_exact(&mut start).await.expect("a header");
    assert_eq!(start[1] & 0x80, 0x80, "it is masked");
    let length = match start[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            socket.read_exact(&mut length).await.expect("a length");
            usize::from(u16::from_be_bytes(length))
        }
        length => usize::from(length),
    };
    let mut mask = [0; 4];
    socket.read_exact(&mut mask).await.expect("a mask");
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.expect("a payload");
    for (byte, key) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
    (start[0], payload)
}

#[test]
fn the_request_is_that_of_the_standard() {
    for (host, expected) in [("router", "router:1883"), ("fc00::1", "[fc00::1]:1883")] {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let server = async {
            let head = read_head(&mut theirs).await;
            assert!(head.starts_with("GET /mqtt HTTP/1.1\r\n"));
            assert_eq!(field(&head, "Host"), expected);
            assert_eq!(field(&head, "Upgrade"), "websocket");
            assert_eq!(field(&head, "Connection"), "Upgrade");
            assert_eq!(field(&head, "Sec-WebSocket-Version"), "13");
            assert_eq!(field(&head, "Sec-WebSocket-Protocol"), "mqtt");
            let key = field(&head, "Sec-WebSocket-Key");
            assert_eq!(Base64::decode_vec(key).map(|key| key.len()), Ok(16));
            drop(theirs);
        };
        let (opened, ()) = smol::block_on(future::zip(open(ours, host, 1883), server));
        assert!(opened.is_err());
    }
}

#[test]
fn the_key_of_the_standard_s_example_is_accepted() {
    assert_eq!(
        accept("dGhlIHNhbXBsZSBub25jZQ=="),
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    );
}

#[test]
fn answers_that_make_no_websocket() {
    let without = |field: &str| {
        let lines = ANSWER.split_inclusive("\r\n");
        lines
            .filter(|line| !line.starts_with(field))
            .collect::<String>()
    };
    for (answer, said) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n".to_string(),
            "HTTP status 403 Forbidden",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n".to_string(), "HTTP status 200 OK"),
        ("\x20\x02\x00\x00".to_string(), "does not speak HTTP"),
        (without("upgrade"), "makes no WebSocket"),
        (without("Connection"), "makes no WebSocket"),
        (without("Sec-WebSocket-Accept"), "makes no WebSocket"),
        (
            ANSWER.replace("KEY", &accept("another")),
            "makes no WebSocket",
        ),
        (
            ANSWER.replace(
                "Sec-WebSocket-P",
                "Sec-WebSocket-Extensions: x\r\nSec-WebSocket-P",
            ),
            "makes no WebSocket",
        ),
        (without("Sec-WebSocket-Protocol"), "speaks no MQTT"),
        (ANSWER.replace(": mqtt", ": mqttv3.1"), "speaks no MQTT"),
        (
            format!("HTTP/1.1 101 X\r\nA: {}", "a".repeat(MAX_HEAD)),
            "does not speak HTTP",
        ),
    ] {
        let error = with_broker(
            &answer,
            async |opened| opened.map(drop).expect_err("none"),
            async |_| {},
        );
        assert!(error.to_string().contains(said), "{answer}: {error}");
    }
    let closed = with_broker(
        "HTTP/1.1 101",
        async |opened| opened.map(drop).expect_err("none"),
        async |_| {},
    );
    assert_eq!(closed.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn bytes_go_in_masked_frames_and_come_out_of_any() {
    let large: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
    with_broker(
        ANSWER,
        async |opened| {
            let mut socket = opened.expect("open");
            socket.write_all(b"\x10\x00").await.expect("written");
            socket.write_all(&large).await.expect("written");
            socket.flush().await.expect("flushed");
            let mut read = [0; 10];
            socket.read_exact(&mut read).await.expect("as much");
            assert_eq!(read, *b"abcdefghij");
            socket.close().await.expect("closed");
            assert!(socket.write_all(b"x").await.is_err());
        },
        async |mut broker| {
            assert_eq!(read_frame(&mut broker).await, (0x82, b"\x10\x00".to_vec()));
            let mut received = Vec::new();
            while received.len() < large.len() {
                let (first, payload) = read_frame(&mut broker).await;
                assert_eq!(first, 0x82);
                received.extend(payload);
            }
            assert_eq!(received, large);
            // Two frames of a message with a Ping between and an empty one, then another message, byte by byte.
            for byte in b"\x02\x03abc\x89\x02hi\x00\x00\x80\x04defg\x82\x7e\x00\x03hij" {
                broker.write_all(&[*byte]).await.expect("written");
                future::yield_now().await;
            }
            assert_eq!(read_frame(&mut broker).await, (0x8a, b"hi".to_vec()));
            assert_eq!(read_frame(&mut broker).await, (0x88, vec![0x03, 0xe8]));
            let mut rest = Vec::new();
            broker.read_to_end(&mut rest).await.expect("the end");
            assert!(rest.is_empty());
        },
    );
}

#[test]
fn close_is_the_end_and_is_answered() {
    for ended in [b"\x88\x00".as_slice(), b"\x88\x02\x03\xe9", b""] {
        with_broker(
            ANSWER,
            async |opened| {
                let mut read = Vec::new();
                let mut socket = opened.expect("open");
                socket.read_to_end(&mut read).await.expect("the end");
                assert!(read.is_empty());
            },
            async |mut broker| {
                broker.write_all(ended).await.expect("written");
                if !ended.is_empty() {
                    assert_eq!(read_frame(&mut broker).await, (0x88, vec![0x03, 0xe8]));
                }
            },
        );
    }
}

#[test]
fn frames_that_no_broker_may_send() {
    for frame in [
        b"\x82\x81\0\0\0\0a".as_slice(), // masked
        b"\xc2\x01a",                    // of an extension
        b"\x81\x01a",                    // text
        b"\x83\x01a",                    // of an unknown kind
        b"\x80\x01a",                    // the rest of nothing
        b"\x02\x01a\x82\x01a",           // a message in another
        b"\x09\x00",                     // a control frame in parts
        b"\x89\x7e\x00\x7e",             // a long control frame
        b"\x82\x05abc",                  // cut off
        b"\x82",                         // cut off
    ] {
        let read = with_broker(
            ANSWER,
            async |opened| {
                let mut socket = opened.expect("open");
                socket.read_to_end(&mut Vec::new()).await
            },
            async |mut broker| broker.write_all(frame).await.expect("written"),
        );
        assert!(read.is_err(), "{frame:?}");
    }
}

#[test]
fn unanswered_pings_take_no_memory() {
    with_broker(
        ANSWER,
        async |opened| {
            let mut socket = opened.expect("open");
            let mut byte = [0];
            socket
                .read_exact(&mut byte)
                .await
                .expect("the byte behind the Pings");
            assert!(
                socket.output.len() < MAX_UNWRITTEN + 200,
                "{}",
                socket.output.len()
            );
        },
        async |mut broker| {
            let ping = [b"\x89\x7d".as_slice(), &[0; 125]].concat();
            // More than the sockets' buffers hold of answers that nobody reads.
            for _ in 0..20_000 {
                broker.write_all(&ping).await.expect("written");
            }
            broker.write_all(b"\x82\x01a").await.expect("written");
        },
    );
}
