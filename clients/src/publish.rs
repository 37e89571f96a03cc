//! `mosquitto_pub`: one message once or several times, or each line of standard input as a message.

use std::fs::File;
use std::io::{self, Read, Stdin, Write};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt::{QoS, ReasonCode};
use smol::future::Future;
use smol::{Timer, Unblock};

use crate::client::{Client, Event, Message, Unsendable};
use crate::conversation::{Application, Next};
use crate::exit::{self, Failure};
use crate::lines::Lines;
use crate::options::{Publish, Source};
use crate::outbox::Payload;

/// The longest payload that a packet can hold, apart from its topic.
const MAX_PAYLOAD: usize = 268_435_455;
/// A file up to this size is read at once.
const SMALL_FILE: u64 = 64 * 1024;

/// `mosquitto_pub` at work.
pub(crate) struct Publisher {
    message: Rc<Message>,
    work: Work,
    quiet: bool,
    /// A message was not sent, and others were nevertheless.
    failure: Option<Failure>,
    is_over: bool,
}

enum Work {
    Same {
        payload: Payload,
        /// How often it is still to be published, the one under way included.
        left: u32,
        delay: Duration,
        stage: Stage,
    },
    Lines(Lines<Unblock<Stdin>>),
}

/// What becomes of one publication of a message.
enum Stage {
    Due,
    /// Sent, and to be acknowledged unless its QoS is 0.
    Sent(u16),
    Delivered,
    Resting(Timer),
}

impl Publisher {
    /// Loads the message.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn new(publish: Publish, quiet: bool) -> Result<Publisher, Failure> {
        let (repeat, delay) = (publish.repeat.get(), publish.repeat_delay);
        let same = |payload| Work::Same {
            payload,
            left: repeat,
            delay,
            stage: Stage::Due,
        };
        let message = publish.message;
        let work = match message.source {
            Source::Lines => Work::Lines(Lines::of_stdin()),
            source => same(load(source)?),
        };
        Ok(Publisher {
            message: Rc::new(Message::new(
                message.topic,
                message.qos,
                message.retain,
                message.properties,
            )),
            work,
            quiet,
            failure: None,
            is_over: false,
        })
    }

    fn poll_same(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        let Work::Same {
            payload,
            left,
            delay,
            stage,
        } = &mut self.work
        else {
            return Poll::Pending;
        };
        match stage {
            Stage::Due if !client.has_room() => return Poll::Pending,
            Stage::Due => match client.publish(&self.message, payload.clone()) {
                Ok(identifier) => *stage = Stage::Sent(identifier),
                Err(unsendable) => {
                    client.disconnect(ReasonCode::Success);
                    return Poll::Ready(Next::End(Err(failure(unsendable))));
                }
            },
            Stage::Sent(_) if self.message.qos != QoS::AtMostOnce => return Poll::Pending,
            // Not acknowledged: delivered when it is sent. Where nothing is to be timed it may be sent with what follows.
            Stage::Sent(_) => {
                let is_small = !client.outbox().is_full() && (*left == 1 || delay.is_zero());
                if !is_small && !client.outbox().is_empty() {
                    return Poll::Pending;
                }
                *stage = Stage::Delivered;
            }
            Stage::Delivered => {
                *left -= 1;
                *stage = match *left {
                    0 => {
                        client.disconnect(ReasonCode::Success);
                        self.is_over = true;
                        Stage::Delivered
                    }
                    _ if delay.is_zero() => Stage::Due,
                    _ => Stage::Resting(Timer::after(*delay)),
                };
            }
            Stage::Resting(timer) => match Pin::new(timer).poll(cx) {
                Poll::Ready(_) => *stage = Stage::Due,
                Poll::Pending => return Poll::Pending,
            },
        }
        Poll::Ready(Next::Continue)
    }

    fn poll_lines(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        let Work::Lines(lines) = &mut self.work else {
            return Poll::Pending;
        };
        let mut has_published = false;
        while client.has_room() {
            let line = match lines.poll_next(cx) {
                Poll::Ready(Ok(Some(line))) => line,
                // The last acknowledgement is the end.
                Poll::Ready(Ok(None)) if !client.is_acknowledged() => break,
                Poll::Ready(Ok(None)) => {
                    client.disconnect(ReasonCode::Success);
                    self.is_over = true;
                    return Poll::Ready(Next::Continue);
                }
                Poll::Ready(Err(error)) => {
                    client.disconnect(ReasonCode::Success);
                    let line = format!(
                        "Error: Unable to read from stdin: {}.\n",
                        exit::words(&error)
                    );
                    return Poll::Ready(Next::End(Err(Failure::Input(line))));
                }
                Poll::Pending => break,
            };
            match client.publish(&self.message, Payload::Bytes(Rc::new(line))) {
                Ok(_) => has_published = true,
                Err(Unsendable::Size) => {
                    say(self.quiet, &Failure::PacketTooLarge.lines(true));
                    self.failure = Some(Failure::PacketTooLarge);
                }
                Err(unsendable) => {
                    client.disconnect(ReasonCode::Success);
                    return Poll::Ready(Next::End(Err(failure(unsendable))));
                }
            }
        }
        match has_published {
            true => Poll::Ready(Next::Continue),
            false => Poll::Pending,
        }
    }
}

/// Tells something on standard error.
pub(crate) fn say(quiet: bool, lines: &str) {
    if !quiet {
        // Nobody is left to tell if this fails.
        let _ = io::stderr().write_all(lines.as_bytes());
    }
}

impl Application for Publisher {
    fn event(&mut self, event: Event<'_>, client: &mut Client) -> Next {
        match event {
            // Left over in the Session of another tool, or a whim of the broker.
            Event::Message(message) => client.acknowledge(&message),
            Event::Refused(refusal) => return Next::End(Err(Failure::Refused(refusal))),
            Event::Disconnected(_) => return Next::End(Err(Failure::Disconnected)),
            Event::Published {
                identifier,
                reason,
                text,
            } => {
                if reason.is_error() {
                    let text = text.map_or(String::new(), |text| format!("{text}\n"));
                    let reason = exit::reason(reason as u8);
                    let line = format!("Warning: Publish {identifier} failed: {reason}.\n{text}");
                    say(self.quiet, &line);
                }
                if let Work::Same { stage, .. } = &mut self.work
                    && matches!(stage, Stage::Sent(sent) if *sent == identifier)
                {
                    *stage = Stage::Delivered;
                }
            }
            _ => {}
        }
        Next::Continue
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        if self.is_over {
            // Only what the system has taken is delivered, as far as QoS 0 goes.
            return match client.outbox().is_empty() {
                true => Poll::Ready(Next::End(self.failure.take().map_or(Ok(()), Err))),
                false => Poll::Pending,
            };
        }
        match &self.work {
            Work::Same { .. } => self.poll_same(cx, client),
            Work::Lines(_) => self.poll_lines(cx, client),
        }
    }

    fn reconnects(&self) -> bool {
        matches!(self.work, Work::Lines(_)) && !self.is_over
    }
}

/// What it means for the tool that a message cannot be sent.
pub(crate) fn failure(unsendable: Unsendable) -> Failure {
    match unsendable {
        Unsendable::QoS => Failure::QosNotSupported,
        Unsendable::Size => Failure::PacketTooLarge,
        Unsendable::Packet(error) => Failure::Input(format!("Error: {error}.\n")),
    }
}

/// The payload of a single message.
///
/// # Errors
/// It cannot be read.
pub(crate) fn load(source: Source) -> Result<Payload, Failure> {
    match source {
        Source::Payload(bytes) => Ok(Payload::Bytes(Rc::new(bytes))),
        Source::File(path) => of_file(&path),
        Source::StandardInput | Source::Lines => of_stdin(),
    }
}

/// The payload in a file. One of some size stays where it is until it is sent.
fn of_file(path: &Path) -> Result<Payload, Failure> {
    let name = path.display();
    let loading = format!("Error loading input file \"{name}\".\n");
    let input = |line: String| Failure::Input(format!("{line}{loading}"));
    let unreadable = |error: io::Error| {
        input(format!(
            "Error: Unable to read file \"{name}\": {}.\n",
            exit::words(&error)
        ))
    };
    let file =
        File::open(path).map_err(|_| input(format!("Error: Unable to open file \"{name}\".\n")))?;
    let metadata = file.metadata().map_err(unreadable)?;
    let too_long = || {
        input(format!(
            "Error: File must be at most {MAX_PAYLOAD} bytes.\n\n"
        ))
    };
    // Files of /proc say that they are empty, and are not.
    if metadata.is_file() && metadata.len() > SMALL_FILE {
        return match usize::try_from(metadata.len()) {
            Ok(len) if len <= MAX_PAYLOAD => Ok(Payload::File(Rc::new(file), len)),
            _ => Err(too_long()),
        };
    }
    let bytes = read_all(file).map_err(unreadable)?;
    bytes
        .map(|bytes| Payload::Bytes(Rc::new(bytes)))
        .ok_or_else(too_long)
}

/// The payload that standard input has; there must be one.
fn of_stdin() -> Result<Payload, Failure> {
    let loading =
        |why: &str| Failure::Input(format!("Error: {why}.\nError loading input from stdin.\n"));
    match read_all(io::stdin().lock()) {
        Ok(Some(bytes)) if bytes.is_empty() => Err(loading("Zero length input")),
        Ok(Some(bytes)) => Ok(Payload::Bytes(Rc::new(bytes))),
        Ok(None) => Err(loading(&format!(
            "Input must be at most {MAX_PAYLOAD} bytes"
        ))),
        Err(error) => Err(loading(&exit::words(&error))),
    }
}

/// Everything, unless it is too much for a message.
fn read_all(input: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(MAX_PAYLOAD as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= MAX_PAYLOAD).then_some(bytes))
}
