//! Messages for clients that are away, and their return.

use std::thread;
use std::time::Duration;

use mqtt::QoS;

use super::{Figure, Place, each, figure, megabytes};
use crate::candidate::Running;
use crate::failure::Result;
use crate::payload::VERSION;
use crate::wire::{Address, Wire, connect_packet};
use crate::{bulk, machine};

const PAYLOAD: usize = 100;
const REST: Duration = Duration::from_millis(300);

/// How many clients are away, and how many messages come meanwhile, the same for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Absence {
    clients: usize,
    messages: usize,
}

pub(super) const ONE: Absence = Absence {
    clients: 1,
    messages: 100_000,
};

pub(super) const MANY: Absence = Absence {
    clients: 5000,
    messages: 10,
};

pub(super) fn run(
    place: &Place,
    running: &Running,
    address: Address<'_>,
    absence: Absence,
) -> Result<Vec<Figure>> {
    let Absence { clients, messages } = absence;
    let processes = running.processes()?;
    let name = |number: usize| format!("away-{number:05}");
    for number in 0..clients {
        let mut wire = Wire::connect(address, &name(number), false)?;
        wire.subscribe(&["plant/#".into()], QoS::AtLeastOnce)?;
        wire.leave()?;
    }
    let payloads: Vec<_> = (0..messages)
        .map(|number| place.pattern.payload(0, number as u64, 0, PAYLOAD))
        .collect();
    let mut publisher = Wire::connect(address, "publisher", true)?;
    thread::sleep(REST);
    let (before, cpu) = (processes.memory()?.resident, processes.cpu()?);
    let all = payloads.iter();
    let all = all.map(|payload| ("plant/line/1/state".to_owned(), &payload[..]));
    bulk::publish(&mut publisher, all, false)?;
    let enqueue = processes.cpu()? - cpu;
    let queued = processes.memory()?.resident;

    let (cpu, start) = (processes.cpu()?, machine::now());
    for number in 0..clients {
        let mut wire = Wire::open(address)?;
        wire.out
            .extend_from_slice(&connect_packet(VERSION, &name(number), false)?);
        wire.flush()?;
        bulk::receive(&mut wire, &place.pattern, messages, PAYLOAD, true)?;
        // Answered once all that was sent before it has been heard.
        wire.ping()?;
        wire.leave()?;
    }
    let drain = processes.cpu()? - cpu;
    let took = Duration::from_nanos(machine::now() - start);
    thread::sleep(REST);
    let memory = processes.memory()?;
    let deliveries = clients * messages;
    let per_delivery = |time: Duration| time.as_secs_f64() * 1e6 / deliveries as f64;
    let mut figures = vec![
        (figure::QUEUED, each(before, queued, deliveries)),
        (figure::ENQUEUE_COST, per_delivery(enqueue)),
        (figure::PEAK, megabytes(memory.peak)),
        (figure::AFTER, memory.resident as f64 / before as f64),
    ];
    // With many clients it would be their connecting that is measured.
    if clients == 1 {
        let rate = deliveries as f64 / took.as_secs_f64();
        figures.extend([
            (figure::DRAINED, rate),
            (figure::DRAIN_COST, per_delivery(drain)),
        ]);
    }
    Ok(figures)
}
