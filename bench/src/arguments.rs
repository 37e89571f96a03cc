//! The command line.

use std::path::PathBuf;

use crate::candidate::PLACEHOLDERS;
use crate::failure::{Failure, Result};
use crate::scenario::{SCENARIOS, Scenario};

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) ours: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) scenarios: Vec<&'static Scenario>,
    /// Whether instructions are counted.
    pub(crate) instructions: bool,
    /// Where the counts of instructions are kept, and whether they are written anew.
    pub(crate) known: PathBuf,
    pub(crate) accept: bool,
    /// Commands of other brokers.
    pub(crate) against: Vec<String>,
}

const USAGE: &str = "\
usage: bench --ours PROGRAM --known FILE [--rounds N] [--scenario NAMES] [--against COMMAND] [--accept]
  --rounds    how often each broker is measured in each scenario (3)
  --scenario  names or beginnings of names, with commas between; `instructions` is one, too
  --against   another broker beside ours and Mosquitto, as NAME=COMMAND or COMMAND, in which stand
";

impl Arguments {
    /// Reads the arguments, without the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Arguments> {
        let mut arguments = arguments.into_iter();
        let (mut ours, mut known, mut rounds, mut accept) = (None, None, 3, false);
        let mut wanted = String::new();
        let mut against = Vec::new();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = || Failure::from(format!("{argument} needs a value"));
                arguments.next().ok_or_else(missing)
            };
            match &*argument {
                "--ours" => ours = Some(PathBuf::from(value()?)),
                "--known" => known = Some(PathBuf::from(value()?)),
                "--rounds" => rounds = value()?.parse().map_err(|_| "--rounds needs a number")?,
                "--scenario" => wanted = value()?,
                "--against" => against.extend(Some(value()?).filter(|value| !value.is_empty())),
                "--accept" => accept = true,
                _ => return Err(help()),
            }
        }
        let wanted: Vec<_> = wanted.split(',').filter(|name| !name.is_empty()).collect();
        let is_wanted = |name: &str| wanted.is_empty() || matches(&wanted, name);
        let scenarios: Vec<_> = SCENARIOS.iter().filter(|one| is_wanted(one.name)).collect();
        let instructions = is_wanted("instructions");
        if scenarios.is_empty() && !instructions {
            return Err(help());
        }
        Ok(Arguments {
            ours: ours.ok_or_else(help)?,
            known: known.ok_or_else(help)?,
            rounds,
            scenarios,
            instructions,
            accept,
            against,
        })
    }
}

/// Whether a name is one of these, or begins with one of them where that is no name itself.
fn matches(wanted: &[&str], name: &str) -> bool {
    let is_name = |name: &str| SCENARIOS.iter().any(|one| one.name == name);
    wanted
        .iter()
        .any(|one| *one == name || (!is_name(one) && name.starts_with(one)))
}

fn help() -> Failure {
    let names: Vec<_> = SCENARIOS.iter().map(|one| one.name).collect();
    format!(
        "{USAGE}{PLACEHOLDERS}\nscenarios: {} instructions",
        names.join(" ")
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scenario: &str) -> Vec<&'static str> {
        let arguments = ["--ours", "x", "--known", "y", "--scenario", scenario];
        let arguments = Arguments::parse(arguments.map(String::from));
        arguments
            .map(|found| found.scenarios.iter().map(|one| one.name).collect())
            .unwrap_or_default()
    }

    #[test]
    fn scenarios_are_chosen_by_name_or_beginning() {
        assert_eq!(names("pair_q0,queue"), ["pair_q0", "queue"]);
        assert_eq!(names("single"), ["single_q0", "single_q1"]);
        assert_eq!(names("nothing"), [""; 0]);
        assert_eq!(names("").len(), SCENARIOS.len());
        assert!(Arguments::parse(["--rounds".into()]).is_err());
    }
}
