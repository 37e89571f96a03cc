//! Percentiles of a great many values, in constant memory.

/// Values below this have a bucket of their own.
const EXACT: u64 = 256;
/// Buckets for each power of two above: a value is off by less than one part in so many.
const PARTS: usize = 128;

/// Counts of values by size; percentiles are right to 0.8 %.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Histogram {
            counts: vec![0; EXACT as usize + (64 - 8) * PARTS],
            total: 0,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
    }

    /// The smallest value that this part of all values does not exceed, none if there are no values.
    pub(crate) fn percentile(&self, part: f64) -> Option<u64> {
        let rank = ((part * self.total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map(upper)
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let power = 63 - value.leading_zeros();
    let part = (value >> (power - 7)) as usize & (PARTS - 1);
    EXACT as usize + (power as usize - 8) * PARTS + part
}

/// The largest value in a bucket.
fn upper(bucket: usize) -> u64 {
    let Some(above) = bucket.checked_sub(EXACT as usize) else {
        return bucket as u64;
    };
    let (power, part) = (above / PARTS + 8, (above % PARTS) as u64);
    let width = 1_u64 << (power - 7);
    (1_u64 << power) + part * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile(0.5), None);
        (1..=100).for_each(|value| histogram.add(value));
        assert_eq!(histogram.percentile(0.0), Some(1));
        assert_eq!(histogram.percentile(0.5), Some(50));
        assert_eq!(histogram.percentile(0.99), Some(99));
        assert_eq!(histogram.percentile(0.999), Some(100));
        assert_eq!(histogram.percentile(1.0), Some(100));
    }

    #[test]
    fn large_values_are_right_to_a_hundredth() {
        for value in [255, 256, 257, 511, 512, 12_345, 1_000_000, u64::MAX] {
            let mut histogram = Histogram::new();
            histogram.add(value);
            let found = histogram.percentile(0.5).unwrap();
            assert!(
                found >= value && found - value <= value / 100,
                "{value}: {found}"
            );
        }
    }

    #[test]
    fn a_rare_value_is_in_the_tail_alone() {
        let mut histogram = Histogram::new();
        (0..999).for_each(|_| histogram.add(10));
        histogram.add(1_000_000);
        assert_eq!(histogram.percentile(0.999), Some(10));
        assert!(histogram.percentile(0.9991).unwrap() >= 1_000_000);
    }
}
