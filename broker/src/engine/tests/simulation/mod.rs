//! Random clients against the engine, with time of its own: thousands of runs, each from a seed, each step compared with
//! what the standard demands.
//!
//! `SIMULATION_RUNS=100000 cargo test -p broker simulation` makes more runs of each kind; with `SIMULATION_SEED=7` they
//! begin at that seed, and without `SIMULATION_RUNS` that one run is made and its story told.

mod answer;
mod client;
mod closing;
mod kept;
mod ledger;
mod message;
mod moving;
mod oracle;
mod random;
mod record;
mod scenario;
mod schedule;
mod sent;
mod sharing;
mod state;
mod taking;
mod wire;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mqtt::Packet;

use scenario::Family;
use schedule::World;

/// Runs of each kind in an ordinary test.
const RUNS: u64 = 800;

/// One run.
fn run(world: &mut World) {
    for _ in 0..world.scenario.steps {
        world.turn();
    }
    if !world.random.one_in(4) {
        world.settle();
        world.watch();
    }
    world.part();
}

/// The runs of one kind, or what the environment asks for.
fn simulate(family: Family) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|value| value.parse::<u64>().unwrap())
    };
    let kinds = Family::ALL.len() as u64;
    let (first, runs) = match (number("SIMULATION_SEED"), number("SIMULATION_RUNS")) {
        (Some(seed), None) if Family::of(seed) != family => return,
        (Some(seed), None) => {
            tell(seed);
            return;
        }
        (first, runs) => (first.unwrap_or(0), runs.unwrap_or(RUNS)),
    };
    let kind = Family::ALL.iter().position(|&one| one == family).unwrap() as u64;
    for index in 0..runs {
        let seed = (first / kinds + index) * kinds + kind;
        let ran = catch_unwind(AssertUnwindSafe(|| run(&mut World::new(seed, false))));
        if ran.is_err() {
            tell(seed);
            panic!("the run with SIMULATION_SEED={seed} failed once, but not again");
        }
    }
}

/// Makes one run and tells its story if it fails.
fn tell(seed: u64) {
    let mut world = World::new(seed, true);
    if let Err(why) = catch_unwind(AssertUnwindSafe(|| run(&mut world))) {
        let story = world.story.take().unwrap_or_default();
        // The last lines are enough for a first look.
        let lines = std::env::var("SIMULATION_LINES").map_or(60, |lines| lines.parse().unwrap());
        for line in &story[story.len().saturating_sub(lines)..] {
            println!("{line}");
        }
        println!("{}", story[0]);
        panic!("SIMULATION_SEED={seed}: {}", words(&*why));
    }
}

fn words(why: &dyn Any) -> &str {
    let owned = why.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| why.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

/// A packet in a few words.
fn name(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(it) => {
            let number = message::number(it.payload);
            let id = it.packet_identifier.map_or(0, std::num::NonZeroU16::get);
            let mut text = super::describe(packet);
            text.truncate(200);
            format!(
                "message {number:?} (#{id}, {} bytes): {text}",
                it.payload.len()
            )
        }
        Packet::Connect(it) => format!("CONNECT {} clean {}", it.version, it.clean_start),
        other => super::describe(other),
    }
}

#[test]
fn nothing_is_lost_where_queues_have_no_limits() {
    simulate(Family::Plain);
}

#[test]
fn nothing_is_lost_under_tight_terms() {
    simulate(Family::Terms);
}

#[test]
fn short_queues_lose_what_they_count() {
    simulate(Family::Queues);
}

#[test]
fn little_memory_is_not_exceeded() {
    simulate(Family::Memory);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..40 {
        let story = || {
            let mut world = World::new(seed, true);
            run(&mut world);
            world.story.unwrap()
        };
        let (one, other) = (story(), story());
        assert!(one.len() > 30);
        for (one, other) in one.iter().zip(&other) {
            // The names that the broker gives are random.
            assert!(one == other || one.contains("auto-"), "{one}\n{other}");
        }
    }
}
