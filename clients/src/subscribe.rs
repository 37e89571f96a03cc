//! `mosquitto_sub`: subscribes, prints what comes, and ends as it is told.

use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_signal::{Signal, Signals};
use mqtt::{PacketIdentifier, PropertiesBuffer, QoS, ReasonCode, TopicFilter, TopicName};
use smol::Timer;
use smol::future::Future;
use smol::stream::Stream;

use crate::client::{Client, Event, Message, Received};
use crate::conversation::{Application, Next};
use crate::exit::{self, Failure};
use crate::format::Output;
use crate::options::{Retained, Show, Subscribe};
use crate::outbox::Payload;
use crate::watch::Watch;

/// How long the last acknowledgements may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// `--message-rate` prints this often.
const SECOND: Duration = Duration::from_secs(1);
/// Reason Codes of SUBACK from here on are errors; in 3.x there is this one alone.
const FAILURE: u8 = 0x80;

/// `mosquitto_sub` at work.
pub(crate) struct Subscriber {
    subscribe: Subscribe,
    debug: bool,
    quiet: bool,
    signals: Signals,
    /// The end of `-W`.
    timeout: Timer,
    /// Messages still to be printed (`-C`).
    left: Option<u32>,
    /// UNSUBACKs that have not come.
    unsubscribing: Vec<PacketIdentifier>,
    subscribing: Option<PacketIdentifier>,
    view: View,
    /// No message is taken any more; the acknowledgements under way are waited for, until then.
    ending: Option<Timer>,
    out: Vec<u8>,
}

/// How messages are shown.
enum View {
    Messages(Output),
    Watch(Watch),
    /// How many have come since the last second was over.
    Rate {
        second: Timer,
        count: u64,
    },
}

impl Subscriber {
    /// Begins; the time of `-W` runs from here on.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(crate) fn new(
        subscribe: Subscribe,
        debug: bool,
        quiet: bool,
    ) -> Result<Subscriber, Failure> {
        let signals = Signals::new([Signal::Int, Signal::Term]).map_err(Failure::System)?;
        let view = match subscribe.show.clone() {
            Show::Messages(output) => View::Messages(output),
            Show::Watch { broker, output } => View::Watch(Watch::new(output, broker)),
            Show::Rate => View::Rate {
                second: Timer::interval(SECOND),
                count: 0,
            },
        };
        Ok(Subscriber {
            debug,
            quiet,
            signals,
            timeout: subscribe.timeout.map_or(Timer::never(), Timer::after),
            left: subscribe.count.map(std::num::NonZeroU32::get),
            unsubscribing: Vec::new(),
            subscribing: None,
            view,
            ending: None,
            out: Vec::new(),
            subscribe,
        })
    }

    // --- the beginning

    fn connected(&mut self, client: &mut Client) -> Next {
        match self.send_subscriptions(client) {
            Ok(()) => Next::Continue,
            Err(error) => {
                client.disconnect(ReasonCode::Success);
                Next::End(Err(Failure::Input(format!("Error: {error}.\n"))))
            }
        }
    }

    fn send_subscriptions(&mut self, client: &mut Client) -> Result<(), mqtt::EncodeError> {
        let subscribe = &self.subscribe;
        self.subscribing = None;
        if !subscribe.filters.is_empty() {
            let properties = &subscribe.subscribe_properties;
            let sent = client.subscribe(&subscribe.filters, subscribe.options, properties);
            self.subscribing = Some(sent?);
        }
        self.unsubscribing.clear();
        for filter in &subscribe.unsubscribe {
            let sent = client.unsubscribe(filter, &subscribe.unsubscribe_properties);
            self.unsubscribing.push(sent?);
        }
        Ok(())
    }

    fn subscribed(
        &mut self,
        identifier: PacketIdentifier,
        codes: &[u8],
        client: &mut Client,
    ) -> Next {
        if self.subscribing != Some(identifier) {
            return Next::Continue;
        }
        self.subscribing = None;
        if self.debug {
            let codes: Vec<_> = codes.iter().map(u8::to_string).collect();
            let line = format!("Subscribed (mid: {identifier}): {}\n", codes.join(", "));
            // If nobody reads the trace the tool does its work nevertheless.
            let _ = print(line.as_bytes());
        }
        if codes.iter().all(|code| *code >= FAILURE) {
            self.say("All subscription requests were denied.\n");
            client.disconnect(ReasonCode::Success);
            return Next::End(Ok(()));
        }
        self.exit_after_subscribe(client)
    }

    /// The end of `-E`.
    fn exit_after_subscribe(&mut self, client: &mut Client) -> Next {
        if !self.subscribe.exit_after_subscribe {
            return Next::Continue;
        }
        client.disconnect(ReasonCode::Success);
        Next::End(Ok(()))
    }

    // --- messages

    fn message(&mut self, message: &Received<'_>, client: &mut Client) {
        if self.ending.is_some() {
            // Not acknowledged: it stays with the broker.
            return;
        }
        let retain = message.message().retain;
        if self.subscribe.retained == Retained::Only && !retain {
            self.end();
            return;
        }
        if !self.is_filtered_out(message.topic()) {
            if self.subscribe.remove_retained && retain {
                self.clear(message, client);
            }
            let is_wanted = self.subscribe.retained != Retained::Never || !retain;
            if is_wanted && self.is_drawn() {
                if self.show(message).is_err() {
                    // Nobody reads any more. What was not printed is not acknowledged.
                    self.end();
                    return;
                }
                self.left = self.left.map(|left| left - 1);
            }
        }
        client.acknowledge(message);
        if self.left == Some(0) {
            self.end();
        }
    }

    fn is_filtered_out(&self, topic: &str) -> bool {
        let topic = TopicName::from_valid(topic);
        let mut filters = self.subscribe.filter_out.iter();
        filters.any(|filter| TopicFilter::from_valid(filter).matches(topic))
    }

    /// Whether `--random-filter` lets a message through.
    fn is_drawn(&self) -> bool {
        let Some(probability) = self.subscribe.random_filter else {
            return true;
        };
        let mut bytes = [0; 4];
        // Without the system's randomness everything is printed.
        let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
        f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0) < probability
    }

    /// Has the broker forget a retained message.
    fn clear(&mut self, message: &Received<'_>, client: &mut Client) {
        let topic = message.topic().to_string();
        let empty = Message::new(topic, QoS::AtLeastOnce, true, PropertiesBuffer::new());
        // A broker that knows retained messages takes one of QoS 1 without payload, or it says why not.
        if client.publish(&Rc::new(empty), Payload::empty()).is_err() {
            self.say(&Failure::QosNotSupported.lines(true));
        }
    }

    fn show(&mut self, message: &Received<'_>) -> io::Result<()> {
        self.out.clear();
        let (message, now) = (message.message(), SystemTime::now());
        match &mut self.view {
            View::Messages(output) => {
                for complaint in output.write(&message, now, &mut self.out)? {
                    self.say(&format!("{complaint}\n"));
                }
            }
            View::Watch(watch) => watch.write(&message, now, &mut self.out)?,
            View::Rate { count, .. } => *count += 1,
        }
        print(&self.out)
    }

    /// A second of `--message-rate` is over.
    fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let View::Rate { second, count } = &mut self.view else {
            return Poll::Pending;
        };
        ready!(Pin::new(second).poll_next(cx));
        let line = format!("{} msgs/s\n", std::mem::take(count));
        if print(line.as_bytes()).is_err() {
            self.end();
        }
        Poll::Ready(Next::Continue)
    }

    // --- the end

    /// Takes no message any more, and ends when the acknowledgements under way have come.
    fn end(&mut self) {
        if self.ending.is_none() {
            self.ending = Some(Timer::after(PATIENCE));
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        let Some(timer) = &mut self.ending else {
            return Poll::Pending;
        };
        // Without its Session the broker has nothing to release.
        let is_released = client.is_released() || !client.is_online() && !client.keeps_session();
        let is_done = client.is_acknowledged() && is_released;
        if !is_done && Pin::new(timer).poll(cx).is_pending() {
            return Poll::Pending;
        }
        client.disconnect(ReasonCode::Success);
        Poll::Ready(Next::End(Ok(())))
    }

    fn poll_timeout(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        Pin::new(&mut self.timeout).poll(cx).map(|_| {
            if !client.was_online() {
                return Next::End(Err(Failure::NotConnected));
            }
            client.disconnect(ReasonCode::Success);
            Next::End(Err(Failure::TimedOut))
        })
    }

    fn poll_signals(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        Pin::new(&mut self.signals).poll_next(cx).map(|_| {
            if !client.was_online() {
                return Next::End(Err(Failure::NotConnected));
            }
            client.disconnect(ReasonCode::DisconnectWithWillMessage);
            Next::End(Ok(()))
        })
    }

    fn say(&self, lines: &str) {
        if !self.quiet {
            // Nobody is left to tell if this fails.
            let _ = io::stderr().write_all(lines.as_bytes());
        }
    }
}

impl Application for Subscriber {
    fn event(&mut self, event: Event<'_>, client: &mut Client) -> Next {
        match event {
            Event::Connected => return self.connected(client),
            Event::Refused(refusal) => return Next::End(Err(Failure::Refused(refusal))),
            Event::Subscribed { identifier, codes } => {
                return self.subscribed(identifier, codes, client);
            }
            Event::Unsubscribed(identifier) => {
                self.unsubscribing
                    .retain(|unsubscribing| *unsubscribing != identifier);
                if self.unsubscribing.is_empty() && self.subscribe.filters.is_empty() {
                    return self.exit_after_subscribe(client);
                }
            }
            Event::Message(message) => self.message(&message, client),
            Event::Published {
                identifier, reason, ..
            } if reason.is_error() => {
                let reason = exit::reason(reason as u8);
                self.say(&format!(
                    "Warning: Publish {identifier} failed: {reason}.\n"
                ));
            }
            // As if it were told to end, and no failure for Mosquitto's tool.
            Event::Disconnected(_) => return Next::End(Ok(())),
            Event::Published { .. } | Event::None => {}
        }
        Next::Continue
    }

    fn poll(&mut self, cx: &mut Context<'_>, client: &mut Client) -> Poll<Next> {
        if let Poll::Ready(next) = self.poll_end(cx, client) {
            return Poll::Ready(next);
        }
        if let Poll::Ready(next) = self.poll_signals(cx, client) {
            return Poll::Ready(next);
        }
        if let Poll::Ready(next) = self.poll_second(cx) {
            return Poll::Ready(next);
        }
        self.poll_timeout(cx, client)
    }

    fn reconnects(&self) -> bool {
        true
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let View::Watch(watch) = &mut self.view {
            self.out.clear();
            watch.end(&mut self.out);
            // The terminal may be gone.
            let _ = print(&self.out);
        }
    }
}

/// Prints and flushes.
fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
