//! Why a run gives no figures.

use std::{fmt, io};

/// In words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

/// What a step of a run gives.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Failure {
        Failure(words.to_owned())
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Failure {
        Failure(words)
    }
}

macro_rules! from_errors {
    ($($error:ty)*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure(error.to_string())
            }
        })*
    };
}

from_errors! {
    io::Error
    rustix::io::Errno
    mqtt::DecodeError
    mqtt::EncodeError
    mqtt::TopicError
    openssl::error::ErrorStack
    openssl::ssl::Error
}
