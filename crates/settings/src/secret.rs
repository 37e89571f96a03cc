//! A password or a key.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Bytes that are compared in constant time, wiped when dropped and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether `other` is this secret. The time taken depends on the length of `other` alone, not on the secret.
    pub fn matches(&self, other: &[u8]) -> bool {
        let same_length = self.0.len() == other.len();
        let against = if same_length { &self.0[..] } else { other };
        bool::from(against.ct_eq(other)) & same_length
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.matches(other.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_match() {
        let secret = Secret::new(b"12345".to_vec());
        assert!(secret.matches(b"12345"));
        for other in [&b""[..], b"1234", b"12346", b"123456", b"12345\0"] {
            assert!(!secret.matches(other), "{other:?}");
        }
        assert!(Secret::new(Vec::new()).matches(b""));
        assert!(!Secret::new(Vec::new()).matches(b"x"));
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(
            format!("{:?}", Secret::new(b"12345".to_vec())),
            "Secret(..)"
        );
    }
}
