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
mod tests;
