//! A hundred thousand filters with wildcards: what they cost, and what a message costs that none or one of them matches.

use std::thread;
use std::time::Duration;

use mqtt::QoS;

use super::{Figure, Place, each, figure};
use crate::candidate::Running;
use crate::failure::Result;
use crate::load::{Load, Plan, Reading};
use crate::process::Processes;
use crate::wire::{Address, Wire};
use crate::{bulk, machine};

const CLIENTS: usize = 100;
const FILTERS: usize = 1000;
const REST: Duration = Duration::from_millis(300);
/// Levels of the filters that a topic almost matches: each is `a` or `+`, the last another than the topic's.
const DEPTH: usize = 14;

fn filters(client: usize, count: usize) -> Vec<String> {
    let filter = |number| format!("plant/+/{client}/{number}/#");
    (0..count).map(filter).collect()
}

/// One that nobody has subscribed to, and the first client's.
const MISS: &str = "plant/a/none/7/state";
const HIT: &str = "plant/a/0/7/state";

pub(super) fn run(place: &Place, running: &Running, address: Address<'_>) -> Result<Vec<Figure>> {
    let processes = running.processes()?;
    let first = |count| -> Result<Wire> {
        let mut wire = Wire::connect(address, "client-0", true)?;
        wire.subscribe(&filters(0, count), QoS::AtLeastOnce)?;
        Ok(wire)
    };
    let few_hit = cost(place, &processes, address, HIT, Some(first(10)?))?;
    // Beside it, so that there are filters.
    let few = first(10)?;
    let few_miss = cost(place, &processes, address, MISS, None)?;
    few.leave()?;
    thread::sleep(REST);
    let (before, cpu) = (processes.memory()?.resident, processes.cpu()?);
    let mut wires = vec![first(FILTERS)?];
    for number in 1..CLIENTS {
        let mut wire = Wire::connect(address, &format!("client-{number}"), true)?;
        wire.subscribe(&filters(number, FILTERS), QoS::AtLeastOnce)?;
        wires.push(wire);
    }
    let subscribe = processes.cpu()? - cpu;
    let subscribed = processes.memory()?.resident;
    let miss = cost(place, &processes, address, MISS, None)?;
    let hit = cost(place, &processes, address, HIT, Some(wires.swap_remove(0)))?;
    drop(wires);
    let walk = walk(address)?;
    let all = CLIENTS * FILTERS;
    Ok(vec![
        (figure::SUBSCRIPTION, each(before, subscribed, all)),
        (
            figure::SUBSCRIBE_COST,
            subscribe.as_secs_f64() * 1e6 / all as f64,
        ),
        (figure::MISS, miss),
        (figure::MISS_RATIO, miss / few_miss),
        (figure::HIT, hit),
        (figure::HIT_RATIO, hit / few_hit),
        (figure::WALK, walk),
    ])
}

/// Processor time in microseconds of a QoS 1 message to this topic, with its delivery if there is a subscriber.
fn cost(
    place: &Place,
    processes: &Processes,
    address: Address<'_>,
    topic: &str,
    subscriber: Option<Wire>,
) -> Result<f64> {
    let plan = Plan {
        qos: QoS::AtLeastOnce,
        measure: Duration::from_millis(700),
        ..Plan::DEFAULT
    };
    let mut load = Load::new(plan, &place.pattern)?;
    let subscribers = 0..usize::from(subscriber.is_some());
    if let Some(wire) = subscriber {
        load.subscribe(wire, &(0..1), Reading::Eager)?;
    }
    let wire = Wire::connect(address, "publisher", true)?;
    load.publish(wire, topic, subscribers)?;
    let outcome = load.run(processes)?;
    match outcome.lost {
        0 => Ok(outcome.cost()),
        lost => Err(format!("{lost} messages were lost").into()),
    }
}

/// How many milliseconds a client waits for its ping behind a message whose way through the tree is as long as can be.
fn walk(address: Address<'_>) -> Result<f64> {
    let mut filters = Vec::with_capacity(1 << DEPTH);
    for number in 0..1_u32 << DEPTH {
        let level = |bit| if number >> bit & 1 == 0 { "a/" } else { "+/" };
        filters.push((0..DEPTH).map(level).collect::<String>() + "end");
    }
    let mut wires = Vec::new();
    for (number, some) in filters.chunks(FILTERS).enumerate() {
        let mut wire = Wire::connect(address, &format!("deep-{number}"), true)?;
        wire.subscribe(some, QoS::AtMostOnce)?;
        wires.push(wire);
    }
    let mut publisher = Wire::connect(address, "publisher", true)?;
    let mut other = Wire::connect(address, "other", true)?;
    let topic = "a/".repeat(DEPTH) + "other";
    let mut longest = 0;
    for _ in 0..20 {
        other.ping()?;
        bulk::send(&mut publisher, &topic, b"x")?;
        let asked = machine::now();
        other.ping()?;
        longest = longest.max(machine::now() - asked);
    }
    Ok(longest as f64 / 1e6)
}
