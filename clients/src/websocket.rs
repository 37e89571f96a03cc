//! MQTT in WebSocket frames (RFC 6455, MQTT 5.0 section 6), the Client's side, above any stream.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64ct::{Base64, Encoding};
use httparse::{Response, Status};
use sha1::{Digest, Sha1};
use smol::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// Where brokers take WebSockets.
const PATH: &str = "/mqtt";
/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes that the head of the answer may have, and its fields.
const MAX_HEAD: usize = 8 * 1024;
const MAX_FIELDS: usize = 64;
/// Payload of a frame of ours, in bytes.
const MAX_PAYLOAD: usize = 32 * 1024;
/// Payload of a control frame (RFC 6455 section 5.5).
const MAX_CONTROL: u64 = 125;
/// Pings are not answered while so much is to be written: the broker does not read.
const MAX_UNWRITTEN: usize = 64 * 1024;
const READ_BUFFER: usize = 8 * 1024;

/// A stream inside a WebSocket. One task reads and writes it.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    socket: S,
    /// What was read and not looked at yet, from `at` on.
    input: Vec<u8>,
    at: usize,
    /// The frame whose payload comes next, and how much of it is to come.
    frame: Option<(OpCode, u64)>,
    /// A message has begun whose last frame has not come yet.
    in_message: bool,
    /// Payload of a control frame, as far as it has come.
    control: Vec<u8>,
    /// Close has come, or the end of the stream.
    is_over: bool,
    /// Frames on their way.
    output: Vec<u8>,
    is_closing: bool,
}

/// Makes the stream to `host` a WebSocket.
///
/// # Errors
/// The stream's, or why the broker has none.
pub(crate) async fn open<S>(mut socket: S, host: &str, port: u16) -> io::Result<WebSocket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let key = Base64::encode_string(&random);
    // RFC 3986: an IPv6 address stands in brackets.
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_string(),
    };
    // A unix socket has no port.
    let port = match port {
        0 => String::new(),
        port => format!(":{port}"),
    };
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut input = Vec::new();
    loop {
        if let Some(head) = judge(&input, &key)? {
            return Ok(WebSocket {
                socket,
                input,
                at: head,
                frame: None,
                in_message: false,
                control: Vec::new(),
                is_over: false,
                output: Vec::new(),
                is_closing: false,
            });
        }
        let mut part = [0; 1024];
        match socket.read(&mut part).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => input.extend_from_slice(&part[..count]),
        }
    }
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Judges the answer, as far as it has come (RFC 6455 section 4.1); its length if it is all there.
fn judge(answer: &[u8], key: &str) -> io::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = Response::new(&mut fields);
    let head = match response.parse(answer) {
        Ok(Status::Complete(head)) => head,
        Ok(Status::Partial) if answer.len() < MAX_HEAD => return Ok(None),
        _ => {
            return Err(broken(
                "the broker does not speak HTTP, and so no WebSocket",
            ));
        }
    };
    if response.code != Some(101) {
        return Err(broken(format!(
            "the broker has no WebSocket: HTTP status {} {}",
            response.code.unwrap_or_default(),
            response.reason.unwrap_or_default()
        )));
    }
    let values = |name: &'static str| {
        let fields = response.headers.iter();
        fields
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .filter_map(|field| std::str::from_utf8(field.value).ok())
    };
    let names = |name, wanted: &str| {
        values(name)
            .flat_map(|value| value.split(','))
            .any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let accept = Base64::encode_string(&digest);
    if !names("Upgrade", "websocket")
        || !names("Connection", "upgrade")
        || values("Sec-WebSocket-Accept")
            .map(str::trim)
            .ne([accept.as_str()])
        || values("Sec-WebSocket-Extensions").next().is_some()
    {
        return Err(broken("the broker's answer makes no WebSocket"));
    }
    // [MQTT-6.0.0-4]
    if values("Sec-WebSocket-Protocol").map(str::trim).ne(["mqtt"]) {
        return Err(broken("the broker speaks no MQTT in its WebSocket"));
    }
    Ok(Some(head))
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    fn unread(&self) -> &[u8] {
        &self.input[self.at..]
    }

    /// Reads more behind what was not looked at.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input.drain(..self.at);
        self.at = 0;
        let known = self.input.len();
        self.input.resize(known + READ_BUFFER, 0);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut self.input[known..]);
        let count = match &read {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        self.input.truncate(known + count);
        match ready!(read)? {
            0 if known == 0 && self.frame.is_none() && !self.in_message => self.is_over = true,
            0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the header of a frame; false if it is not all there.
    fn take_header(&mut self) -> io::Result<bool> {
        let mut cursor = Cursor::new(self.unread());
        let parsed = FrameHeader::parse(&mut cursor)
            .map_err(|_| broken("a WebSocket frame of an unknown kind"))?;
        let Some((header, length)) = parsed else {
            return Ok(false);
        };
        let end = cursor.position() as usize;
        if header.mask.is_some() || header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(broken("a WebSocket frame that no server may send"));
        }
        match header.opcode {
            OpCode::Control(_) if !header.is_final || length > MAX_CONTROL => {
                return Err(broken("a WebSocket control frame that is too long"));
            }
            OpCode::Control(_) => {}
            // [MQTT-6.0.0-1]
            OpCode::Data(Data::Text | Data::Reserved(_)) => {
                return Err(broken("a WebSocket frame that is not binary"));
            }
            OpCode::Data(data) => {
                if (data == Data::Continue) != self.in_message {
                    return Err(broken("a WebSocket message that is out of order"));
                }
                self.in_message = !header.is_final;
            }
        }
        self.at += end;
        self.frame = Some((header.opcode, length));
        Ok(true)
    }

    /// Does what a control frame asks for.
    fn obey(&mut self, control: Control) -> io::Result<()> {
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping if self.output.len() < MAX_UNWRITTEN => {
                self.add(OpCode::Control(Control::Pong), &payload)
            }
            Control::Close => {
                self.is_over = true;
                self.add_close()
            }
            _ => Ok(()),
        }
    }

    fn add_close(&mut self) -> io::Result<()> {
        if self.is_closing {
            return Ok(());
        }
        self.is_closing = true;
        let code = u16::from(CloseCode::Normal).to_be_bytes();
        self.add(OpCode::Control(Control::Close), &code)
    }

    /// Adds a frame, masked by a new key (RFC 6455 section 5.3).
    fn add(&mut self, opcode: OpCode, payload: &[u8]) -> io::Result<()> {
        let mut mask = [0; 4];
        getrandom::fill(&mut mask).map_err(io::Error::other)?;
        let header = FrameHeader {
            opcode,
            mask: Some(mask),
            ..FrameHeader::default()
        };
        let formatted = header.format(payload.len() as u64, &mut self.output);
        formatted.map_err(io::Error::other)?;
        let masked = payload.iter().zip(mask.into_iter().cycle());
        self.output.extend(masked.map(|(byte, key)| byte ^ key));
        Ok(())
    }

    /// Writes all frames.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let done = loop {
            if written == self.output.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.socket).poll_write(cx, &self.output[written..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.output.drain(..written);
        done
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if this.is_over {
                let _ = this.poll_output(cx);
                return Poll::Ready(Ok(0));
            }
            let Some((opcode, remaining)) = this.frame else {
                if !this.take_header()? {
                    ready!(this.poll_fill(cx))?;
                }
                continue;
            };
            let unread = this.unread();
            let room = match opcode {
                OpCode::Control(_) => unread.len(),
                OpCode::Data(_) => unread.len().min(buffer.len()),
            };
            let length = usize::try_from(remaining).map_or(room, |remaining| remaining.min(room));
            let payload = &this.input[this.at..this.at + length];
            match opcode {
                OpCode::Control(_) => this.control.extend_from_slice(payload),
                OpCode::Data(_) => buffer[..length].copy_from_slice(payload),
            }
            this.at += length;
            let remaining = remaining - length as u64;
            this.frame = (remaining > 0).then_some((opcode, remaining));
            match opcode {
                OpCode::Control(control) if remaining == 0 => {
                    this.obey(control)?;
                    // What has come can still be read if the broker takes no answer any more.
                    let _ = this.poll_output(cx);
                }
                OpCode::Data(_) if length > 0 => return Poll::Ready(Ok(length)),
                _ if remaining > 0 => ready!(this.poll_fill(cx))?,
                _ => {}
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_output(cx))?;
        if self.is_closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = bytes.len().min(MAX_PAYLOAD);
        if length > 0 {
            self.add(OpCode::Data(Data::Binary), &bytes[..length])?;
            // The frame is taken, whatever of it is written now.
            let _ = self.poll_output(cx)?;
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_output(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.add_close()?;
        ready!(self.poll_output(cx))?;
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
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
}
