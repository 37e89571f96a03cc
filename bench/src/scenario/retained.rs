//! A hundred thousand retained messages, and someone who comes late.

use std::thread;
use std::time::Duration;

use mqtt::QoS;

use super::{Figure, Place, each, figure, megabytes};
use crate::candidate::Running;
use crate::failure::Result;
use crate::payload::VERSION;
use crate::wire::{Address, Wire, subscribe_packet};
use crate::{bulk, machine};

const MESSAGES: usize = 100_000;
const PAYLOAD: usize = 100;
const REST: Duration = Duration::from_millis(300);

pub(super) fn run(place: &Place, running: &Running, address: Address<'_>) -> Result<Vec<Figure>> {
    let processes = running.processes()?;
    let payloads: Vec<_> = (0..MESSAGES)
        .map(|number| place.pattern.payload(0, number as u64, 0, PAYLOAD))
        .collect();
    let topic = |number: usize| format!("plant/{}/{}/value", number / 1000, number % 1000);
    let mut publisher = Wire::connect(address, "publisher", true)?;
    thread::sleep(REST);
    let (before, cpu) = (processes.memory()?.resident, processes.cpu()?);
    let messages = payloads.iter().enumerate();
    let messages = messages.map(|(number, payload)| (topic(number), &payload[..]));
    bulk::publish(&mut publisher, messages, true)?;
    let store = processes.cpu()? - cpu;
    let stored = processes.memory()?.resident;

    let subscribe = subscribe_packet(VERSION, &["#".into()], QoS::AtMostOnce)?;
    let mut late = Wire::connect(address, "late", true)?;
    let (cpu, start) = (processes.cpu()?, machine::now());
    late.out.extend_from_slice(&subscribe);
    late.flush()?;
    let received = bulk::receive(&mut late, &place.pattern, MESSAGES, PAYLOAD, false)?;
    let replay = processes.cpu()? - cpu;
    late.leave()?;

    // Once more, beside someone else.
    let mut late = Wire::connect(address, "later", true)?;
    let mut other = Wire::connect(address, "other", true)?;
    other.ping()?;
    late.out.extend_from_slice(&subscribe);
    late.flush()?;
    let asked = machine::now();
    other.ping()?;
    let pause = machine::now() - asked;
    bulk::receive(&mut late, &place.pattern, MESSAGES, PAYLOAD, false)?;
    late.leave()?;

    let clear = (0..MESSAGES).map(|number| (topic(number), &[][..]));
    bulk::publish(&mut publisher, clear, true)?;
    thread::sleep(REST);
    let memory = processes.memory()?;
    let per_message = |time: Duration| time.as_secs_f64() * 1e6 / MESSAGES as f64;
    let milliseconds = |time: u64| time as f64 / 1e6;
    Ok(vec![
        (figure::RETAINED, each(before, stored, MESSAGES)),
        (figure::STORE_COST, per_message(store)),
        (figure::FIRST, milliseconds(received.first - start)),
        (figure::ALL, milliseconds(received.last - start)),
        (figure::REPLAY_COST, per_message(replay)),
        (figure::PAUSE, milliseconds(pause)),
        (figure::PEAK, megabytes(memory.peak)),
        (figure::AFTER, memory.resident as f64 / before as f64),
    ])
}
