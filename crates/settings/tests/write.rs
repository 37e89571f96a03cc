//! The settings file on disk is replaced whole, by one writer at a time, and only its owner can read it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use settings::{MAX_FILE_BYTES, Values, file};
use tempfile::TempDir;

fn scratch() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a scratch directory");
    let settings = directory.path().join("settings");
    (directory, settings)
}

fn with_port(port: &str) -> Values {
    let mut values = Values::defaults();
    values.set("PORT", port.into());
    values
}

fn read(path: &Path) -> Values {
    let bytes = file::read(path).expect("readable").expect("there");
    Values::parse(&bytes).expect("whole")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = directory.read_dir().expect("readable");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read() {
    let (directory, settings) = scratch();
    assert_eq!(file::read(&settings).expect("no error"), None);
    for port in ["1884", "1885"] {
        file::write(&settings, &with_port(port)).expect("written");
        assert_eq!(read(&settings), with_port(port));
        assert_eq!(names(directory.path()), ["settings"]);
    }
}

#[test]
fn a_relative_path_will_do() {
    // The working directory belongs to all tests: a path through it that needs no change of it.
    let (directory, settings) = scratch();
    let up = "../".repeat(std::env::current_dir().expect("there").components().count());
    let relative = Path::new(&up).join(settings.strip_prefix("/").expect("absolute"));
    file::write(&relative, &with_port("1884")).expect("written");
    assert_eq!(names(directory.path()), ["settings"]);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let (_directory, settings) = scratch();
    fs::write(&settings, vec![b'#'; MAX_FILE_BYTES]).expect("written");
    assert_eq!(
        file::read(&settings)
            .expect("just not too large")
            .map(|bytes| bytes.len()),
        Some(MAX_FILE_BYTES)
    );
    fs::write(&settings, vec![b'#'; MAX_FILE_BYTES + 1]).expect("written");
    assert_eq!(
        file::read(&settings).unwrap_err().kind(),
        ErrorKind::FileTooLarge
    );
    assert!(file::read(settings.parent().expect("a directory")).is_err());
}

/// Part of the next test, which runs it in a process of its own: the umask belongs to a process.
#[test]
fn writes_where_the_environment_says() {
    if let Some(path) = std::env::var_os("WRITE_SETTINGS_TO") {
        file::write(Path::new(&path), &with_port("1884")).expect("written");
    }
}

#[test]
fn nobody_else_can_read_it_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let (_directory, settings) = scratch();
        fs::write(&settings, "").expect("written");
        fs::set_permissions(&settings, PermissionsExt::from_mode(0o666)).expect("changed");
        let child = Command::new("sh")
            .args([
                "-c",
                "umask $1 && exec \"$2\" --exact writes_where_the_environment_says",
                "sh",
                umask,
            ])
            .arg(std::env::current_exe().expect("this program"))
            .env("WRITE_SETTINGS_TO", &settings)
            .output()
            .expect("sh runs");
        assert!(child.status.success(), "{child:?}");
        assert_eq!(
            fs::metadata(&settings).expect("there").mode() & 0o7777,
            0o600,
            "umask {umask}"
        );
        assert_eq!(read(&settings), with_port("1884"));
    }
}

#[test]
fn what_a_power_cut_left_behind_is_removed() {
    let (directory, settings) = scratch();
    let stale = format!(".settings.{}.tmp", "0f".repeat(16));
    let others = [
        ".settings.tmp".to_string(),
        "settings.tmp".to_string(),
        format!(".settings.{}.tmp", "0f".repeat(15)),
        format!(".settings.{}.tmp", "0g".repeat(16)),
        format!(".defaults.{}.tmp", "0f".repeat(16)),
    ];
    for name in others.iter().chain([&stale]) {
        fs::write(directory.path().join(name), "").expect("written");
    }
    file::write(&settings, &with_port("1884")).expect("written");
    let mut expected = [&others[..], &["settings".to_string()]].concat();
    expected.sort();
    assert_eq!(names(directory.path()), expected);
}

#[test]
fn a_link_stays_and_its_target_is_replaced() {
    let (directory, settings) = scratch();
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("made");
    let target = elsewhere.join("real");
    symlink("link", &settings).expect("linked");
    symlink(&target, directory.path().join("link")).expect("linked");
    // First the target is missing, then it is there.
    for port in ["1884", "1885"] {
        file::write(&settings, &with_port(port)).expect("written");
        assert_eq!(read(&settings), with_port(port));
        assert_eq!(names(&elsewhere), ["real"]);
        assert_eq!(names(directory.path()), ["elsewhere", "link", "settings"]);
        assert!(fs::symlink_metadata(&settings).expect("there").is_symlink());
    }
}

#[test]
fn a_circle_of_links_is_an_error() {
    let (directory, settings) = scratch();
    symlink("other", &settings).expect("linked");
    symlink("settings", directory.path().join("other")).expect("linked");
    assert!(file::write(&settings, &Values::defaults()).is_err());
    assert_eq!(names(directory.path()), ["other", "settings"]);
}

#[test]
fn what_can_not_be_stored_changes_nothing() {
    let (directory, settings) = scratch();
    file::write(&settings, &with_port("1884")).expect("written");
    let before = fs::metadata(&settings).expect("there").ino();
    let refused = |value: Vec<u8>| {
        let mut values = with_port("1885");
        values.set("PASSWORD", value);
        file::write(&settings, &values).unwrap_err().kind()
    };
    assert_eq!(refused(b"a\0b".to_vec()), ErrorKind::InvalidInput);
    assert_eq!(refused(vec![b'x'; MAX_FILE_BYTES]), ErrorKind::FileTooLarge);
    assert_eq!(fs::metadata(&settings).expect("there").ino(), before);
    assert_eq!(read(&settings), with_port("1884"));
    assert_eq!(names(directory.path()), ["settings"]);
}

#[test]
fn a_failure_leaves_no_temporary_file() {
    let (directory, settings) = scratch();
    // A directory can't be replaced by a file.
    fs::create_dir(&settings).expect("made");
    assert!(file::write(&settings, &Values::defaults()).is_err());
    assert_eq!(names(directory.path()), ["settings"]);
    assert!(file::write(Path::new("/"), &Values::defaults()).is_err());
    assert_eq!(
        file::write(&directory.path().join("no/settings"), &Values::defaults())
            .unwrap_err()
            .kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_writer_waits_for_the_other() {
    let (directory, settings) = scratch();
    let lock = file::lock(&settings).expect("locked");
    let (done, finished) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            file::write(&settings, &with_port("2")).expect("written");
            done.send(()).expect("somebody listens");
        });
        lock.write(&with_port("1")).expect("written");
        assert_eq!(read(&settings), with_port("1"));
        assert!(finished.try_recv().is_err(), "it did not wait");
        drop(lock);
        finished.recv().expect("it goes on");
    });
    assert_eq!(read(&settings), with_port("2"));
    assert_eq!(names(directory.path()), ["settings"]);
}

#[test]
fn no_change_is_lost_and_no_reader_sees_half_a_file() {
    const WRITERS: usize = 4;
    const CHANGES: usize = 25;
    let (directory, settings) = scratch();
    file::write(&settings, &with_port("0")).expect("written");
    let ready = AtomicBool::new(false);
    let count_one = || {
        let lock = file::lock(&settings).expect("locked");
        let mut values = read(&settings);
        let count: usize = str::from_utf8(values.get("PORT"))
            .expect("digits")
            .parse()
            .expect("a number");
        values.set("PORT", (count + 1).to_string().into_bytes());
        values.set("CERTIFICATE", vec![b'x'; 100_000 * (count % 2)]);
        lock.write(&values).expect("written");
    };
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !ready.load(Ordering::Relaxed) {
                let values = read(&settings);
                assert!([0, 100_000].contains(&values.get("CERTIFICATE").len()));
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| scope.spawn(|| (0..CHANGES).for_each(|_| count_one())))
            .collect();
        let written = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .all(|result| result.is_ok());
        ready.store(true, Ordering::Relaxed);
        assert!(written && reader.join().is_ok());
    });
    assert_eq!(
        read(&settings).get("PORT"),
        (WRITERS * CHANGES).to_string().as_bytes()
    );
    assert_eq!(names(directory.path()), ["settings"]);
}
