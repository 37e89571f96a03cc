//! Conversations with a broker that is a list of reads.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};

use mqtt::{Connect, MAX_PACKET_SIZE, PropertiesBuffer, ReasonCode, Version};
use smol::io::{AsyncRead, AsyncWrite};

use super::*;
use crate::client::Start;

/// What reading gives, in its order; after that the connection is at its end.
struct Broker {
    reads: VecDeque<Vec<u8>>,
    /// Bytes taken at a time.
    step: usize,
    /// Bytes taken before writing fails.
    limit: usize,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Broker {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(mut bytes) = self.reads.pop_front() else {
            return Poll::Ready(Ok(0));
        };
        let count = bytes.len().min(buffer.len());
        assert!(count > 0, "there is always room");
        buffer[..count].copy_from_slice(&bytes[..count]);
        if count < bytes.len() {
            self.reads.push_front(bytes.split_off(count));
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Broker {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.step).min(self.limit);
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.limit -= count;
        let mut written = self.written.lock().unwrap();
        written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes down what it hears, and ends like this once it has heard so much or, with 0, sent all.
struct Recorder {
    heard: Vec<String>,
    ends_after: usize,
    failure: fn() -> Result<(), Failure>,
}

impl Application for Recorder {
    fn event(&mut self, event: Event<'_>, client: &mut Client) -> Next {
        self.heard.push(match event {
            Event::Message(received) => {
                let message = received.message();
                format!("{} {}", received.topic(), message.payload.len())
            }
            event => format!("{event:?}"),
        });
        match self.heard.len() == self.ends_after {
            true => {
                client.disconnect(ReasonCode::Success);
                Next::End((self.failure)())
            }
            false => Next::Continue,
        }
    }

    fn poll(&mut self, _: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        // As mosquitto_pub: the end is what is sent.
        if self.ends_after == 0 && client.is_online() {
            client.disconnect(ReasonCode::Success);
            return Poll::Ready(Next::Continue);
        }
        if self.ends_after == 0 && !self.heard.is_empty() && client.outbox().is_empty() {
            return Poll::Ready(Next::End((self.failure)()));
        }
        Poll::Pending
    }

    fn reconnects(&self) -> bool {
        false
    }
}

const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, 0];
const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];
const DISCONNECT: [u8; 2] = [0xE0, 0];

fn client() -> Client {
    let mut connect = Vec::new();
    let packet = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 60,
        client_identifier: "",
        will: None,
        username: None,
        password: None,
        properties: mqtt::Properties::EMPTY,
    };
    packet.encode(&mut connect).unwrap();
    assert_eq!(connect, CONNECT);
    let start = Start {
        version: Version::V5,
        connect,
        clean_start: true,
        client_identifier: String::new(),
        keep_alive: Duration::from_secs(60),
        max_in_flight: NonZeroU16::MIN,
        maximum_packet_size: MAX_PACKET_SIZE,
        topic_alias_maximum: 0,
        disconnect: PropertiesBuffer::new(),
        traces: false,
    };
    Client::new(start, Instant::now())
}

/// What the conversation comes to, what was heard, and what the broker got.
fn converse(
    reads: impl IntoIterator<Item = Vec<u8>>,
    step: usize,
    limit: usize,
    ends_after: usize,
    failure: fn() -> Result<(), Failure>,
) -> (Result<(), Failure>, Vec<String>, Vec<u8>) {
    let written = Arc::default();
    let broker = Broker {
        reads: reads.into_iter().collect(),
        step,
        limit,
        written: Arc::clone(&written),
    };
    let mut recorder = Recorder {
        heard: Vec::new(),
        ends_after,
        failure,
    };
    let conversation = Conversation::new(Box::new(broker));
    let result = smol::block_on(conversation.run(&mut client(), &mut recorder));
    let written = written.lock().unwrap().clone();
    (result, recorder.heard, written)
}

fn publish(payload: usize) -> Vec<u8> {
    let packet = mqtt::Publish {
        dup: false,
        qos: mqtt::QoS::AtMostOnce,
        retain: false,
        topic: Some(mqtt::TopicName::new("a").unwrap()),
        packet_identifier: None,
        properties: mqtt::Properties::EMPTY,
        payload: &vec![b'x'; payload],
    };
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes).unwrap();
    bytes
}

#[test]
fn packets_come_in_pieces_of_any_size() {
    let stream = [CONNACK.to_vec(), publish(300), publish(0), publish(200_000)].concat();
    for size in [1, 2, 7, 1000, 100_000, stream.len()] {
        let reads = stream.chunks(size).map(<[u8]>::to_vec);
        let (result, heard, written) = converse(reads, 3, usize::MAX, 4, || Ok(()));
        assert!(result.is_ok());
        assert_eq!(heard, ["Connected", "a 300", "a 0", "a 200000"]);
        assert_eq!(written, [&CONNECT[..], &DISCONNECT].concat());
    }
}

#[test]
fn no_more_memory_than_bytes_that_have_come() {
    let broker = Broker {
        reads: VecDeque::new(),
        step: 1,
        limit: 0,
        written: Arc::default(),
    };
    let mut conversation = Conversation::new(Box::new(broker));
    // 256 MB are announced.
    conversation.buffer = vec![0xFF; BUFFER];
    conversation.buffer[..5].copy_from_slice(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    conversation.unread = 0..BUFFER;
    conversation.make_room();
    assert_eq!(conversation.buffer.len(), 2 * BUFFER);
    // What was taken makes room too.
    conversation.unread = BUFFER + 10..2 * BUFFER;
    conversation.make_room();
    assert_eq!(conversation.unread, 0..BUFFER - 10);
    assert_eq!(conversation.buffer.len(), 2 * BUFFER);
}

#[test]
fn an_end_before_the_end_is_a_loss() {
    for reads in [
        vec![],
        vec![CONNACK.to_vec()],
        vec![publish(9)[..5].to_vec()],
    ] {
        let (result, ..) = converse(reads, 100, usize::MAX, 9, || Ok(()));
        assert!(matches!(result, Err(Failure::Lost)), "{result:?}");
    }
}

#[test]
fn what_is_sent_was_not_lost_though_the_broker_has_closed() {
    let reads = [CONNACK.to_vec()];
    let (result, _, written) = converse(reads.clone(), 100, usize::MAX, 0, || Ok(()));
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(written, [&CONNECT[..], &DISCONNECT].concat());
    let (result, ..) = converse(reads, 1, CONNECT.len() + 1, 0, || Ok(()));
    assert!(matches!(result, Err(Failure::Lost)), "{result:?}");
}

#[test]
fn what_the_broker_said_last_is_heard_though_it_takes_nothing_more() {
    let reads = [CONNACK.to_vec(), vec![0xE0, 1, 0x97]];
    let (result, heard, _) = converse(reads, 100, 0, 2, || Err(Failure::Disconnected));
    assert!(matches!(result, Err(Failure::Disconnected)), "{result:?}");
    assert_eq!(heard, ["Connected", "Disconnected(QuotaExceeded)"]);
}

#[test]
fn a_broker_that_breaks_the_rules_is_told_so() {
    let reads = [CONNACK.to_vec(), CONNACK.to_vec(), publish(1)];
    let (result, heard, written) = converse(reads, 100, usize::MAX, 9, || Ok(()));
    assert!(matches!(result, Err(Failure::Protocol)), "{result:?}");
    assert_eq!(heard, ["Connected"]);
    assert_eq!(written[CONNECT.len()..], [0xE0, 1, 0x82]);
}

#[test]
fn the_end_is_the_applications_whatever_the_broker_does() {
    let reads = [CONNACK.to_vec()];
    let (result, ..) = converse(reads.clone(), 100, usize::MAX, 1, || Err(Failure::TimedOut));
    assert!(matches!(result, Err(Failure::TimedOut)), "{result:?}");
    // Even if its DISCONNECT cannot be sent.
    let (result, _, written) = converse(reads, 100, CONNECT.len(), 1, || Ok(()));
    assert!(result.is_ok());
    assert_eq!(written, CONNECT);
}
