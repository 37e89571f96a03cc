//! A client's connection: a few steps that wait for their answers, then as fast as it goes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use mqtt::{
    Ack, Connect, Disconnect, FiltersBuffer, Packet, PacketIdentifier, Properties, QoS, ReasonCode,
    Subscribe, SubscriptionOptions, TopicFilter, Version, decode,
};
use openssl::ssl::SslStream;

use crate::failure::{Failure, Result};
use crate::secret::{Secrets, Transport};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Link {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Link {
    fn socket(&self) -> &TcpStream {
        match self {
            Link::Plain(stream) => stream,
            Link::Tls(stream) => stream.get_ref(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(buffer),
            Link::Tls(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.write(bytes),
            Link::Tls(stream) => stream.write(bytes),
        }
    }
}

/// Where brokers listen and how they are spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    pub(crate) port: u16,
    pub(crate) transport: Transport,
    pub(crate) version: Version,
    pub(crate) secrets: &'a Secrets,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire {
    link: Link,
    pub(crate) version: Version,
    /// The beginning of a packet whose rest has not come.
    partial: Vec<u8>,
    /// What is to be sent beside what [`Wire::write`] is given.
    pub(crate) out: Vec<u8>,
    out_at: usize,
}

impl Wire {
    /// Connects with a clean session, or with one that stays.
    pub(crate) fn connect(address: Address<'_>, client: &str, clean: bool) -> Result<Wire> {
        let mut wire = Wire::open(address)?;
        wire.out
            .extend_from_slice(&connect_packet(address.version, client, clean)?);
        wire.flush()?;
        wire.await_packet(|packet| match packet {
            Packet::ConnAck(answer) if answer.code == 0 => Some(Ok(())),
            Packet::ConnAck(answer) => {
                Some(Err(format!("refused with code {}", answer.code).into()))
            }
            _ => None,
        })?;
        Ok(wire)
    }

    /// Connects, and says nothing yet.
    pub(crate) fn open(address: Address<'_>) -> Result<Wire> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, address.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let link = match address.transport {
            Transport::Plain => Link::Plain(stream),
            transport => Link::Tls(Box::new(address.secrets.connect(stream, transport)?)),
        };
        Ok(Wire {
            link,
            version: address.version,
            partial: Vec::new(),
            out: Vec::new(),
            out_at: 0,
        })
    }

    /// Subscribes to all these and waits until it is granted.
    pub(crate) fn subscribe(&mut self, filters: &[String], qos: QoS) -> Result<()> {
        for some in filters.chunks(100) {
            self.out
                .extend_from_slice(&subscribe_packet(self.version, some, qos)?);
            self.flush()?;
            self.await_packet(|packet| match packet {
                Packet::SubAck(answer) if answer.codes.iter().all(|&code| code == qos as u8) => {
                    Some(Ok(()))
                }
                Packet::SubAck(_) => Some(Err("a subscription was refused".into())),
                _ => None,
            })?;
        }
        Ok(())
    }

    /// Sends PINGREQ and waits for the answer.
    pub(crate) fn ping(&mut self) -> Result<()> {
        self.out
            .extend_from_slice(&encoded(self.version, Packet::PingReq)?);
        self.flush()?;
        self.await_packet(|packet| matches!(packet, Packet::PingResp).then_some(Ok(())))
    }

    /// Takes leave.
    pub(crate) fn leave(mut self) -> Result<()> {
        let farewell = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
        self.out
            .extend_from_slice(&encoded(self.version, farewell)?);
        self.flush()?;
        Ok(())
    }

    /// Reads until a packet is the one that is waited for; others are ignored.
    fn await_packet<T>(
        &mut self,
        mut wanted: impl FnMut(&Packet<'_>) -> Option<Result<T>>,
    ) -> Result<T> {
        let version = self.version;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let mut found = None;
            let more = self.read(&mut buffer, |input| {
                let Some((packet, used)) = decode(input, version, u32::MAX)? else {
                    return Ok(0);
                };
                found = found.take().or_else(|| wanted(&packet));
                Ok(used)
            })?;
            match found {
                Some(found) => return found,
                None if !more => return Err("no answer".into()),
                None => {}
            }
        }
    }

    pub(crate) fn set_nonblocking(&mut self) -> Result<()> {
        Ok(self.link.socket().set_nonblocking(true)?)
    }

    /// Reads once and calls `take` for each whole packet at the front; it returns how much of its input it has used, 0 for
    /// none. Returns whether there was something to read.
    #[inline]
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]) -> Result<usize>,
    ) -> Result<bool> {
        let count = match self.link.read(buffer) {
            Ok(0) => return Err("the broker has closed the connection".into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let mut parse = |input: &[u8]| -> Result<usize> {
            let mut at = 0;
            while at < input.len() {
                match take(&input[at..])? {
                    0 => break,
                    used => at += used,
                }
            }
            Ok(at)
        };
        let input = &buffer[..count];
        if self.partial.is_empty() {
            let used = parse(input)?;
            self.partial.extend_from_slice(&input[used..]);
        } else {
            self.partial.extend_from_slice(input);
            let used = parse(&self.partial)?;
            self.partial.drain(..used);
        }
        Ok(true)
    }

    /// Writes these bytes as far as there is room.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.link.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes `out` as far as there is room. Returns whether all of it went.
    pub(crate) fn flush(&mut self) -> Result<bool> {
        while self.out_at < self.out.len() {
            let count = match self.link.write(&self.out[self.out_at..]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Err(error) => return Err(error.into()),
            };
            self.out_at += count;
        }
        self.out.clear();
        self.out_at = 0;
        Ok(true)
    }

    /// Puts an acknowledgement into `out`.
    pub(crate) fn acknowledge(
        &mut self,
        packet: impl FnOnce(Ack<'static>) -> Packet<'static>,
        identifier: PacketIdentifier,
    ) -> Result<()> {
        Ok(packet(Ack::new(identifier)).encode(self.version, &mut self.out)?)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.socket().as_fd()
    }
}

/// CONNECT without Keep Alive.
pub(crate) fn connect_packet(version: Version, client: &str, clean: bool) -> Result<Vec<u8>> {
    let connect = Connect {
        version,
        clean_start: clean,
        keep_alive: 0,
        client_identifier: client,
        will: None,
        username: None,
        password: None,
        properties: Properties::EMPTY,
    };
    encoded(version, Packet::Connect(connect))
}

/// SUBSCRIBE for all these filters.
pub(crate) fn subscribe_packet(version: Version, filters: &[String], qos: QoS) -> Result<Vec<u8>> {
    let mut buffer = FiltersBuffer::new();
    for filter in filters {
        let options = SubscriptionOptions {
            qos,
            ..SubscriptionOptions::default()
        };
        buffer.push(TopicFilter::new(filter)?, options)?;
    }
    let subscribe = Packet::Subscribe(Subscribe {
        packet_identifier: PacketIdentifier::MIN,
        properties: Properties::EMPTY,
        filters: buffer.as_filters(),
    });
    encoded(version, subscribe)
}

/// The bytes of a packet.
pub(crate) fn encoded(version: Version, packet: Packet<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).map_err(Failure::from)?;
    Ok(bytes)
}
