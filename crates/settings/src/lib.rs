//! The one definition of every setting: file format, form fields, validation.
//!
//! [`FIELDS`] is the table that everything else here follows. A settings file becomes [`Values`] (what is written, byte for
//! byte), and `Values` become [`Settings`] (legal by construction) or a list of [`Problem`]s: all of them at once, each with
//! its field and a sentence in plain words.
//!
//! ```
//! let file = b"MOD_MQTT_BROKER_ENABLED='1'\nMOD_MQTT_BROKER_PORT='70000'\n";
//! let problems = settings::Settings::parse(file).unwrap_err();
//! assert_eq!(problems[0].key, Some("PORT"));
//! assert_eq!(problems[0].message, "Port must be a whole number from 1 to 65535; you entered \"70000\".");
//! ```
#![forbid(unsafe_code)]

pub mod file;
pub mod form;
mod judge;
mod line;
mod problem;
mod secret;
mod settings;
mod table;
mod validation;
mod values;
mod warnings;

pub use problem::Problem;
pub use secret::Secret;
pub use settings::{Authentication, Drops, LogLevel, Settings, Tls};
pub use table::{Choice, Condition, FIELDS, Field, Kind, field};
pub use values::Values;

/// What every key of the settings file begins with.
pub const PREFIX: &str = "MOD_MQTT_BROKER_";

/// The largest settings file that is read or written, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
