use proptest::prelude::*;

use super::*;

const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
const CLOSE: u8 = 0x88;
/// Of the first byte: more frames of the message follow.
const MORE: u8 = 0x7F;

/// A frame as a client sends it, with any first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xFA, 0x21, payload.len() as u8];
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn websocket() -> WebSocket {
    WebSocket::new(Vec::new())
}

/// Feeds bytes in pieces of a size, and gives back the MQTT in them.
fn receive(websocket: &mut WebSocket, bytes: &[u8], size: usize) -> Vec<u8> {
    let mut mqtt = Vec::new();
    for piece in bytes.chunks(size) {
        let mut piece = piece.to_vec();
        let len = websocket.receive(&mut piece);
        mqtt.extend_from_slice(&piece[..len]);
    }
    mqtt
}

/// Writes all there is in pieces of a size; what the client reads.
fn written(websocket: &mut WebSocket, outbox: &mut Vec<u8>, is_last: bool, size: usize) -> Vec<u8> {
    let (mut all, mut scratch) = (Vec::new(), [0; 64]);
    loop {
        let bytes = websocket.next(outbox, is_last, &mut scratch);
        if bytes.is_empty() {
            return all;
        }
        let count = bytes.len().min(size);
        all.extend_from_slice(&bytes[..count]);
        let count = websocket.wrote(count);
        outbox.drain(..count);
    }
}

/// Frames of ours as (first byte, payload).
fn parse(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            len => (usize::from(*len), rest),
        };
        assert!(*second < 127, "neither masked nor longer than it may be");
        frames.push((*first, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    frames
}

#[test]
fn frames_and_packets_need_not_align() {
    let payload: Vec<u8> = (0..70_000_u32).map(|number| (number % 251) as u8).collect();
    let bytes = [
        frame(BINARY, b"whole"),
        frame(BINARY & MORE, &payload[..300]),
        frame(PING, b"in between"),
        frame(0, b""),
        frame(PONG, b"never asked for"),
        frame(0x80, &payload[300..]),
        frame(BINARY, b""),
        frame(BINARY, b"end"),
    ]
    .concat();
    let expected = [b"whole", &payload[..], b"end"].concat();
    for size in [1, 2, 3, 5, 7, 13, 14, 15, 100, 32 * 1024, bytes.len()] {
        let mut websocket = websocket();
        assert_eq!(receive(&mut websocket, &bytes, size), expected, "{size}");
        assert_eq!(websocket.take_end(), None);
        let answer = written(&mut websocket, &mut Vec::new(), false, 1000);
        assert_eq!(answer, [&[PONG, 10], &b"in between"[..]].concat());
        assert!(!websocket.is_urgent() && !websocket.is_closed());
    }
}

#[test]
fn what_no_client_may_send_ends_it() {
    let close = |payload: &[u8]| frame(CLOSE, payload);
    let unmasked = |first| vec![first, 1, b'x'];
    let cases: Vec<(u16, Vec<u8>)> = vec![
        (1003, frame(TEXT, b"x")),
        (1003, frame(TEXT, b"")),
        (1003, frame(TEXT & MORE, b"x")),
        (1002, unmasked(BINARY)),
        (1002, unmasked(PING)),
        (1002, unmasked(TEXT)),
        (1002, frame(0x83, b"x")),
        (1002, frame(0x8B, b"x")),
        (1002, frame(BINARY | 0x40, b"x")),
        (1002, frame(BINARY | 0x20, b"x")),
        (1002, frame(PING | 0x10, b"x")),
        (1002, frame(0x80, b"x")),
        (1002, frame(0, b"x")),
        (
            1002,
            [frame(BINARY & MORE, b""), frame(BINARY, b"x")].concat(),
        ),
        (1002, frame(PING & MORE, b"x")),
        (1002, frame(PING, &[0; 126])),
        (1002, frame(CLOSE, &[0; 200])),
        (
            1002,
            vec![BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
        ),
        (1002, vec![BINARY, 0xFE, 0, 125, 1, 2, 3, 4]),
        (
            1002,
            vec![BINARY, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4],
        ),
        (1002, close(b"x")),
        (1002, close(&[0, 0])),
        (1002, close(&999_u16.to_be_bytes())),
        (1002, close(&1005_u16.to_be_bytes())),
        (1002, close(&1006_u16.to_be_bytes())),
        (1002, close(&5000_u16.to_be_bytes())),
        (1002, close(&[0x03, 0xE8, 0xFF])),
    ];
    for (code, bytes) in cases {
        let bytes = [frame(BINARY, b"before"), bytes, frame(BINARY, b"after")].concat();
        for size in [1, 3, 1000] {
            let mut websocket = websocket();
            assert_eq!(
                receive(&mut websocket, &bytes, size),
                b"before",
                "{bytes:x?}"
            );
            let Some(End::Failed(reason)) = websocket.take_end() else {
                panic!("{bytes:x?}")
            };
            assert!(reason.contains("WebSocket"));
            assert_eq!(websocket.take_end(), None);
            // What the engine has to say still goes first.
            let said = written(&mut websocket, &mut b"last words".to_vec(), true, size);
            let farewell = (CLOSE, code.to_be_bytes().to_vec());
            assert_eq!(parse(&said), [(BINARY, b"last words".to_vec()), farewell]);
            assert!(websocket.is_closed());
            // The engine counts what comes now.
            assert_eq!(websocket.receive(&mut [1, 2, 3]), 3);
        }
    }
}

#[test]
fn a_frame_of_any_size_is_passed_on_as_it_comes() {
    let mut websocket = websocket();
    let mut header = [&[BINARY, 0xFF, 0x7F][..], &[0xFF; 7], &[0; 4]].concat();
    assert_eq!(websocket.receive(&mut header), 0);
    for _ in 0..100 {
        assert_eq!(websocket.receive(&mut [7; 10_000]), 10_000);
    }
    assert_eq!(
        (websocket.take_end(), websocket.control.capacity()),
        (None, 0)
    );
}

#[test]
fn close_is_answered_at_once() {
    for (payload, code) in [
        (vec![], 1000),
        (vec![0x03, 0xE8], 1000),
        ([&1001_u16.to_be_bytes()[..], b"going"].concat(), 1001),
        (4999_u16.to_be_bytes().to_vec(), 4999_u16),
    ] {
        let mut websocket = websocket();
        let bytes = [frame(PING, b"p"), frame(CLOSE, &payload), frame(TEXT, b"x")].concat();
        assert_eq!(receive(&mut websocket, &bytes, 1000), b"");
        assert_eq!(websocket.take_end(), Some(End::Closed));
        let said = written(
            &mut websocket,
            &mut b"nobody wants it".to_vec(),
            false,
            1000,
        );
        let farewell = (CLOSE, code.to_be_bytes().to_vec());
        assert_eq!(parse(&said), [(PONG, b"p".to_vec()), farewell]);
        assert!(websocket.is_closed());
    }
}

#[test]
fn the_outbox_goes_in_few_frames() {
    for len in [
        1,
        125,
        126,
        1000,
        MAX_PAYLOAD,
        MAX_PAYLOAD + 1,
        3 * MAX_PAYLOAD,
    ] {
        let outbox: Vec<u8> = (0..len).map(|number| (number % 253) as u8).collect();
        for size in [1, 2, 3, 4, 5, 63, 64, usize::MAX] {
            let mut websocket = WebSocket::new(b"HTTP/1.1 101 answer".to_vec());
            let mut rest = outbox.clone();
            let said = written(&mut websocket, &mut rest, false, size);
            let frames = parse(said.strip_prefix(b"HTTP/1.1 101 answer").unwrap());
            assert_eq!(frames.len(), len.div_ceil(MAX_PAYLOAD));
            assert!(frames.iter().all(|(first, _)| *first == BINARY));
            assert_eq!(
                frames
                    .into_iter()
                    .flat_map(|(_, payload)| payload)
                    .collect::<Vec<_>>(),
                outbox
            );
            assert!(!websocket.is_closed());
            // The engine ends the connection.
            let said = written(&mut websocket, &mut rest, true, size);
            assert_eq!(parse(&said), [(CLOSE, vec![0x03, 0xE8])]);
            assert!(websocket.is_closed());
            receive(&mut websocket, &frame(PING, b"too late"), 1000);
            assert_eq!(written(&mut websocket, &mut rest, true, size), b"");
        }
    }
}

#[test]
fn a_control_frame_does_not_break_into_another() {
    let mut websocket = websocket();
    let (mut outbox, mut scratch) = (vec![7; 200], [0; 64]);
    let mut said = websocket.next(&outbox, false, &mut scratch)[..2].to_vec();
    assert_eq!(websocket.wrote(2), 0, "half a header");
    receive(&mut websocket, &frame(PING, b"p"), 1000);
    receive(&mut websocket, &frame(CLOSE, b""), 1000);
    said.extend(written(&mut websocket, &mut outbox, false, 1));
    let farewell = (CLOSE, vec![0x03, 0xE8]);
    assert_eq!(
        parse(&said),
        [(BINARY, vec![7; 200]), (PONG, b"p".to_vec()), farewell]
    );
}

#[test]
fn a_frame_that_found_no_room_is_written_later() {
    let mut websocket = websocket();
    let mut scratch = [0; 64];
    assert_eq!(
        websocket.next(b"abc", false, &mut scratch),
        [BINARY, 3, b'a', b'b', b'c']
    );
    assert_eq!(websocket.wrote(0), 0);
    let said = written(&mut websocket, &mut b"abc".to_vec(), false, 100);
    assert_eq!(said, [BINARY, 3, b'a', b'b', b'c']);
}

#[test]
fn pings_without_end() {
    let flood = frame(PING, &[b'p'; 125]).repeat(200);
    // Who reads is answered, the last one first and only.
    let mut websocket = websocket();
    for _ in 0..1000 {
        receive(&mut websocket, &flood, usize::MAX);
        let said = written(&mut websocket, &mut Vec::new(), false, usize::MAX);
        assert_eq!(parse(&said), [(PONG, vec![b'p'; 125])]);
    }
    assert_eq!(websocket.take_end(), None);
    // Who does not costs one answer, and is ended.
    for _ in 0..=MAX_IGNORED {
        assert_eq!(websocket.take_end(), None);
        receive(&mut websocket, &flood, usize::MAX);
        assert!(held(&websocket) <= 1000);
    }
    assert!(matches!(websocket.take_end(), Some(End::Failed(_))));
}

/// Bytes on the heap.
fn held(websocket: &WebSocket) -> usize {
    let ping = websocket.ping.as_ref().map_or(0, Vec::capacity);
    websocket.control.capacity() + websocket.first.capacity() + ping
}

#[test]
fn an_idle_client_costs_little() {
    let mut websocket = WebSocket::new(vec![0; 500]);
    written(&mut websocket, &mut vec![0; 1000], false, 100);
    receive(&mut websocket, &frame(PING, b"p"), 1);
    written(&mut websocket, &mut Vec::new(), false, 100);
    receive(&mut websocket, &frame(BINARY, b"p"), 1);
    assert_eq!(held(&websocket), 0);
    assert!(size_of::<WebSocket>() <= 160, "{}", size_of::<WebSocket>());
}

#[test]
fn a_refused_request_is_answered_without_frames() {
    let mut websocket = WebSocket::refused(b"HTTP/1.1 400".to_vec());
    assert!(!websocket.is_closed());
    assert_eq!(receive(&mut websocket, &frame(PING, b"p"), 1000).len(), 7);
    assert_eq!(
        written(&mut websocket, &mut Vec::new(), true, 5),
        b"HTTP/1.1 400"
    );
    assert!(websocket.is_closed() && websocket.take_end().is_none());
}

proptest! {
    /// Whatever comes, in whatever pieces: the same MQTT and the same end, and nothing grows.
    #[test]
    fn bytes_of_any_kind(
        begin in prop::collection::vec((0..=3_u8, prop::collection::vec(any::<u8>(), 0..200)), 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..200),
        size in 1_usize..50,
        write in 1_usize..50,
    ) {
        let kinds = [BINARY, PING, PONG, BINARY];
        let mut bytes = Vec::new();
        for (kind, payload) in &begin {
            let is_control = kinds[*kind as usize] & 8 != 0;
            let payload = if is_control { &payload[..payload.len().min(125)] } else { payload };
            bytes.extend(frame(kinds[*kind as usize], payload));
        }
        bytes.extend(&rest);
        let (mut whole, mut parts) = (websocket(), websocket());
        let expected = receive(&mut whole, &bytes, usize::MAX);
        let mut mqtt = Vec::new();
        for piece in bytes.chunks(size) {
            mqtt.extend(receive(&mut parts, piece, usize::MAX));
            prop_assert!(held(&parts) <= 4 * 256);
            written(&mut parts, &mut piece.to_vec(), false, write);
        }
        prop_assert_eq!(mqtt, expected);
        prop_assert_eq!(parts.take_end(), whole.take_end());
    }
}
