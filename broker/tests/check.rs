//! What the program answers about a settings file and about itself.
#![forbid(unsafe_code)]
// What the tests share is theirs, though it lies outside of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const VALID: &str = "MOD_MQTT_BROKER_ENABLED='1'\nMOD_MQTT_BROKER_PORT='1884'\n";
const INVALID: &str =
    "MOD_MQTT_BROKER_ENABLED='1'\nMOD_MQTT_BROKER_PORT='0'\nMOD_MQTT_BROKER_MAX_QOS='3'\n";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("settings");
        fs::write(&path, text).unwrap();
        path
    }

    fn missing(&self) -> PathBuf {
        self.0.path().join("missing")
    }
}

fn broker() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mqtt_broker"))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// `--check -` with something on standard input.
fn check_input(input: &[u8], options: &[&str]) -> Output {
    let mut command = broker();
    command.args(["--check", "-"]).args(options);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It need not read to the end of what is too much.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn valid() {
    let desk = Desk::new();
    let output = broker()
        .arg("--check")
        .arg(desk.file(VALID))
        .output()
        .unwrap();
    assert_eq!(code(&output), 0);
    assert!(
        text(&output)
            .lines()
            .all(|line| line.starts_with("warning: "))
    );
    assert_eq!(code(&check_input(VALID.as_bytes(), &[])), 0);
    assert_eq!(code(&check_input(b"", &[])), 0);
}

#[test]
fn invalid() {
    let desk = Desk::new();
    let output = broker()
        .arg("--check")
        .arg(desk.file(INVALID))
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    let errors: Vec<String> = text(&output).lines().map(str::to_owned).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].starts_with("error: Port must be "), "{errors:?}");
    assert_eq!(code(&check_input(INVALID.as_bytes(), &[])), 1);
}

#[test]
fn invalid_in_json() {
    let output = check_input(INVALID.as_bytes(), &["--json"]);
    assert_eq!(code(&output), 1);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["errors"][0]["key"], "PORT");
    assert_eq!(json["errors"][0]["label"], "Port");
    assert_eq!(json["errors"][1]["key"], "MAX_QOS");
    assert_eq!(json["warnings"], serde_json::json!([]));
}

#[test]
fn unreadable() {
    let desk = Desk::new();
    for file in [desk.missing(), desk.0.path().to_path_buf()] {
        let output = broker().arg("--check").arg(&file).output().unwrap();
        assert_eq!(code(&output), 2);
        assert!(
            text(&output).starts_with("error: The settings cannot be read: "),
            "{}",
            text(&output)
        );
        let output = broker()
            .args(["--json", "--check"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(code(&output), 2);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = &json["errors"][0];
        assert!(error["key"].is_null() && error["label"].is_null() && error["message"].is_string());
    }
}

#[test]
fn hostile_input() {
    for input in [
        &b"\xff\xfe\x00"[..],
        b"MOD_MQTT_BROKER_PORT='\n",
        &[b'x'; 5 << 20],
        b"\x1b[2J\n",
    ] {
        let output = check_input(input, &[]);
        assert_eq!(code(&output), 1);
        let text = text(&output);
        assert!(
            text.lines().all(|line| line.starts_with("error: ")),
            "{text}"
        );
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text}");
    }
}

#[test]
fn enabled() {
    let desk = Desk::new();
    let enabled = |file: PathBuf| code(&broker().arg("--enabled").arg(file).output().unwrap());
    assert_eq!(enabled(desk.file(VALID)), 0);
    assert_eq!(enabled(desk.file("")), 1);
    assert_eq!(enabled(desk.missing()), 1);
    assert_eq!(
        enabled(desk.file("MOD_MQTT_BROKER_ENABLED='0'\nMOD_MQTT_BROKER_PORT='0'\n")),
        1
    );
    assert_eq!(enabled(desk.file(INVALID)), 2);
    assert_eq!(enabled(desk.file("MOD_MQTT_BROKER_ENABLED='\n")), 2);
    assert_eq!(enabled(desk.0.path().to_path_buf()), 2);
}

#[test]
fn about_itself() {
    let output = broker().arg("--version").output().unwrap();
    assert_eq!(code(&output), 0);
    let start = format!("mqtt_broker {}, OpenSSL ", env!("CARGO_PKG_VERSION"));
    let line = text(&output);
    assert!(
        line.starts_with(&start) && line.lines().count() == 1,
        "{line}"
    );
    let output = broker().arg("--help").output().unwrap();
    assert_eq!(code(&output), 0);
    let lines = text(&output);
    assert!(
        lines.contains("--supervise") && lines.lines().all(|line| line.len() <= 80),
        "{lines}"
    );
}

#[test]
fn misuse() {
    for arguments in [
        &["--frobnicate"][..],
        &[],
        &["--json", "settings"],
        &["--check"],
        &["settings"],
    ] {
        let output = broker().args(arguments).output().unwrap();
        assert_eq!(code(&output), 64, "{arguments:?}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.starts_with("mqtt_broker: "), "{complaint}");
        assert_eq!(complaint.lines().count(), 1);
    }
}

#[test]
fn nobody_reads_the_answer() {
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = broker().arg("--help").stdout(full).output().unwrap();
    assert_eq!(code(&output), 1);
}
