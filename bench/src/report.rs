//! The figures of all rounds, side by side.

use crate::scenario::figure::{BROKER_BUSY, GENERATOR_BUSY};
use crate::scenario::{Figure, Scenario, Target};

/// What one broker has shown in one scenario, one entry a round.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    figures: Vec<Vec<Figure>>,
    failures: Vec<String>,
    /// It cannot do what the scenario needs.
    pub(crate) unfit: bool,
}

/// How many targets there were, and which were missed.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) targets: usize,
    pub(crate) missed: Vec<String>,
    /// Our broker's failures, which are no figures.
    pub(crate) failures: Vec<String>,
}

impl Rounds {
    pub(crate) fn add(&mut self, result: crate::failure::Result<Vec<Figure>>) {
        match result {
            Ok(figures) => self.figures.push(figures),
            Err(failure) => self.failures.push(failure.to_string()),
        }
    }

    /// All values of a figure.
    fn values(&self, name: &str) -> Vec<f64> {
        let of = |round: &Vec<Figure>| round.iter().find(|(other, _)| *other == name).copied();
        self.figures
            .iter()
            .filter_map(of)
            .map(|(_, value)| value)
            .collect()
    }

    fn median(&self, name: &str) -> Option<f64> {
        median(self.values(name))
    }
}

/// The value in the middle, or the mean of the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (len, middle) = (values.len(), values.len() / 2);
    match len {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Prints one scenario: ours first, then the others.
pub(crate) fn print(scenario: &Scenario, names: &[String], measured: &[Rounds], score: &mut Score) {
    println!("{}: {}", scenario.name, scenario.words);
    let (Some(ours), others) = (measured.first(), measured.get(1..).unwrap_or_default()) else {
        return;
    };
    print!("  {:<44}", "");
    names.iter().for_each(|name| print!("{name:>12}"));
    println!("{:>12}", if others.is_empty() { "" } else { "ratio" });
    let of_anyone = measured.iter().find_map(|rounds| rounds.figures.first());
    for &(name, _) in of_anyone.into_iter().flatten() {
        print!("  {name:<44}");
        for rounds in measured {
            print!("{:>12}", rounds.median(name).map_or("-".into(), number));
        }
        let ratio = match (ours.median(name), others.first()) {
            (Some(mine), Some(other)) => other.median(name).map(|other| mine / other),
            _ => None,
        };
        let shown = ratio
            .filter(|ratio| ratio.is_finite())
            .map_or(String::new(), |ratio| format!("{ratio:.3}"));
        print!("{shown:>12}");
        let target = scenario.targets.iter().find(|(of, _)| *of == name);
        if let Some(&(_, target)) = target {
            print!("  {}", verdict(scenario, name, target, ours, ratio, score));
        }
        println!();
    }
    for (name, rounds) in names.iter().zip(measured) {
        let busy = |figure| rounds.median(figure).unwrap_or_default();
        if busy(GENERATOR_BUSY) > 95.0 && busy(BROKER_BUSY) < 95.0 {
            println!("  the generator is the limit of {name}'s messages/s, not the broker");
        }
        if rounds.unfit {
            println!("  {name} was not told of TLS");
        }
        for failure in &rounds.failures {
            println!("  FAILED: {name}: {failure}");
        }
    }
    let failures = ours.failures.iter();
    score
        .failures
        .extend(failures.map(|failure| format!("{}: {failure}", scenario.name)));
    println!();
}

fn verdict(
    scenario: &Scenario,
    name: &str,
    target: Target,
    ours: &Rounds,
    ratio: Option<f64>,
    score: &mut Score,
) -> String {
    let (value, most, of) = match target {
        Target::Ratio(most) => (ratio, most, "ratio "),
        Target::Most(most) => (ours.median(name), most, ""),
    };
    let Some(value) = value else {
        return "target: nothing to compare with".into();
    };
    score.targets += 1;
    let bound = format!("{of}<= {most}");
    if value <= most {
        return format!("{bound}: met");
    }
    let found = number(value);
    score
        .missed
        .push(format!("{}: {name}: {found}, {bound}", scenario.name));
    format!("{bound}: MISSED")
}

/// With three digits that count, thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if digits > 0 {
        return text;
    }
    let mut grouped = String::new();
    for (index, digit) in text.char_indices() {
        if index > 0 && (text.len() - index) % 3 == 0 && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn numbers() {
        let shown = [0.0, 0.0364, 1.5, 36.42, 123.4, 1234.6, 1_234_567.0].map(number);
        let expected = ["0.00", "0.036", "1.50", "36.4", "123", "1,235", "1,234,567"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_failure_is_no_figure() {
        let mut rounds = Rounds::default();
        rounds.add(Ok(vec![("x", 1.0)]));
        rounds.add(Err("1 of 9 messages were lost".into()));
        rounds.add(Ok(vec![("x", 3.0)]));
        assert_eq!(rounds.values("x"), [1.0, 3.0]);
        assert_eq!(rounds.failures.len(), 1);
        assert_eq!(rounds.median("y"), None);
    }
}
