//! Ten thousand clients that do nothing.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use mqtt::QoS;

use super::{Figure, each, figure, megabytes};
use crate::candidate::Running;
use crate::failure::Result;
use crate::payload::VERSION;
use crate::process::Processes;
use crate::wire::{Address, Wire, connect_packet, subscribe_packet};

const CLIENTS: usize = 10_000;
/// How many are connecting at a time.
const AT_A_TIME: usize = 50;
/// Time for a broker to come to rest.
const REST: Duration = Duration::from_millis(300);
/// How long wake-ups are counted.
const IDLE: Duration = Duration::from_secs(2);

pub(super) fn run(running: &Running, address: Address<'_>) -> Result<Vec<Figure>> {
    let processes = running.processes()?;
    thread::sleep(REST);
    let (before, cpu) = (processes.memory()?.resident, processes.cpu()?);
    let descriptors = processes.descriptors()?;
    let mut wires = Vec::with_capacity(CLIENTS);
    let mut waiting = VecDeque::new();
    let start = Instant::now();
    for number in 0..CLIENTS {
        let mut wire = Wire::open(address)?;
        let packet = connect_packet(VERSION, &format!("client-{number:05}"), true)?;
        wire.out.extend_from_slice(&packet);
        wire.flush()?;
        waiting.push_back(wire);
        if waiting.len() == AT_A_TIME {
            wires.extend(first(&mut waiting, &[0x20, 2, 0, 0])?);
        }
    }
    while !waiting.is_empty() {
        wires.extend(first(&mut waiting, &[0x20, 2, 0, 0])?);
    }
    let took = start.elapsed();
    thread::sleep(REST);
    let cpu = processes.cpu()? - cpu;
    let connected = processes.memory()?.resident;
    let sleeps = processes.sleeps()?;
    thread::sleep(IDLE);
    let sleeps = processes.sleeps()? - sleeps;
    for (number, wire) in wires.drain(..).enumerate() {
        let mut wire = wire;
        let filters = ["command", "configuration"].map(|last| format!("plant/{number:05}/{last}"));
        wire.out
            .extend_from_slice(&subscribe_packet(VERSION, &filters, QoS::AtLeastOnce)?);
        wire.flush()?;
        waiting.push_back(wire);
    }
    while !waiting.is_empty() {
        wires.extend(first(&mut waiting, &[0x90, 4, 0, 1, 1, 1])?);
    }
    thread::sleep(REST);
    let subscribed = processes.memory()?.resident;
    wires.into_iter().try_for_each(Wire::leave)?;
    await_descriptors(&processes, descriptors)?;
    thread::sleep(REST);
    let memory = processes.memory()?;
    Ok(vec![
        (figure::BEFORE, megabytes(before)),
        (figure::CONNECTS, CLIENTS as f64 / took.as_secs_f64()),
        (
            figure::CONNECT_COST,
            cpu.as_secs_f64() * 1e6 / CLIENTS as f64,
        ),
        (figure::CONNECTION, each(before, connected, CLIENTS)),
        (figure::SUBSCRIBED, each(before, subscribed, CLIENTS)),
        (figure::WAKE_UPS, sleeps as f64 / IDLE.as_secs_f64()),
        (figure::PEAK, megabytes(memory.peak)),
        (figure::AFTER, memory.resident as f64 / before as f64),
    ])
}

/// Waits for the answer to the client that has waited longest.
fn first(waiting: &mut VecDeque<Wire>, answer: &[u8]) -> Result<Option<Wire>> {
    let Some(mut wire) = waiting.pop_front() else {
        return Ok(None);
    };
    let mut buffer = [0; 64];
    let mut found = false;
    while !found {
        wire.read(&mut buffer, |input| match input.get(..answer.len()) {
            None => Ok(0),
            Some(input) if input == answer => {
                found = true;
                Ok(input.len())
            }
            Some(_) => Err("another answer than success".into()),
        })?;
    }
    Ok(Some(wire))
}

/// Waits until the broker has closed all connections.
fn await_descriptors(processes: &Processes, count: usize) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    while processes.descriptors()? > count {
        if Instant::now() > until {
            return Err("connections stay open after their clients have left".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
