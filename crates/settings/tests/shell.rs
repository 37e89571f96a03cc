//! A shell that sources the settings file, as the firmware may do as root, gets the encoded one-line text of every value and
//! executes nothing.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use settings::{PREFIX, Values, file};
use tempfile::TempDir;

/// Every one of these would leave a file named `executed`, or stop the shell, if it were executed.
const HOSTILE: &[&str] = &[
    "$(>executed)",
    "`>executed`",
    "\n>executed\n",
    ";>executed;",
    " && >executed ",
    " || >executed ",
    "|>executed",
    "&>executed&",
    "'>executed'",
    "';>executed;'",
    "'\n>executed\n'",
    "\\'\n>executed\n\\'",
    "'\\''>executed'\\''",
    "\"$(>executed)\"",
    "'$(>executed)'",
    "\\n>executed\\n",
    "\r\n>executed\r\n",
    "${X:-$(>executed)}",
    "$((X=1))",
    "${X?}",
    "\nexit 3\n",
    "';exit 3;'",
    "\nexec 1>&-\n",
    "#",
    " # ",
    "'",
    "\"",
    "\\",
    "\\\\",
    "\\n",
    "\n",
    "\r",
    "\t",
    " ",
    "~",
    "*",
    "?",
    "!",
    "!!",
    "$",
    "$$",
    "=",
    "<<EOF\n",
    "}",
    "{",
    ")",
    "(",
    "\u{7f}",
    "\u{1b}[2J",
    "häuschen",
    "\u{2028}",
    "😀",
];

fn shells() -> Vec<Vec<&'static str>> {
    let mut shells = vec![vec!["dash"]];
    match Command::new("busybox").args(["ash", "-c", ":"]).output() {
        Ok(output) if output.status.success() => shells.push(vec!["busybox", "ash"]),
        _ if std::env::var_os("CI").is_some() => {
            panic!("busybox with ash is missing: apt-get install busybox")
        }
        _ => println!("skipped: busybox with ash is missing (apt-get install busybox)"),
    }
    shells
}

/// Has `shell` source the file and print every key that `values` has, each with a NUL byte behind it.
fn source(shell: &[&str], settings: &Path, values: &Values) -> Output {
    let mut script = ". \"$1\" || exit 4\n".to_string();
    for (key, _) in values.iter() {
        script += &format!("printf '%s\\0' \"${PREFIX}{key}\"\n");
    }
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &script, "sh"])
        .arg(settings)
        .current_dir(settings.parent().expect("an absolute path"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output();
    match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{} is missing: apt-get install {0}", shell[0])
        }
        output => output.expect("the shell runs"),
    }
}

/// What the shell must get: line breaks and backslashes are encoded, and that is all.
fn one_line(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in value {
        match byte {
            b'\n' => text.extend(b"\\n"),
            b'\\' => text.extend(b"\\\\"),
            _ => text.push(byte),
        }
    }
    text
}

fn check(shell: &[&str], values: &Values) {
    let directory = TempDir::new().expect("a scratch directory");
    let settings = directory.path().join("settings");
    file::write(&settings, values).expect("written");
    let output = source(shell, &settings, values);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{shell:?}: {} {complaint}",
        output.status
    );
    let expected: Vec<u8> = values
        .iter()
        .flat_map(|(_, value)| [one_line(value), vec![0]].concat())
        .collect();
    assert!(
        output.stdout == expected,
        "{shell:?} got other values than {values:?}"
    );
    let files: Vec<_> = directory
        .path()
        .read_dir()
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(files, ["settings"], "{shell:?} executed something");
}

fn with(value: &[u8]) -> Values {
    let mut values = Values::defaults();
    for key in ["USERNAME", "PASSWORD", "CERTIFICATE", "LATER"] {
        values.set(key, value.to_vec());
    }
    values
}

#[test]
fn defaults_are_sourced() {
    for shell in shells() {
        check(&shell, &Values::defaults());
    }
}

#[test]
fn each_hostile_value_is_harmless() {
    for shell in shells() {
        for hostile in HOSTILE {
            check(&shell, &with(hostile.as_bytes()));
        }
    }
}

#[test]
fn every_byte_is_harmless() {
    let bytes: Vec<u8> = (1..=255).collect();
    let reversed: Vec<u8> = (1..=255).rev().collect();
    for shell in shells() {
        check(&shell, &with(&bytes));
        check(&shell, &with(&reversed));
    }
}

#[test]
fn a_mebibyte_is_harmless() {
    for shell in shells() {
        let mut values = Values::defaults();
        values.set(
            "CERTIFICATE",
            HOSTILE
                .concat()
                .into_bytes()
                .into_iter()
                .cycle()
                .take(1 << 20)
                .collect(),
        );
        check(&shell, &values);
    }
}

#[test]
fn any_mixture_is_harmless() {
    let piece = prop_oneof![
        3 => proptest::sample::select(HOSTILE).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(1u8..=255, 0..8),
    ];
    let values = vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    for shell in shells() {
        // Every case is a process.
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 100,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        runner
            .run(&values, |value| {
                check(&shell, &with(&value));
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{shell:?}: {error}"));
    }
}

/// The proof that the proof works: something that is executed does leave its trace.
#[test]
fn an_execution_would_be_noticed() {
    for shell in shells() {
        for line in [
            "X=$(>executed)",
            "X=`>executed`",
            "X=;>executed",
            "X='\\'>executed''",
        ] {
            let directory = TempDir::new().expect("a scratch directory");
            let settings = directory.path().join("settings");
            std::fs::write(&settings, line).expect("written");
            source(&shell, &settings, &Values::defaults());
            assert!(
                directory.path().join("executed").exists(),
                "{shell:?} {line}"
            );
        }
    }
}
