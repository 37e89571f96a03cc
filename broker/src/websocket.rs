//! MQTT inside WebSocket (RFC 6455): frames of a client become the bytes of its packets, and the outbox becomes frames.
//!
//! No I/O happens here, and nothing is kept of a message: its payload is unmasked where it was read and handed on as it
//! comes, since packets and frames need not align [MQTT-6.0.0-2]. So a frame may be of any size, and what is bounded,
//! charged or timed for a plain connection is so for this one. An idle client costs the struct and nothing else.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The WebSocket of one connection, from the answer to its request on.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// The beginning of a header whose rest has not come yet.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The frame whose payload comes next.
    frame: Option<Incoming>,
    /// A message has begun whose last frame has not come yet.
    in_message: bool,
    /// Payload of a control frame, as far as it has come.
    control: Vec<u8>,
    input: Input,
    /// What goes before everything else: the answer to the request, a control frame, the rest of a frame's header.
    first: Vec<u8>,
    /// Payload of the Ping to be answered; a later one takes its place (RFC 6455, section 5.5.3).
    ping: Option<Vec<u8>>,
    /// How often Pings came while there was no room for the answer to earlier ones.
    ignored: u8,
    /// [`WebSocket::next`] has begun a frame; [`WebSocket::wrote`] is to say what became of its header.
    begun: bool,
    /// Bytes at the front of the outbox that belong to the frame under way.
    owed: usize,
    output: Output,
}

/// A frame under way from the client.
#[derive(Debug)]
struct Incoming {
    opcode: OpCode,
    /// As it applies to the next byte.
    mask: [u8; 4],
    remaining: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Open,
    /// Nothing that comes is looked at any more, and whoever reads is to know why.
    Ended(End),
    /// It is known.
    Over,
}

/// How the client's side of a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By its Close frame.
    Closed,
    /// By something that no client may send.
    Failed(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Open,
    /// What the outbox holds, then Close.
    Closing(CloseCode),
    /// Close at once: the client takes no more.
    Answering(CloseCode),
    /// Close was sent, or there never was a WebSocket.
    Closed,
}

/// Of a client: two bytes, up to eight of a length, four of the mask.
const MAX_HEADER: usize = 14;
/// Payload of a frame of ours, in bytes: a large message is split, so that answers to Pings get in between.
const MAX_PAYLOAD: usize = u16::MAX as usize;
/// Of a frame of ours: two bytes, and two of such a length.
const MAX_OWN_HEADER: usize = 4;
/// Payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL: u64 = 125;
/// A client that reads gets the answers to its Pings. One that does not, but has sent more in so many reads, is ended.
const MAX_IGNORED: u8 = 100;

/// What the Close frame says, and the reason in words.
type Failure = (CloseCode, &'static str);

impl WebSocket {
    /// One that begins with this answer to its request.
    pub(crate) fn new(answer: Vec<u8>) -> WebSocket {
        WebSocket {
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            in_message: false,
            control: Vec::new(),
            input: Input::Open,
            first: answer,
            ping: None,
            ignored: 0,
            begun: false,
            owed: 0,
            output: Output::Open,
        }
    }

    /// A request that is answered and becomes no WebSocket.
    pub(crate) fn refused(answer: Vec<u8>) -> WebSocket {
        WebSocket {
            input: Input::Over,
            output: Output::Closed,
            ..WebSocket::new(answer)
        }
    }

    // --- what the client sends

    /// Takes what was read. The MQTT bytes in it move to its front; returns how many these are.
    pub(crate) fn receive(&mut self, input: &mut [u8]) -> usize {
        if self.input == Input::Over {
            return input.len(); // the engine counts what comes after the end
        }
        let unanswered = self.ping.take();
        let (mut at, mut kept) = (0, 0);
        while at < input.len() && self.input == Input::Open {
            let Some(frame) = &mut self.frame else {
                at += self.receive_header(&input[at..]);
                continue;
            };
            let rest = input.len() - at;
            let len =
                usize::try_from(frame.remaining).map_or(rest, |remaining| remaining.min(rest));
            let payload = &mut input[at..at + len];
            unmask(payload, &mut frame.mask);
            frame.remaining -= len as u64;
            match frame.opcode {
                OpCode::Control(_) => self.control.extend_from_slice(payload),
                OpCode::Data(_) => {
                    input.copy_within(at..at + len, kept);
                    kept += len;
                }
            }
            at += len;
            self.finish_frame();
        }
        if self.ping.is_none() {
            self.ping = unanswered;
        } else if unanswered.is_some() {
            self.ignored += 1;
            if self.ignored == MAX_IGNORED {
                self.fail((
                    CloseCode::Policy,
                    "a WebSocket that pings and does not read the answers",
                ));
            }
        }
        kept
    }

    /// Takes bytes of a header, and returns how many.
    fn receive_header(&mut self, input: &[u8]) -> usize {
        let known = usize::from(self.header_len);
        let len = MAX_HEADER.min(known + input.len());
        self.header[known..len].copy_from_slice(&input[..len - known]);
        let mut cursor = Cursor::new(&self.header[..len]);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, length))) => {
                let end = cursor.position() as usize;
                self.header_len = 0;
                match check(&header, length, end, self.in_message) {
                    Ok(frame) => {
                        if let OpCode::Data(_) = frame.opcode {
                            self.in_message = !header.is_final;
                        }
                        self.frame = Some(frame);
                        self.finish_frame();
                    }
                    Err(failure) => self.fail(failure),
                }
                end.saturating_sub(known)
            }
            Ok(None) => {
                self.header_len = len as u8;
                len - known
            }
            Err(_) => {
                self.fail((CloseCode::Protocol, "a WebSocket frame of an unknown kind"));
                input.len()
            }
        }
    }

    /// Does what a frame asks for once all of it is there.
    fn finish_frame(&mut self) {
        let Some(frame) = self.frame.take_if(|frame| frame.remaining == 0) else {
            return;
        };
        let OpCode::Control(control) = frame.opcode else {
            return;
        };
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping => self.ping = Some(payload),
            Control::Close => match close_code(&payload) {
                Ok(code) => {
                    self.input = Input::Ended(End::Closed);
                    if self.output != Output::Closed {
                        self.output = Output::Answering(code);
                    }
                }
                Err(failure) => self.fail(failure),
            },
            // Answers to what was never asked (RFC 6455, section 5.5.3).
            Control::Pong | Control::Reserved(_) => {}
        }
    }

    fn fail(&mut self, (code, reason): Failure) {
        self.input = Input::Ended(End::Failed(reason));
        if self.output == Output::Open {
            self.output = Output::Closing(code);
        }
    }

    /// How the client's side has ended; that is told once.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        let Input::Ended(end) = self.input else {
            return None;
        };
        self.input = Input::Over;
        Some(end)
    }

    // --- what it is sent

    /// Whether there is something to write beside the outbox.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.first.is_empty() || self.ping.is_some()
    }

    /// Whether everything is said; nothing more may be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.output == Output::Closed && self.first.is_empty()
    }

    /// What is to be written next: something of its own, or of the front of the outbox. A frame that begins is put
    /// together in `scratch`. `is_last` says that nothing will be added to the outbox.
    pub(crate) fn next<'a>(
        &'a mut self,
        outbox: &'a [u8],
        is_last: bool,
        scratch: &'a mut [u8],
    ) -> &'a [u8] {
        if self.first.is_empty() && self.owed == 0 {
            self.choose(outbox.is_empty(), is_last);
        }
        if !self.first.is_empty() {
            return &self.first;
        }
        if self.owed > 0 {
            return &outbox[..self.owed.min(outbox.len())];
        }
        if outbox.is_empty() || !matches!(self.output, Output::Open | Output::Closing(_)) {
            return &[];
        }
        self.begun = true;
        self.owed = outbox.len().min(MAX_PAYLOAD);
        let (header, len) = own_header(OpCode::Data(Data::Binary), self.owed);
        let end = scratch.len().min(len + self.owed);
        scratch[..len].copy_from_slice(&header[..len]);
        scratch[len..end].copy_from_slice(&outbox[..end - len]);
        &scratch[..end]
    }

    /// Between frames: a control frame, if one is due.
    fn choose(&mut self, is_drained: bool, is_last: bool) {
        if self.output == Output::Closed {
            return;
        }
        if let Some(payload) = self.ping.take() {
            self.ignored = 0;
            self.first = control_frame(Control::Pong, &payload);
            return;
        }
        let code = match self.output {
            Output::Answering(code) => code,
            Output::Closing(code) if is_drained => code,
            Output::Open if is_drained && is_last => CloseCode::Normal,
            _ => return,
        };
        self.output = Output::Closed;
        self.first = control_frame(Control::Close, &u16::from(code).to_be_bytes());
    }

    /// Notes that the first `count` bytes of what [`WebSocket::next`] gave are written. Returns how many of these are
    /// the outbox's.
    pub(crate) fn wrote(&mut self, mut count: usize) -> usize {
        if std::mem::take(&mut self.begun) {
            let (header, len) = own_header(OpCode::Data(Data::Binary), self.owed);
            if count < len {
                self.first = header[count..len].to_vec();
                return 0;
            }
            count -= len;
        } else if !self.first.is_empty() {
            self.first.drain(..count);
            if self.first.is_empty() {
                self.first = Vec::new();
            }
            return 0;
        }
        self.owed -= count;
        count
    }
}

/// What is wrong with a header, or the frame that it begins. `end` is where it ends.
fn check(
    header: &FrameHeader,
    length: u64,
    end: usize,
    in_message: bool,
) -> Result<Incoming, Failure> {
    let broken = |what| Err((CloseCode::Protocol, what));
    let Some(mask) = header.mask else {
        return broken("a WebSocket frame without a mask");
    };
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return broken("a WebSocket frame of an extension that was not agreed on");
    }
    // RFC 6455, section 5.2: the shortest form, and the highest bit is 0.
    if header.len(length) != end || length > i64::MAX as u64 {
        return broken("a WebSocket frame with a malformed length");
    }
    match header.opcode {
        OpCode::Control(_) if !header.is_final || length > MAX_CONTROL => {
            return broken("a WebSocket control frame that is fragmented or too long");
        }
        // [MQTT-6.0.0-1]
        OpCode::Data(Data::Text) => {
            return Err((
                CloseCode::Unsupported,
                "a WebSocket text frame; MQTT is binary",
            ));
        }
        OpCode::Data(Data::Continue) if !in_message => {
            return broken("a WebSocket message without a beginning");
        }
        OpCode::Data(Data::Binary) if in_message => {
            return broken("a WebSocket message within another");
        }
        _ => {}
    }
    Ok(Incoming {
        opcode: header.opcode,
        mask,
        remaining: length,
    })
}

/// The code that answers a Close frame (RFC 6455, sections 5.5.1 and 7.4).
fn close_code(payload: &[u8]) -> Result<CloseCode, Failure> {
    match payload {
        [] => Ok(CloseCode::Normal),
        [high, low, words @ ..]
            if CloseCode::from(u16::from_be_bytes([*high, *low])).is_allowed()
                && str::from_utf8(words).is_ok() =>
        {
            Ok(u16::from_be_bytes([*high, *low]).into())
        }
        _ => Err((CloseCode::Protocol, "a malformed WebSocket Close frame")),
    }
}

/// The header of a frame of ours, and its length.
fn own_header(opcode: OpCode, payload: usize) -> ([u8; MAX_OWN_HEADER], usize) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    let mut bytes = [0; MAX_OWN_HEADER];
    // There is room, and nothing else can fail.
    let _ = header.format(payload as u64, &mut &mut bytes[..]);
    (bytes, header.len(payload as u64))
}

fn control_frame(control: Control, payload: &[u8]) -> Vec<u8> {
    let (header, len) = own_header(OpCode::Control(control), payload.len());
    [&header[..len], payload].concat()
}

/// RFC 6455, section 5.3. `mask` is left as it applies to the next byte.
fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) {
    for four in payload.chunks_mut(4) {
        for (byte, key) in four.iter_mut().zip(*mask) {
            *byte ^= key;
        }
    }
    mask.rotate_left(payload.len() % 4);
}

#[cfg(test)]
mod tests;
