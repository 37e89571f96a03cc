//! An even rate, kept whatever the broker does.

/// When each message of several publishers is due: at even distances, one publisher after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Nanoseconds of the clock at the first message.
    start: u64,
    /// Messages per second of all publishers together.
    rate: u64,
    publishers: u64,
}

impl Pace {
    pub(crate) fn new(start: u64, rate: u64, publishers: usize) -> Self {
        Pace {
            start,
            rate,
            publishers: publishers as u64,
        }
    }

    /// When message `number` of a publisher is due, however late the one before it was. Latency counts from here: a broker
    /// that keeps a publisher waiting does not hide what the messages not sent meanwhile would have suffered.
    pub(crate) fn due(&self, publisher: usize, number: u64) -> u64 {
        let before = u128::from(number * self.publishers + publisher as u64);
        self.start + (before * 1_000_000_000 / u128::from(self.rate)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_take_turns_at_even_distances() {
        let pace = Pace::new(1000, 1_000_000, 2);
        assert_eq!(pace.due(0, 0), 1000);
        assert_eq!(pace.due(1, 0), 2000);
        assert_eq!(pace.due(0, 1), 3000);
        assert_eq!(pace.due(1, 1), 4000);
    }

    #[test]
    fn nothing_is_lost_in_rounding() {
        let pace = Pace::new(0, 3, 1);
        assert_eq!(pace.due(0, 1), 333_333_333);
        assert_eq!(pace.due(0, 3_000_000_000), 1_000_000_000_000_000_000);
    }
}
