//! How messages are printed.

/// How messages are printed.
#[derive(Debug, PartialEq)]
pub struct Output {
    /// What of a message is printed.
    pub layout: Layout,
    /// A newline follows each message; not with `-N`.
    pub newline: bool,
    /// JSON is indented (`--pretty`).
    pub pretty: bool,
}

/// What of a message is printed.
#[derive(Debug, PartialEq)]
pub enum Layout {
    /// The payload.
    Payload,
    /// Topic and payload (`-v`).
    Verbose,
}
