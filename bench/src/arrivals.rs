//! What has arrived at one subscriber: everything, once, in order, unchanged?

use std::ops::Range;

/// What is wrong with an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It was there already.
    Doubled,
    /// A later one of its publisher was there first.
    Reordered,
    /// Its publisher's messages are not for this subscriber.
    Stranger,
}

/// The messages of one publisher.
#[derive(Debug, Default)]
struct Stream {
    /// The number that is expected.
    next: u64,
    /// Numbers below that have not come.
    gaps: Vec<Range<u64>>,
}

/// The messages of all publishers whose topics a subscriber subscribed to.
#[derive(Debug)]
pub(crate) struct Arrivals {
    first: u32,
    streams: Vec<Stream>,
}

impl Arrivals {
    /// Of these publishers.
    pub(crate) fn new(publishers: &Range<usize>) -> Self {
        Arrivals {
            first: publishers.start as u32,
            streams: publishers.clone().map(|_| Stream::default()).collect(),
        }
    }

    /// Notes an arrival.
    ///
    /// # Errors
    /// What is wrong with it.
    #[inline]
    pub(crate) fn take(&mut self, publisher: u32, number: u64) -> Result<(), Fault> {
        let stream = publisher.checked_sub(self.first);
        let stream = stream.and_then(|index| self.streams.get_mut(index as usize));
        let stream = stream.ok_or(Fault::Stranger)?;
        if number == stream.next {
            stream.next += 1;
            return Ok(());
        }
        stream.unexpected(number)
    }

    /// Whose messages they are.
    pub(crate) fn publishers(&self) -> Range<usize> {
        self.first as usize..self.first as usize + self.streams.len()
    }

    /// One more than the last number that has come from this publisher.
    pub(crate) fn next(&self, publisher: usize) -> u64 {
        self.streams[publisher - self.first as usize].next
    }

    /// How many messages are missing when each publisher has sent so many.
    pub(crate) fn missing(&self, sent: impl Fn(usize) -> u64) -> u64 {
        let missing = |(index, stream): (usize, &Stream)| {
            let gaps: u64 = stream.gaps.iter().map(|gap| gap.end - gap.start).sum();
            gaps + sent(self.first as usize + index).saturating_sub(stream.next)
        };
        self.streams.iter().enumerate().map(missing).sum()
    }
}

impl Stream {
    #[cold]
    fn unexpected(&mut self, number: u64) -> Result<(), Fault> {
        if number > self.next {
            // Those between are lost, unless they come yet.
            self.gaps.push(self.next..number);
            self.next = number + 1;
            return Ok(());
        }
        let gap = self.gaps.iter().position(|gap| gap.contains(&number));
        let Some(index) = gap else {
            return Err(Fault::Doubled);
        };
        let gap = self.gaps.swap_remove(index);
        let parts = [gap.start..number, number + 1..gap.end];
        self.gaps
            .extend(parts.into_iter().filter(|part| !part.is_empty()));
        Err(Fault::Reordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u64]) -> (Arrivals, Vec<Fault>) {
        let mut arrivals = Arrivals::new(&(5..6));
        let faults = numbers
            .iter()
            .filter_map(|&number| arrivals.take(5, number).err())
            .collect();
        (arrivals, faults)
    }

    #[test]
    fn all_is_well() {
        let (arrivals, faults) = arrivals(&[0, 1, 2, 3]);
        assert_eq!(faults, []);
        assert_eq!(arrivals.missing(|_| 4), 0);
        assert_eq!(arrivals.next(5), 4);
    }

    #[test]
    fn a_lost_one_is_found() {
        let (arrivals, faults) = arrivals(&[0, 1, 3]);
        assert_eq!(faults, []);
        assert_eq!(arrivals.missing(|_| 4), 1);
        // And one at the end.
        assert_eq!(arrivals.missing(|_| 5), 2);
    }

    #[test]
    fn a_doubled_one_is_found() {
        let (arrivals, faults) = arrivals(&[0, 1, 1, 2, 0]);
        assert_eq!(faults, [Fault::Doubled, Fault::Doubled]);
        assert_eq!(arrivals.missing(|_| 3), 0);
    }

    #[test]
    fn a_reordered_one_is_found_and_not_lost() {
        let (arrivals, faults) = arrivals(&[0, 4, 2, 2, 1, 3]);
        let expected = [
            Fault::Reordered,
            Fault::Doubled,
            Fault::Reordered,
            Fault::Reordered,
        ];
        assert_eq!(faults, expected);
        assert_eq!(arrivals.missing(|_| 5), 0);
    }

    #[test]
    fn a_stranger_is_found() {
        let mut arrivals = Arrivals::new(&(5..7));
        assert_eq!(arrivals.take(4, 0), Err(Fault::Stranger));
        assert_eq!(arrivals.take(7, 0), Err(Fault::Stranger));
        assert_eq!(arrivals.take(6, 0), Ok(()));
        assert_eq!(arrivals.missing(|publisher| publisher as u64), 5 + 5);
    }
}
