//! Rates per minute as Mosquitto tells them: exponentially weighted averages over one, five and fifteen minutes. They are
//! computed when somebody asks, and need no tick in between.

use std::time::Duration;

/// How far back a rate looks: the last part of its topic, and seconds.
pub(super) const WINDOWS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

/// A total, and its rate per minute in each of the windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    counted: u64,
    /// In the order of the windows.
    pub(super) per_minute: [f64; WINDOWS.len()],
}

impl Load {
    /// Takes in what was counted in the time since the last call, as if it had come evenly spread over that time: the
    /// averages are exponentially weighted, and as good as the calls are frequent.
    pub(super) fn advance(&mut self, total: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        if seconds > 0.0 {
            let rate = total.saturating_sub(self.counted) as f64 * 60.0 / seconds;
            for (average, (_, window)) in self.per_minute.iter_mut().zip(WINDOWS) {
                *average = rate + (-seconds / window).exp() * (*average - rate);
            }
            self.counted = total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_nears_what_comes_steadily_and_fades() {
        let mut load = Load::default();
        let mut total = 0;
        for _ in 0..60 {
            total += 50;
            load.advance(total, Duration::from_secs(10));
        }
        // 300 a minute for ten minutes: 1 - e^-10, 1 - e^-2 and 1 - e^-2/3 of it.
        let texts = load.per_minute.map(|rate| format!("{rate:.2}"));
        assert_eq!(texts, ["299.99", "259.40", "145.97"]);
        load.advance(total, Duration::ZERO);
        load.advance(total, Duration::from_secs(60));
        let texts = load.per_minute.map(|rate| format!("{rate:.2}"));
        assert_eq!(texts, ["110.36", "212.38", "136.56"]);
        // However long nobody asks, it is a number.
        load.advance(total, Duration::from_secs(1 << 32));
        let texts = load.per_minute.map(|rate| format!("{rate:.2}"));
        assert_eq!(texts, ["0.00"; 3]);
    }

    #[test]
    fn how_often_a_rate_is_computed_makes_no_difference_to_steady_traffic() {
        let (mut often, mut seldom) = (Load::default(), Load::default());
        for second in 1..=120 {
            often.advance(second, Duration::from_secs(1));
        }
        seldom.advance(120, Duration::from_secs(120));
        for (one, other) in often.per_minute.iter().zip(seldom.per_minute) {
            assert!((one - other).abs() < 1e-9, "{one} {other}");
        }
    }
}
