//! The brokers that are compared, and how each is started.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use crate::failure::{Failure, Result};
use crate::machine::{self, Cores};
use crate::process::Processes;
use crate::secret::{IDENTITY, KEY, Secrets, Transport};

/// A broker to measure.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// What the columns say.
    pub(crate) name: String,
    /// Its command line, with {port} and the like to be filled in.
    command: String,
}

/// What a scenario asks of a broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Demand {
    pub(crate) transport: Transport,
    /// The limits that it comes with; otherwise none of queues and the like.
    pub(crate) default_limits: bool,
    /// No limit of messages in flight either, which is 20 by default.
    pub(crate) wide: bool,
}

/// What a command may name in braces.
pub(crate) const PLACEHOLDERS: &str = "\
  {port}      the port to listen on, at 127.0.0.1
  {directory} a directory of its own, empty but for the files below
  {settings}  settings as our broker has them, with the port and what the scenario needs
  {mosquitto} a configuration of Mosquitto's to the same effect";

impl Candidate {
    /// Our broker.
    pub(crate) fn ours(program: &Path) -> Candidate {
        Candidate {
            name: "ours".into(),
            command: format!("{} --root {{directory}} {{settings}}", program.display()),
        }
    }

    /// Debian's Mosquitto, if it is installed.
    pub(crate) fn mosquitto() -> Option<Candidate> {
        let programs = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];
        let program = programs.into_iter().find(|path| Path::new(path).exists())?;
        Some(Candidate {
            name: "mosquitto".into(),
            command: format!("{program} -c {{mosquitto}}"),
        })
    }

    /// Any other command. What stands before a `=` is its name.
    pub(crate) fn other(command: &str) -> Candidate {
        let named = command.split_once('=').filter(|(name, _)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let (name, command) = named.unwrap_or_else(|| {
            let program = command.split_whitespace().next().unwrap_or_default();
            (program.rsplit('/').next().unwrap_or_default(), command)
        });
        Candidate {
            name: name.into(),
            command: command.into(),
        }
    }

    /// The same under another program, which the command is given to.
    pub(crate) fn below(&self, program: &str) -> Candidate {
        Candidate {
            name: self.name.clone(),
            command: format!("{program} {}", self.command),
        }
    }

    /// Whether it can be told of TLS.
    pub(crate) fn can(&self, demand: Demand) -> bool {
        demand.transport == Transport::Plain
            || self.command.contains("{settings}")
            || self.command.contains("{mosquitto}")
    }

    /// Starts it on its core and waits until it listens.
    pub(crate) fn start(&self, demand: Demand, secrets: &Secrets, cores: Cores) -> Result<Running> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("bench-{}-{serial}", std::process::id()));
        let directory = Directory::new(directory)?;
        let port = free_port()?;
        let settings = directory.0.join("settings");
        fs::write(&settings, settings_text(port, demand, secrets)?)?;
        let configuration = directory.0.join("mosquitto.conf");
        let text = mosquitto_text(port, demand, secrets, &directory.0)?;
        fs::write(&configuration, text)?;
        let mut words = self.command.split_whitespace().map(|word| {
            word.replace("{port}", &port.to_string())
                .replace("{directory}", &directory.0.to_string_lossy())
                .replace("{settings}", &settings.to_string_lossy())
                .replace("{mosquitto}", &configuration.to_string_lossy())
        });
        let program = words.next().ok_or("an empty command")?;
        let log = fs::File::create(directory.0.join("log"))?;
        let mut command = Command::new(&program);
        command.args(words).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        machine::pin(cores.broker)?;
        let child = command.spawn();
        machine::pin(cores.generator)?;
        let child = child.map_err(|error| format!("{program} does not start: {error}"))?;
        let mut running = Running {
            child,
            port,
            directory,
        };
        running.await_port()?;
        Ok(running)
    }
}

/// A broker that runs; it is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
    directory: Directory,
}

impl Running {
    fn await_port(&mut self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > until {
                return Err(format!("the broker does not listen: {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What it has written to its standard output and error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.0.join("log")).unwrap_or_default()
    }

    /// Its processes, as they are now.
    pub(crate) fn processes(&self) -> Result<Processes> {
        Processes::of(self.child.id())
    }

    /// Ends it as its owner would, and waits for that.
    pub(crate) fn end(&mut self) -> Result<()> {
        if let Some(process) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        }
        let until = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                return Err("the broker does not end".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new(path: PathBuf) -> Result<Directory> {
        // Where our broker looks for its sockets.
        fs::create_dir_all(path.join("var/run"))?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Our settings: no logging but of errors, and no limits, or the defaults.
fn settings_text(port: u16, demand: Demand, secrets: &Secrets) -> Result<String> {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let value = value.replace('\n', "\\n");
        let _ = writeln!(text, "MOD_MQTT_BROKER_{key}='{value}'");
    };
    line("ENABLED", "1");
    line("PORT", &port.to_string());
    line("BIND", "127.0.0.1");
    // Otherwise each round would measure this limit.
    line("CONNECT_RATE", "0");
    if !demand.default_limits {
        let unlimited = [
            "MAX_CLIENTS",
            "MAX_QUEUED_MESSAGES",
            "MAX_QUEUED_BYTES",
            "MAX_RETAINED",
            "MAX_SUBSCRIPTIONS",
        ];
        for key in unlimited {
            line(key, "0");
        }
        line("MAX_MEMORY", &u32::MAX.to_string());
        line("MAX_RETAINED_BYTES", &u32::MAX.to_string());
    }
    if demand.wide {
        line("MAX_INFLIGHT", "0");
    }
    match demand.transport {
        Transport::Plain => {}
        Transport::Certificate => {
            let certificate = String::from_utf8_lossy(&secrets.certificate()?).into_owned();
            line("TLS", "certificate");
            line("CA_CERTIFICATES", &certificate);
            line("CERTIFICATE", &certificate);
            line("PRIVATE_KEY", &String::from_utf8_lossy(&secrets.key()?));
        }
        Transport::Psk => {
            line("TLS", "psk");
            line("PSK_IDENTITY", IDENTITY);
            line("PSK_KEY", KEY);
        }
    }
    Ok(text)
}

/// Mosquitto's to the same effect. In flight it has 20 by default, as ours.
fn mosquitto_text(
    port: u16,
    demand: Demand,
    secrets: &Secrets,
    directory: &Path,
) -> Result<String> {
    let mut text = format!(
        "user root\npersistence false\nlog_dest none\nset_tcp_nodelay true\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
    );
    if !demand.default_limits {
        text.push_str("max_queued_messages 0\n");
    }
    if demand.wide {
        text.push_str("max_inflight_messages 0\n");
    }
    let file = |name: &str, content: &[u8]| -> Result<String> {
        let path = directory.join(name);
        fs::write(&path, content)?;
        Ok(path.to_string_lossy().into_owned())
    };
    match demand.transport {
        Transport::Plain => {}
        Transport::Certificate => {
            let certificate = file("certificate.pem", &secrets.certificate()?)?;
            let key = file("key.pem", &secrets.key()?)?;
            let _ = writeln!(text, "certfile {certificate}\nkeyfile {key}");
        }
        Transport::Psk => {
            let keys = file("psk", format!("{IDENTITY}:{KEY}\n").as_bytes())?;
            let _ = writeln!(text, "psk_hint bench\npsk_file {keys}");
        }
    }
    Ok(text)
}

impl From<std::num::ParseIntError> for Failure {
    fn from(error: std::num::ParseIntError) -> Failure {
        error.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_commands_have_names() {
        let name = |command| Candidate::other(command).name;
        assert_eq!(name("/usr/bin/flashmq --port {port}"), "flashmq");
        assert_eq!(
            name("before=/tmp/mqtt_broker --root {directory} {settings}"),
            "before"
        );
        assert_eq!(name("flashmq --port={port}"), "flashmq");
    }

    #[test]
    fn tls_needs_a_file_to_say_so() {
        let tls = Demand {
            transport: Transport::Psk,
            ..Demand::default()
        };
        let plain = Candidate::other("x {port}");
        assert!(plain.can(Demand::default()) && !plain.can(tls));
        assert!(Candidate::ours(Path::new("x")).can(tls));
    }

    #[test]
    fn settings_are_one_line_each() {
        let secrets = Secrets::new().unwrap();
        let demand = Demand {
            transport: Transport::Certificate,
            default_limits: true,
            wide: true,
        };
        let text = settings_text(1883, demand, &secrets).unwrap();
        assert!(
            text.lines()
                .all(|line| line.starts_with("MOD_MQTT_BROKER_") && line.ends_with('\'')),
            "{text}"
        );
    }
}
