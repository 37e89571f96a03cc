//! A simulator under test, a client for it, and packages to install.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// `root:root`.
pub(crate) const LOGIN: &str = "Authorization: Basic cm9vdDpyb290\r\n";

/// A scratch directory with a router's root in it.
pub(crate) struct Desk {
    scratch: tempfile::TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk {
            scratch: tempfile::tempdir().expect("there is a temporary directory"),
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch
            .path()
            .canonicalize()
            .expect("it was made")
            .join("root")
    }

    /// Writes a package to install from the command line.
    pub(crate) fn package(&self, name: &str, package: &Package) -> String {
        let path = self.scratch.path().join(name);
        fs::write(&path, package.tgz()).expect("the scratch directory is ours");
        path.to_str().expect("it is UTF-8").to_owned()
    }

    pub(crate) fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_simulator"));
        command
            .arg("--root")
            .arg(self.root())
            .args(options)
            .stdin(Stdio::null());
        command
    }

    /// Starts a simulator and waits until it serves.
    pub(crate) fn start(&self, options: &[&str]) -> Simulator {
        let errors = self.scratch.path().join("errors");
        let mut child = self
            .command(options)
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("the scratch directory is ours"))
            .spawn()
            .expect("the simulator was built");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout
            .read_line(&mut line)
            .expect("standard output can be read");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.strip_suffix("/\n"));
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            panic!(
                "{line:?} instead of an address: {}",
                fs::read_to_string(errors).unwrap_or_default()
            );
        };
        Simulator {
            child,
            address,
            root: self.root(),
            stdout,
        }
    }

    /// What the packages' scripts wrote down of their calls.
    pub(crate) fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root().join("opt/calls-data/calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn forget_calls(&self) {
        let _ = fs::remove_file(self.root().join("opt/calls-data/calls"));
    }
}

/// A running simulator.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) address: SocketAddr,
    root: PathBuf,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Simulator {
    /// Sends `bytes` as they are and reads to the end.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The simulator may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        Reply::read(stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the simulator listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("no zero");
        stream
    }

    /// GET with the router's login.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.get_with(path, LOGIN)
    }

    pub(crate) fn get_with(&self, path: &str, fields: &str) -> Reply {
        self.raw(
            format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n",
                self.address
            )
            .as_bytes(),
        )
    }

    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{LOGIN}Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// The token on the page of the router apps.
    pub(crate) fn token(&self) -> String {
        let page = self.get("/module.cgi").text();
        let (_, after) = page
            .split_once("name=\"token\" value=\"")
            .expect("the page has a token");
        after.split('"').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn upload(&self, package: &[u8]) -> Reply {
        self.upload_with(&self.token(), package)
    }

    pub(crate) fn upload_with(&self, token: &str, package: &[u8]) -> Reply {
        let mut body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\n{token}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.tgz\"\r\n\
             Content-Type: application/gzip\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(package);
        body.extend_from_slice(b"\r\n--B\r\nContent-Disposition: form-data; name=\"button\"\r\n\r\nAdd or Update\r\n--B--\r\n");
        self.post("/module.cgi", "multipart/form-data; boundary=B", &body)
    }

    pub(crate) fn delete(&self, token: &str, name: &str) -> Reply {
        let body = format!("token={token}&delete={name}");
        self.post(
            "/module.cgi",
            "application/x-www-form-urlencoded",
            body.as_bytes(),
        )
    }

    /// Waits until a line of the system log ends in `text`, and gives the line.
    pub(crate) fn log_line(&self, text: &str) -> String {
        let started = Instant::now();
        loop {
            let log = fs::read(self.root.join("var/log/messages")).unwrap_or_default();
            let log = String::from_utf8(log).expect("the log is UTF-8");
            if let Some(line) = log.lines().find(|line| line.ends_with(text)) {
                return line.to_owned();
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{text:?} is not in the log:\n{log}"
            );
            std::thread::yield_now();
        }
    }

    /// Ends it in order.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        kill_process(self.pid(), signal).expect("it runs");
        let status = self.child.wait().expect("it is ours");
        let mut rest = String::new();
        self.stdout
            .read_to_string(&mut rest)
            .expect("standard output can be read");
        assert_eq!(rest, "", "one line on standard output is all");
        status
    }

    /// Ends it as a power cut would.
    pub(crate) fn cut_power(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // After `end` there is nobody left, and the call does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the simulator answered.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(mut stream: TcpStream) -> Reply {
        let mut bytes = Vec::new();
        stream
            .read_to_end(&mut bytes)
            .expect("the connection is closed in order");
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("there is a head");
        let body = bytes.split_off(end + 4);
        let head = String::from_utf8(bytes).expect("the head is text");
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("there is a status");
        Reply { status, head, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the page is UTF-8")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name))
            .map(|(_, value)| value)
    }
}

/// A package in the making.
pub(crate) struct Package(tar::Builder<Vec<u8>>);

impl Package {
    pub(crate) fn empty() -> Package {
        Package(tar::Builder::new(Vec::new()))
    }

    /// A module whose scripts write down their calls, and whose page shows how it was called.
    pub(crate) fn module(name: &str, version: &str) -> Package {
        let script = |text: &str| {
            format!(
                "#!/bin/sh\nR=${{0%/opt/*}}\nmkdir -p \"$R/opt/calls-data\"\n{text} >>\"$R/opt/calls-data/calls\"\n"
            )
        };
        let note = |script_name: &str| {
            let prefix = "prefix=; [ \"$1\" != \"$R\" ] || prefix=root\n";
            script(&format!(
                "{prefix}echo \"{name} {version} {script_name} $prefix\""
            ))
        };
        let init = script(&format!(
            "echo \"Called with $*\"\necho \"{name} {version} init $*\""
        ));
        Package::empty()
            .file(
                &format!("{name}/etc/name"),
                0o644,
                &format!("Title of {name}\n"),
            )
            .file(
                &format!("{name}/etc/version"),
                0o644,
                &format!("{version} (2025-01-31)\n"),
            )
            .file(&format!("{name}/etc/init"), 0o755, &init)
            .file(&format!("{name}/etc/install"), 0o755, &note("install"))
            .file(&format!("{name}/etc/uninstall"), 0o755, &note("uninstall"))
            .file(&format!("{name}/bin/cgi"), 0o755, PROGRAM)
            .file(&format!("{name}/www/style.css"), 0o644, "p { color: red }")
            .link(&format!("{name}/www/index.cgi"), "../bin/cgi")
            .link(&format!("{name}/www/.htpasswd"), "/etc/htpasswd")
    }

    pub(crate) fn file(mut self, name: &str, mode: u32, text: &str) -> Package {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(text.len() as u64);
        self.0
            .append_data(&mut header, name, text.as_bytes())
            .expect("memory takes it");
        self
    }

    pub(crate) fn link(mut self, name: &str, target: &str) -> Package {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o777);
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        self.0
            .append_link(&mut header, name, target)
            .expect("memory takes it");
        self
    }

    pub(crate) fn tgz(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder
            .write_all(self.0.get_ref())
            .expect("memory takes it");
        // The end of the archive.
        encoder.write_all(&[0; 1024]).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }
}

/// Shows its name, directory, environment and body; what it does besides is asked for in the query.
const PROGRAM: &str = r#"#!/bin/sh
case $QUERY_STRING in
moved) printf 'Status: 303 See Other\r\nLocation: index.cgi?done\r\n\r\n'; exit ;;
silent) exit 3 ;;
broken) echo '<html>'; exit ;;
errors) echo 'a complaint' >&2 ;;
esac
printf 'Content-Type: text/plain\n\n'
echo "name=$0"
echo "directory=$(pwd)"
env
echo "body=$(cat)"
"#;

/// Whether the simulated root holds anything below this name.
pub(crate) fn holds(root: &Path, name: &str) -> bool {
    root.join(name).symlink_metadata().is_ok()
}
