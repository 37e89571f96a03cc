//! Replays the inputs that fuzzing has found, and mutations of them, through the checks of the fuzz targets.
//!
//! A corpus has one input a line, written as in a Rust byte string.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Checks each input as it is and in `mutations` ways of being a little different.
pub(crate) fn replay(corpus: &str, mutations: u32, check: fn(&[u8])) {
    let inputs = inputs(corpus);
    assert!(!inputs.is_empty());
    for (seed, input) in (0_u64..).zip(inputs) {
        let as_it_is = Just(input.clone()).prop_map(Input);
        run(&as_it_is, 1, seed, check);
        let mutated = vec(mutation(), 1..4).prop_map(move |mutations| {
            let mut bytes = input.clone();
            for mutation in &mutations {
                apply(&mut bytes, mutation);
            }
            Input(bytes)
        });
        run(&mutated, mutations, seed, check);
    }
}

/// The same inputs every time: nobody's build fails for what somebody else has to look for.
fn run(strategy: &impl Strategy<Value = Input>, cases: u32, seed: u64, check: fn(&[u8])) {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let seed = [seed; 4].map(u64::to_le_bytes);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed.as_flattened());
    let ran = TestRunner::new_with_rng(config, rng).run(strategy, |Input(bytes)| {
        check(&bytes);
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

/// Shown as it stands in a corpus.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The inputs of a corpus.
pub(crate) fn inputs(corpus: &str) -> Vec<Vec<u8>> {
    corpus.lines().map(unescape).collect()
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().expect("something follows a backslash") {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let mut digit = || {
                        let digit = rest.next().map(char::from);
                        digit.and_then(|digit| digit.to_digit(16)).expect("a digit") as u8
                    };
                    digit() << 4 | digit()
                }
                other => other,
            },
            other => other,
        });
    }
    bytes
}

/// A small change to some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Repeat(Index, Index),
}

pub(crate) fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(b"\0\x01\x7F\x80\xFF#+/$'\"\\%&=".to_vec()),
    ];
    prop_oneof![
        4 => (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        4 => (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        2 => (any::<Index>(), byte).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

pub(crate) fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    match mutation {
        Mutation::Set(at, byte) => bytes[at.index(len)] = *byte,
        Mutation::Flip(at, bit) => bytes[at.index(len)] ^= bit,
        Mutation::Insert(at, byte) => bytes.insert(at.index(len), *byte),
        Mutation::Remove(at) => drop(bytes.remove(at.index(len))),
        Mutation::Cut(at) => bytes.truncate(at.index(len)),
        Mutation::Repeat(from, to) => {
            let (from, to) = (from.index(len), to.index(len));
            bytes.extend_from_within(from.min(to)..from.max(to));
        }
    }
}
