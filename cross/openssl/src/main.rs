//! Builds the static OpenSSL of the packages, once for each processor:
//!
//! ```sh
//! openssl-build TARGET CC AR DIRECTORY
//! ```
//!
//! prints the directory below DIRECTORY that `OPENSSL_DIR` is to name, and builds only if there is none yet. Its name
//! is made of all that the build depends on: cargo sees another directory, and links anew, when any of it has changed.
//!
//! The sources are those of the crate `openssl-src`; Cargo.toml states the version, and Cargo.lock what they hash to.
//! Its own way to build them is not taken: it leaves the build directory's path in the program, and cannot be told
//! what to leave out.
#![forbid(unsafe_code)]

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, thread};

/// What `./Configure` is told besides. An option that this version of OpenSSL does not know ends the build.
const OPTIONS: &[&str] = &[
    // Libraries to link, and nothing that is loaded, started or read at run time.
    "no-shared no-pic no-module no-dso no-apps no-docs no-tests no-async no-autoload-config no-thread-pool no-ktls",
    "no-ui-console no-secure-memory",
    // TLS 1.2 and 1.3 over TCP.
    "no-tls1 no-tls1_1 no-dtls no-srtp no-sctp no-quic no-ech no-comp no-srp",
    // Certificates are verified; none are issued, stamped, looked up or wrapped in mail.
    "no-cmp no-cms no-ts no-ct no-ocsp no-http no-rfc3779",
    // Algorithms that no TLS client of ours or of others needs. DES stays: triple DES encrypts keys of old clients.
    "no-legacy no-aria no-bf no-camellia no-cast no-idea no-md4 no-mdc2 no-rc2 no-rc4 no-rmd160 no-seed no-whirlpool",
    "no-sm2 no-sm3 no-sm4 no-siphash no-scrypt no-blake2 no-argon2 no-ocb no-siv no-ec2m",
    "no-ml-dsa no-ml-kem no-slh-dsa",
    // It encrypts several records at once, for which a connection has no room (`CHANGE`).
    "no-multiblock",
    // The same on every machine. Nothing is ever installed there, but programs tell it when asked, and the system's
    // certificates are looked for in /etc/ssl/certs.
    "--prefix=/usr --libdir=lib --openssldir=/etc/ssl",
];

/// Small, and in parts of which the linker takes what is used. Rust's programs for 32-bit ARM lie at a fixed address,
/// where -fPIE, let alone OpenSSL's own -fPIC, would cost 8 % for nothing; the others lie anywhere.
const FIXED: &str = "CFLAGS=-Wall -Os -ffunction-sections -fdata-sections -fno-pie";
const ANYWHERE: &str = "CFLAGS=-Wall -Os -ffunction-sections -fdata-sections -fPIE";

/// The one line of OpenSSL that is changed. Every connection keeps room for that many records in each direction, two thirds of
/// all its memory; but more than one at a time is read or written only with encryption hardware of a kind that no router
/// has, and only if the program asks for it (SSL_CTX_set_max_pipelines).
const CHANGE: Change = Change {
    file: "include/openssl/ssl.h.in",
    from: "#define SSL_MAX_PIPELINES 32\n",
    to: "#define SSL_MAX_PIPELINES 1 /* changed for MQTT Broker: 32 in OpenSSL */\n",
};

#[derive(Hash)]
struct Change {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

/// What a developer may have set for builds of his own.
const FOREIGN: &[&str] = &[
    "CFLAGS",
    "CPPFLAGS",
    "CXXFLAGS",
    "LDFLAGS",
    "LDLIBS",
    "CROSS_COMPILE",
    "OPENSSL_LOCAL_CONFIG_DIR",
    // make's own: our caller's choice of jobs is not meant for this.
    "MAKEFLAGS",
    "MFLAGS",
    "GNUMAKEFLAGS",
    "MAKELEVEL",
];

struct Build {
    target: String,
    compiler: String,
    archiver: String,
    directory: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let Ok([target, compiler, archiver, directory]) = <[String; 4]>::try_from(words) else {
        eprintln!("usage: openssl-build TARGET CC AR DIRECTORY");
        return ExitCode::FAILURE;
    };
    let build = Build {
        directory: Path::new(&directory).join(&target),
        target,
        compiler,
        archiver,
    };
    match build.have() {
        Ok(built) => {
            println!("{}", built.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("OpenSSL for {} cannot be built: {error}", build.target);
            ExitCode::FAILURE
        }
    }
}

impl Build {
    /// Where it is, once it is there.
    fn have(&self) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.directory)?;
        // Two builds at a time would share a directory.
        let lock = File::create(self.directory.join("lock"))?;
        lock.lock()?;
        let name = self.name()?;
        let built = self.directory.join(&name);
        if !built.exists() {
            self.clear()?;
            eprintln!(
                "building OpenSSL {} for {}, once; it takes some minutes",
                version(),
                self.target
            );
            self.build(&self.directory.join("work"), &built)?;
            fs::remove_dir_all(self.directory.join("work"))?;
        }
        Ok(built)
    }

    /// The version, and a number that differs when anything differs.
    fn name(&self) -> io::Result<String> {
        let asked = Command::new(&self.compiler).arg("--version").output()?;
        let mut hasher = DefaultHasher::new();
        (
            openssl_src::version(),
            self.options()?,
            CHANGE,
            &self.compiler,
            asked.stdout,
        )
            .hash(&mut hasher);
        Ok(format!("{}-{:016x}", version(), hasher.finish()))
    }

    /// OpenSSL's word for the target, and all else that `./Configure` is told.
    fn options(&self) -> io::Result<Vec<&'static str>> {
        let (platform, flags) = match self.target.split('-').next().unwrap_or_default() {
            "x86_64" => ("linux-x86_64", ANYWHERE),
            "aarch64" => ("linux-aarch64", ANYWHERE),
            arm if arm.starts_with("arm") => ("linux-armv4", FIXED),
            _ => return Err(io::Error::other("cross/openssl knows no such processor")),
        };
        let mut options = vec![platform, flags];
        options.extend(OPTIONS.iter().flat_map(|line| line.split(' ')));
        Ok(options)
    }

    /// Former versions, and what an interrupted build has left.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    fn build(&self, work: &Path, built: &Path) -> io::Result<()> {
        // Built where the sources are, paths in the program are those within OpenSSL's own tree.
        fs::create_dir_all(work)?;
        let (tree, stage) = (work.join("openssl"), work.join("stage"));
        let log = self.directory.join("log");
        File::create(&log)?;
        let run = |program: &str, words: &[&str]| self.run(program, words, &tree, &log);

        self.run(
            "cp",
            &["-R", path(&openssl_src::source_dir())?, path(&tree)?],
            work,
            &log,
        )?;
        CHANGE.make(&tree)?;
        let mut configure = vec!["./Configure"];
        configure.extend(self.options()?);
        run("perl", &configure)?;
        let jobs = format!(
            "-j{}",
            thread::available_parallelism().map_or(1, usize::from)
        );
        run("make", &[&jobs, "build_libs"])?;
        run(
            "make",
            &["install_dev", &format!("DESTDIR={}", path(&stage)?)],
        )?;
        // Its license goes with it.
        fs::copy(tree.join("LICENSE.txt"), stage.join("usr/LICENSE.txt"))?;
        // The last step: a directory of that name is complete.
        fs::rename(stage.join("usr"), built)
    }

    fn run(&self, program: &str, words: &[&str], directory: &Path, log: &Path) -> io::Result<()> {
        let output = File::options().append(true).open(log)?;
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(directory)
            .stdout(output.try_clone()?)
            .stderr(output);
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .env("CC", &self.compiler)
            .env("AR", &self.archiver)
            .env("RANLIB", format!("{} s", self.archiver))
            // For the date that `OpenSSL_version(OPENSSL_BUILT_ON)` tells.
            .env("SOURCE_DATE_EPOCH", "1");
        let status = command
            .status()
            .map_err(|error| io::Error::other(format!("{program}: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())?;
        let mut last: Vec<&str> = text.lines().rev().take(20).collect();
        last.reverse();
        Err(io::Error::other(format!(
            "{program} {}\n{}\nall of it is in {}",
            words.first().unwrap_or(&""),
            last.join("\n"),
            log.display()
        )))
    }
}

impl Change {
    /// Makes it in a copy of the sources. A version that has no such line, or another, is for a person to look at.
    fn make(&self, tree: &Path) -> io::Result<()> {
        let path = tree.join(self.file);
        let text = fs::read_to_string(&path)?;
        if text.matches(self.from).count() != 1 {
            let what = format!("{} no longer has: {}", self.file, self.from);
            return Err(io::Error::other(what));
        }
        fs::write(path, text.replace(self.from, self.to))
    }
}

/// The version of OpenSSL itself: 400.0.2+4.0.3 is 4.0.3.
fn version() -> &'static str {
    openssl_src::version()
        .split('+')
        .next_back()
        .unwrap_or_default()
}

fn path(path: &Path) -> io::Result<&str> {
    path.to_str()
        .ok_or_else(|| io::Error::other("its path is not UTF-8"))
}
