//! The load: publishers and subscribers in one thread on bare epoll, each written once a turn, every arrival checked.

mod arrival;
mod plan;

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mqtt::{Packet, PacketIdentifier, QoS, frame};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::arrivals::{Arrivals, Fault};
use crate::failure::{Failure, Result};
use crate::histogram::Histogram;
use crate::machine;
use crate::pace::Pace;
use crate::payload::{Block, Pattern, SLOTS, identifier};
use crate::process::Processes;
use crate::wire::Wire;

use arrival::Arrival;
pub(crate) use plan::{Outcome, Plan};

#[derive(Debug)]
struct Publisher {
    wire: Wire,
    topic: String,
    block: Block,
    /// Messages that were sent, that have a PUBREC, and whose delivery is complete.
    sent: u64,
    received: u64,
    complete: u64,
    /// What of `block` is to be written yet.
    pending: Range<usize>,
    /// The socket is full.
    blocked: bool,
    subscribers: Range<usize>,
    /// What the slowest of its subscribers had when that was last looked at.
    delivered: u64,
    /// When its next message is due.
    due: u64,
}

/// How a subscriber reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Whatever there is.
    Eager,
    /// Some kilobytes every so often.
    Slow(Duration),
    /// Never.
    Stalled,
}

#[derive(Debug)]
struct Subscriber {
    wire: Wire,
    arrivals: Arrivals,
    reading: Reading,
    /// When a slow one reads next.
    read_at: u64,
    blocked: bool,
}

/// Bytes that a slow reader reads at a time.
const SIP: usize = 4096;
/// The token of a subscriber is its number and this bit.
const SUBSCRIBER: u64 = 1 << 32;
/// The token of the timer.
const TIMER: u64 = u64::MAX;
/// Nanoseconds that a turn waits at most; epoll counts in milliseconds, so messages that are due have a timer.
const PATIENCE: u64 = 5_000_000;

/// Everybody, connected and subscribed.
pub(crate) struct Load<'a> {
    plan: Plan,
    pattern: &'a Pattern,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    epoll: OwnedFd,
    timer: OwnedFd,
    events: Vec<Event>,
    pace: Option<Pace>,
    /// Messages delivered, or acknowledged where there are no subscribers.
    messages: u64,
    latency: Histogram,
    /// Whether latencies count.
    measuring: bool,
}

impl<'a> Load<'a> {
    pub(crate) fn new(plan: Plan, pattern: &'a Pattern) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Load {
            plan,
            pattern,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            epoll,
            timer,
            events: Vec::with_capacity(256),
            pace: None,
            messages: 0,
            latency: Histogram::new(),
            measuring: false,
        })
    }

    /// Adds a publisher whose messages go to these subscribers.
    pub(crate) fn publish(
        &mut self,
        mut wire: Wire,
        topic: &str,
        subscribers: Range<usize>,
    ) -> Result<()> {
        let number = self.publishers.len() as u32;
        wire.set_nonblocking()?;
        let token = EventData::new_u64(u64::from(number));
        epoll::add(&self.epoll, &wire, token, EventFlags::IN)?;
        self.publishers.push(Publisher {
            wire,
            topic: topic.into(),
            block: Block::new(
                self.pattern,
                number,
                topic,
                self.plan.version,
                self.plan.qos,
                self.plan.payload,
            )?,
            sent: 0,
            received: 0,
            complete: 0,
            pending: 0..0,
            blocked: false,
            subscribers,
            delivered: 0,
            due: 0,
        });
        Ok(())
    }

    /// Adds a subscriber that has subscribed to the topics of these publishers.
    pub(crate) fn subscribe(
        &mut self,
        mut wire: Wire,
        publishers: &Range<usize>,
        reading: Reading,
    ) -> Result<()> {
        wire.set_nonblocking()?;
        if reading == Reading::Eager {
            let token = EventData::new_u64(self.subscribers.len() as u64 | SUBSCRIBER);
            epoll::add(&self.epoll, &wire, token, EventFlags::IN)?;
        }
        self.subscribers.push(Subscriber {
            wire,
            arrivals: Arrivals::new(publishers),
            reading,
            read_at: 0,
            blocked: false,
        });
        Ok(())
    }

    /// Runs the plan to its end. A doubled, reordered, changed or foreign message is a failure; lost ones are counted.
    pub(crate) fn run(&mut self, broker: &Processes) -> Result<Outcome> {
        let mut buffer = vec![0; 128 * 1024];
        let start = machine::now();
        if let Some(rate) = self.plan.rate {
            let pace = Pace::new(start, rate, self.publishers.len());
            for (number, publisher) in self.publishers.iter_mut().enumerate() {
                publisher.due = pace.due(number, 0);
            }
            self.pace = Some(pace);
        }
        let begin = start + self.plan.warm_up.as_nanos() as u64;
        let end = begin + self.plan.measure.as_nanos() as u64;
        let mut started = None;
        let mut outcome = None;
        if self.plan.count.is_some() {
            started = Some(self.sample(broker)?);
            self.measuring = true;
        }
        let (mut progress, mut progress_at) = (0, start);
        loop {
            let now = machine::now();
            if self.plan.count.is_none() {
                if started.is_none() && now >= begin {
                    started = Some(self.sample(broker)?);
                    self.measuring = true;
                }
                if outcome.is_none()
                    && now >= end
                    && let Some(started) = started
                {
                    outcome = Some((started, self.sample(broker)?));
                    self.measuring = false;
                }
            }
            let publishing = outcome.is_none();
            let mut busy = false;
            for number in 0..self.publishers.len() {
                busy |= self.fill(number, now, publishing)?;
            }
            self.sip(now, &mut buffer)?;
            if self.is_complete(publishing) {
                break;
            }
            let done = self.messages + self.publishers.iter().map(|one| one.sent).sum::<u64>();
            if done != progress {
                (progress, progress_at) = (done, now);
            } else if now.saturating_sub(progress_at) > self.plan.patience.as_nanos() as u64 {
                break;
            }
            if self.pace.is_some() && publishing {
                self.set_timer()?;
            }
            let timeout = if busy { 0 } else { PATIENCE };
            self.turn(timeout, &mut buffer)?;
        }
        let (from, to) = match (outcome, started) {
            (Some(outcome), _) => outcome,
            (None, Some(started)) => (started, self.sample(broker)?),
            (None, None) => return Err("nothing moves".into()),
        };
        Ok(self.outcome(from, to))
    }

    /// Sets the timer to when the next message is due.
    fn set_timer(&self) -> Result<()> {
        // One that is behind waits for room, not for its time.
        let now = machine::now();
        let due = self.publishers.iter().map(|one| one.due);
        let next = due.filter(|&due| due > now).min().unwrap_or(now + PATIENCE);
        let time = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: (next / 1_000_000_000) as i64,
                tv_nsec: (next % 1_000_000_000) as _,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &time)?;
        Ok(())
    }

    fn outcome(&self, from: Sample, to: Sample) -> Outcome {
        let live = || {
            let is_live = |one: &&Subscriber| one.reading == Reading::Eager;
            self.subscribers.iter().filter(is_live)
        };
        let sent = |number: usize| self.publishers[number].sent;
        Outcome {
            messages: to.messages - from.messages,
            time: Duration::from_nanos(to.at - from.at),
            // A thread that has ended takes its time along.
            broker: to.broker.saturating_sub(from.broker),
            generator: to.generator - from.generator,
            latency: self.latency.clone(),
            expected: live()
                .map(|one| one.arrivals.publishers().map(sent).sum::<u64>())
                .sum(),
            lost: live().map(|one| one.arrivals.missing(sent)).sum(),
        }
    }

    fn sample(&self, broker: &Processes) -> Result<Sample> {
        Ok(Sample {
            broker: broker.cpu()?,
            generator: machine::own_cpu(),
            messages: self.messages,
            at: machine::now(),
        })
    }

    /// Whether everything that was to be sent has come.
    fn is_complete(&self, publishing: bool) -> bool {
        if publishing && self.plan.count.is_none() {
            return false;
        }
        let qos = self.plan.qos;
        self.publishers.iter().all(|one| {
            (!publishing || Some(one.sent) == self.plan.count)
                && one.pending.is_empty()
                && (qos == QoS::AtMostOnce || one.complete == one.sent)
        }) && self.subscribers.iter().all(|one| {
            one.reading != Reading::Eager
                || one
                    .arrivals
                    .publishers()
                    .all(|number| one.arrivals.next(number) == self.publishers[number].sent)
        })
    }

    /// Sends what a publisher may send now, in one write. Returns whether it could go on at once.
    fn fill(&mut self, number: usize, now: u64, publishing: bool) -> Result<bool> {
        let plan = &self.plan;
        let publisher = &mut self.publishers[number];
        if publisher.blocked || !publisher.flush(&self.epoll, number as u64)? || !publishing {
            return Ok(false);
        }
        let mut allowed = plan.count.map_or(u64::MAX, |count| count - publisher.sent);
        let batch = plan.batch.min(allowed);
        if plan.qos > QoS::AtMostOnce {
            allowed = allowed.min(plan.in_flight - (publisher.sent - publisher.complete));
        }
        if let Some(window) = plan.window
            && allowed >= batch
        {
            if publisher.sent + batch > publisher.delivered + window {
                let subscribers = &self.subscribers[publisher.subscribers.clone()];
                let delivered = subscribers
                    .iter()
                    .filter(|one| one.reading == Reading::Eager)
                    .map(|one| one.arrivals.next(number));
                publisher.delivered = delivered.min().unwrap_or(publisher.complete);
            }
            allowed = allowed.min((publisher.delivered + window).saturating_sub(publisher.sent));
        }
        if allowed < batch || allowed == 0 {
            return Ok(false);
        }
        let first = publisher.sent;
        let mut count = allowed.min(SLOTS - first % SLOTS);
        match self.pace {
            None => (0..count).for_each(|next| publisher.block.stamp(first + next, now)),
            Some(pace) => {
                let mut due = 0;
                while due < count && publisher.due <= now {
                    publisher.block.stamp(first + due, publisher.due);
                    due += 1;
                    publisher.due = pace.due(number, first + due);
                }
                // Whatever is left is not due yet.
                (count, allowed) = (due, due);
            }
        }
        if count == 0 {
            return Ok(false);
        }
        publisher.sent += count;
        publisher.pending = publisher.block.range(first, count);
        let written = publisher.flush(&self.epoll, number as u64)?;
        Ok(written && allowed > count)
    }

    /// Waits for events and does what they ask for.
    fn turn(&mut self, timeout: u64, buffer: &mut [u8]) -> Result<()> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: timeout as _,
        };
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.epoll, spare, Some(&timeout))?;
        for event in events.drain(..) {
            let token = event.data.u64();
            if token == TIMER {
                continue; // set anew before the next turn
            }
            let number = (token & (SUBSCRIBER - 1)) as usize;
            // Copied out: the struct is packed.
            let flags = event.flags;
            let writable = flags.contains(EventFlags::OUT);
            if token & SUBSCRIBER == 0 {
                if writable {
                    let data = EventData::new_u64(token);
                    self.publishers[number].blocked = false;
                    let wire = &self.publishers[number].wire;
                    epoll::modify(&self.epoll, wire, data, EventFlags::IN)?;
                }
                self.hear(number, buffer)?;
            } else {
                if writable {
                    self.subscribers[number].blocked = false;
                    let wire = &self.subscribers[number].wire;
                    let data = EventData::new_u64(token);
                    epoll::modify(&self.epoll, wire, data, EventFlags::IN)?;
                }
                self.take(number, buffer)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Reads the answers to a publisher. They come in the order of its messages [MQTT-4.6.0-2] to [MQTT-4.6.0-4].
    fn hear(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let counts = self.subscribers.is_empty();
        let Publisher {
            wire,
            sent,
            received,
            complete,
            ..
        } = &mut self.publishers[number];
        let before = *complete;
        let mut releases = Vec::new();
        wire.read(buffer, |input| {
            let Some(frame) = frame(input, u32::MAX)? else {
                return Ok(0);
            };
            let Some(packet) = input.get(..frame.total_len) else {
                return Ok(0);
            };
            // PUBACK, PUBREC and PUBCOMP.
            let (0x40 | 0x50 | 0x70, &[high, low] | &[high, low, 0]) =
                (frame.first_byte, &packet[frame.header_len..])
            else {
                return Err("a publisher was sent something else than acknowledgements".into());
            };
            let found = u16::from_be_bytes([high, low]);
            let is_rec = frame.first_byte == 0x50;
            let expected = if is_rec {
                &mut *received
            } else {
                &mut *complete
            };
            if *expected >= *sent || found != identifier(*expected).get() {
                return Err("an acknowledgement out of order".into());
            }
            *expected += 1;
            if is_rec {
                releases.push(found);
            }
            Ok(frame.total_len)
        })?;
        for identifier in releases.into_iter().filter_map(PacketIdentifier::new) {
            wire.acknowledge(Packet::PubRel, identifier)?;
        }
        if counts {
            self.messages += *complete - before;
        }
        Ok(())
    }

    /// Reads what has come to a subscriber, checks it, and acknowledges it in one write.
    fn take(&mut self, number: usize, buffer: &mut [u8]) -> Result<()> {
        let Load {
            plan,
            pattern,
            publishers,
            subscribers,
            messages,
            latency,
            measuring,
            ..
        } = self;
        let Subscriber { wire, arrivals, .. } = &mut subscribers[number];
        let now = machine::now();
        let mut answers = std::mem::take(&mut wire.out);
        wire.read(buffer, |input| {
            let Some(frame) = frame(input, u32::MAX)? else {
                return Ok(0);
            };
            let Some(packet) = input.get(..frame.total_len) else {
                return Ok(0);
            };
            let body = &packet[frame.header_len..];
            if let (0x62, &[high, low] | &[high, low, 0]) = (frame.first_byte, body) {
                answers.extend_from_slice(&[0x70, 2, high, low]);
                return Ok(frame.total_len);
            }
            let arrival = Arrival::read(frame.first_byte, body, plan.version)
                .ok_or("a subscriber was sent something else than messages")?;
            if arrival.qos != plan.qos as u8 {
                return Err("a message of another QoS".into());
            }
            let stamp = pattern
                .read(arrival.payload, plan.payload)
                .ok_or("a message was changed")?;
            let publisher = publishers.get(stamp.publisher as usize);
            if publisher.is_none_or(|publisher| publisher.topic.as_bytes() != arrival.topic) {
                return Err("a message under another topic".into());
            }
            if let Err(fault) = arrivals.take(stamp.publisher, stamp.number) {
                return Err(words(fault, stamp.publisher, stamp.number));
            }
            *messages += 1;
            if *measuring {
                latency.add(now.saturating_sub(stamp.time));
            }
            match arrival.identifier {
                None => {}
                Some([high, low]) if arrival.qos == 1 => {
                    answers.extend_from_slice(&[0x40, 2, high, low]);
                }
                Some([high, low]) => answers.extend_from_slice(&[0x50, 2, high, low]),
            }
            Ok(frame.total_len)
        })?;
        wire.out = answers;
        let subscriber = &mut self.subscribers[number];
        if !subscriber.blocked && !subscriber.wire.flush()? && subscriber.reading == Reading::Eager
        {
            subscriber.blocked = true;
            let flags = EventFlags::IN | EventFlags::OUT;
            let data = EventData::new_u64(number as u64 | SUBSCRIBER);
            epoll::modify(&self.epoll, &subscriber.wire, data, flags)?;
        }
        Ok(())
    }

    /// Lets the slow readers read.
    fn sip(&mut self, now: u64, buffer: &mut [u8]) -> Result<()> {
        for number in 0..self.subscribers.len() {
            let subscriber = &mut self.subscribers[number];
            if let Reading::Slow(every) = subscriber.reading
                && subscriber.read_at <= now
            {
                subscriber.read_at = now + every.as_nanos() as u64;
                let (messages, measuring) = (self.messages, self.measuring);
                // Only those who are fast count.
                self.measuring = false;
                self.take(number, &mut buffer[..SIP])?;
                (self.messages, self.measuring) = (messages, measuring);
            }
        }
        Ok(())
    }
}

/// Where a run was at some time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    broker: Duration,
    generator: Duration,
    messages: u64,
    at: u64,
}

impl Publisher {
    /// Writes what waits, as far as there is room. Returns whether all of it went.
    fn flush(&mut self, epoll: &OwnedFd, token: u64) -> Result<bool> {
        if !self.pending.is_empty() {
            let bytes = &self.block.bytes()[self.pending.clone()];
            self.pending.start += self.wire.write(bytes)?;
        }
        // A packet that is half written is ended first.
        let written = self.pending.is_empty() && self.wire.flush()?;
        if !written {
            self.blocked = true;
            let flags = EventFlags::IN | EventFlags::OUT;
            epoll::modify(epoll, &self.wire, EventData::new_u64(token), flags)?;
        }
        Ok(written)
    }
}

fn words(fault: Fault, publisher: u32, number: u64) -> Failure {
    let words = match fault {
        Fault::Doubled => "came twice",
        Fault::Reordered => "came after a later one",
        Fault::Stranger => "came to someone who has not subscribed to it",
    };
    format!("message {number} of publisher {publisher} {words}").into()
}

#[cfg(test)]
mod tests;
