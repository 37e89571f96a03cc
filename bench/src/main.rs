//! Measures our broker beside others on this machine: each on one core, the generator on another, in turns, the other way
//! round in the next round; medians, and ratios within one run. `make bench` runs it.
#![forbid(unsafe_code)]

mod arguments;
mod arrivals;
mod bulk;
mod candidate;
mod failure;
mod histogram;
mod instructions;
mod load;
mod machine;
mod pace;
mod payload;
mod process;
mod report;
mod scenario;
mod secret;
mod wire;

use std::process::ExitCode;

use arguments::Arguments;
use candidate::Candidate;
use failure::Result;
use machine::Cores;
use payload::Pattern;
use report::{Rounds, Score};
use scenario::{Place, Scenario};
use secret::Secrets;

fn main() -> ExitCode {
    let run = || bench(&Arguments::parse(std::env::args().skip(1))?);
    match run() {
        Ok(score) if score.failures.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(64)
        }
    }
}

fn bench(arguments: &Arguments) -> Result<Score> {
    let cores = Cores::choose()?;
    let mut candidates = vec![Candidate::ours(&arguments.ours)];
    let mosquitto = Candidate::mosquitto();
    if mosquitto.is_none() {
        println!("mosquitto is not installed: no ratios but to what else is given");
    }
    candidates.extend(mosquitto);
    candidates.extend(
        arguments
            .against
            .iter()
            .map(|command| Candidate::other(command)),
    );
    let place = Place {
        cores,
        secrets: Secrets::new()?,
        pattern: Pattern::new(),
    };
    let raised = machine::raise_priority();
    machine::pin(cores.generator)?;
    introduce(arguments, cores, raised);
    let mut score = Score::default();
    for scenario in &arguments.scenarios {
        measure(arguments, &place, &candidates, scenario, &mut score);
    }
    if arguments.instructions {
        instructions::run(&place, &candidates[0], &arguments.known, arguments.accept)?;
    }
    conclude(&score);
    Ok(score)
}

/// All rounds of one scenario.
fn measure(
    arguments: &Arguments,
    place: &Place,
    candidates: &[Candidate],
    scenario: &Scenario,
    score: &mut Score,
) {
    let mut measured: Vec<Rounds> = candidates.iter().map(|_| Rounds::default()).collect();
    for round in 0..arguments.rounds {
        let mut order: Vec<_> = (0..candidates.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            if candidates[index].can(scenario.demand()) {
                measured[index].add(scenario.run(place, &candidates[index]));
            } else {
                measured[index].unfit = true;
            }
        }
    }
    let names: Vec<_> = candidates.iter().map(|one| one.name.clone()).collect();
    report::print(scenario, &names, &measured, score);
}

fn introduce(arguments: &Arguments, cores: Cores, raised: bool) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<_> = load.split_whitespace().take(3).collect();
    println!(
        "{} rounds, medians; broker on core {}, generator on core {}, priority {}; load of the machine {}",
        arguments.rounds,
        cores.broker,
        cores.generator,
        if raised { "raised" } else { "as usual" },
        load.join(" "),
    );
    if !cores.are_two() {
        println!("there is one core only: broker and generator take it from each other");
    }
    println!();
}

fn conclude(score: &Score) {
    let met = score.targets - score.missed.len();
    println!("{met} of {} targets met", score.targets);
    for missed in &score.missed {
        println!("  missed: {missed}");
    }
    for failure in &score.failures {
        println!("  FAILED: {failure}");
    }
}
