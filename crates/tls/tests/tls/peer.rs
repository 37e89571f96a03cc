//! Other people's programs as clients.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `program` with these words in a directory, `input` on its standard input, for half a minute at most. Returns
/// whether it was content, and all it said.
pub(crate) fn run(directory: &Path, program: &str, words: &str, input: &str) -> (bool, String) {
    let mut child = Command::new("timeout")
        .args(["30", program])
        .args(words.split_whitespace().map(|word| word.replace('^', " ")))
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_ne!(output.status.code(), Some(124), "{program} {words}: {said}");
    assert_ne!(
        output.status.code(),
        Some(127),
        "{program} is not installed"
    );
    (output.status.success(), said)
}

/// `openssl s_client` says a line and waits for the end.
pub(crate) fn s_client(directory: &Path, port: u16, words: &str) -> (bool, String) {
    let words = format!("s_client -connect 127.0.0.1:{port} -ign_eof {words}");
    run(directory, "openssl", &words, "hello\n")
}

/// `mosquitto_pub` publishes something.
pub(crate) fn mosquitto_pub(directory: &Path, port: u16, words: &str) -> (bool, String) {
    let words = format!("-p {port} -t topic -m 54 {words}");
    run(directory, "mosquitto_pub", &words, "")
}
