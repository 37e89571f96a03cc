//! `mosquitto_rr`: subscribes to the response topic, publishes the request, prints the response, and ends.

use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_signal::{Signal, Signals};
use mqtt::{PacketIdentifier, PropertiesBuffer, ReasonCode, SubscriptionOptions};
use smol::Timer;
use smol::future::Future;
use smol::stream::Stream;

use crate::client::{Client, Event, Message, Received};
use crate::conversation::{Application, Next};
use crate::exit::{self, Failure};
use crate::format::Output;
use crate::options::Request;
use crate::outbox::Payload;
use crate::publish;

/// How long the last acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Reason Codes of SUBACK from here on are errors; in 3.x there is this one alone.
const FAILURE: u8 = 0x80;

/// `mosquitto_rr` at work.
pub(crate) struct Requester {
    message: Rc<Message>,
    payload: Payload,
    response_topic: String,
    options: SubscriptionOptions,
    subscribe_properties: PropertiesBuffer,
    skip_retained: bool,
    output: Output,
    quiet: bool,
    signals: Signals,
    /// The end of `-W`.
    timeout: Timer,
    subscribing: Option<PacketIdentifier>,
    /// The number of the request, once it is sent.
    request: Option<u16>,
    /// The response is printed; its acknowledgement is waited for, until then.
    ending: Option<Timer>,
}

impl Requester {
    /// Loads the request; the time of `-W` runs from here on.
    ///
    /// # Errors
    /// It cannot be read, or signals cannot be caught.
    pub(crate) fn new(request: Request, quiet: bool) -> Result<Requester, Failure> {
        let signals = Signals::new([Signal::Int, Signal::Term]).map_err(Failure::System)?;
        let message = request.message;
        Ok(Requester {
            payload: publish::load(message.source)?,
            message: Rc::new(Message::new(
                message.topic,
                message.qos,
                message.retain,
                message.properties,
            )),
            response_topic: request.response_topic,
            options: request.options,
            subscribe_properties: request.subscribe_properties,
            skip_retained: request.skip_retained,
            output: request.output,
            quiet,
            signals,
            timeout: request.timeout.map_or(Timer::never(), Timer::after),
            subscribing: None,
            request: None,
            ending: None,
        })
    }

    fn connected(&mut self, client: &mut Client) -> Next {
        let filter = std::slice::from_ref(&self.response_topic);
        match client.subscribe(filter, self.options, &self.subscribe_properties) {
            Ok(identifier) => {
                self.subscribing = Some(identifier);
                Next::Continue
            }
            Err(error) => fail(client, format!("Error: {error}.\n")),
        }
    }

    fn subscribed(&mut self, codes: &[u8], client: &mut Client) -> Next {
        // As the original: the reason, and no failure.
        if let [code] = codes
            && *code >= FAILURE
        {
            publish::say(self.quiet, &format!("{}\n", exit::reason(*code)));
            client.disconnect(ReasonCode::Success);
            return Next::End(Ok(()));
        }
        match client.publish(&self.message, self.payload.clone()) {
            Ok(identifier) => {
                self.request = Some(identifier);
                Next::Continue
            }
            Err(unsendable) => {
                client.disconnect(ReasonCode::Success);
                Next::End(Err(publish::failure(unsendable)))
            }
        }
    }

    fn response(&mut self, message: &Received<'_>, client: &mut Client) -> Next {
        if self.ending.is_some() {
            return Next::Continue;
        }
        if self.skip_retained && message.message().retain {
            client.acknowledge(message);
            return Next::Continue;
        }
        let mut out = Vec::new();
        let printed = self
            .output
            .write(&message.message(), SystemTime::now(), &mut out);
        let printed = printed.and_then(|complaints| {
            for complaint in complaints {
                publish::say(self.quiet, &format!("{complaint}\n"));
            }
            let mut stdout = io::stdout().lock();
            stdout.write_all(&out).and_then(|()| stdout.flush())
        });
        match printed {
            Ok(()) => {
                client.acknowledge(message);
                self.ending = Some(Timer::after(PATIENCE));
                Next::Continue
            }
            Err(error) => {
                client.disconnect(ReasonCode::Success);
                Next::End(Err(Failure::System(error)))
            }
        }
    }

    /// The end, when the broker has released the response.
    fn poll_end(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        let Some(timer) = &mut self.ending else {
            return Poll::Pending;
        };
        if !client.is_released() && Pin::new(timer).poll(cx).is_pending() {
            return Poll::Pending;
        }
        client.disconnect(ReasonCode::Success);
        Poll::Ready(Next::End(Ok(())))
    }

    /// The end without a response, for which the broker publishes the Will, as with the original.
    fn give_up(client: &mut Client, end: Result<(), Failure>) -> Next {
        if !client.was_online() {
            return Next::End(Err(Failure::NotConnected));
        }
        client.disconnect(ReasonCode::DisconnectWithWillMessage);
        Next::End(end)
    }
}

fn fail(client: &mut Client, lines: String) -> Next {
    client.disconnect(ReasonCode::Success);
    Next::End(Err(Failure::Input(lines)))
}

impl Application for Requester {
    fn event(&mut self, event: Event<'_>, client: &mut Client) -> Next {
        match event {
            Event::Connected => self.connected(client),
            Event::Refused(refusal) => Next::End(Err(Failure::Refused(refusal))),
            Event::Subscribed { identifier, codes } if self.subscribing == Some(identifier) => {
                self.subscribed(codes, client)
            }
            Event::Message(message) => self.response(&message, client),
            // Nobody got the request, and so nobody answers.
            Event::Published {
                identifier, reason, ..
            } if reason.is_error() && self.request == Some(identifier) => {
                let reason = exit::reason(reason as u8);
                let line = format!("Warning: Publish {identifier} failed: {reason}.\n");
                fail(client, line)
            }
            Event::Disconnected(_) => Next::End(Err(Failure::Disconnected)),
            _ => Next::Continue,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        if let Poll::Ready(next) = self.poll_end(cx, client) {
            return Poll::Ready(next);
        }
        if Pin::new(&mut self.signals).poll_next(cx).is_ready() {
            return Poll::Ready(Self::give_up(client, Ok(())));
        }
        Pin::new(&mut self.timeout)
            .poll(cx)
            .map(|_| Self::give_up(client, Err(Failure::TimedOut)))
    }

    /// The request must not be made twice.
    fn reconnects(&self) -> bool {
        false
    }
}
