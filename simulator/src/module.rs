//! The installed modules: what the firmware does to them when one is installed, upgraded or deleted, and at power-on
//! and power-off.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use smol::lock::Mutex;

use crate::archive::{self, Refusal, is_module_name};
use crate::script;
use crate::syslog::SystemLog;

/// Below `opt`, for a package that is being unpacked and a tree that is being replaced: no module has such a name.
const UNPACKING: &str = ".unpack";
const REPLACED: &str = ".replaced";

/// What becomes of the old version at an upgrade. Which of these a router does is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) tree: Tree,
    /// Whether the old `etc/uninstall` is called.
    pub(crate) uninstall: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tree {
    /// The new files are laid over the old ones.
    Kept,
    /// The old tree is removed first.
    Replaced,
}

/// One line of the list.
#[derive(Debug)]
pub(crate) struct Module {
    /// The name of its directory.
    pub(crate) name: String,
    /// Its name for people, of `etc/name`.
    pub(crate) title: String,
    pub(crate) version: String,
    /// The page its name leads to, below `/module/<name>/`.
    pub(crate) entry_page: Option<&'static str>,
    /// Whether its pages ask for a login.
    pub(crate) login: bool,
}

/// What was done, for the person who asked for it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) done: String,
    /// What the scripts said, one line each.
    pub(crate) lines: Vec<String>,
    /// Whether every script succeeded.
    pub(crate) clean: bool,
}

#[derive(Debug)]
pub(crate) enum ModuleError {
    Refused(Refusal),
    Unknown,
    Io { path: PathBuf, error: io::Error },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModuleError::Refused(refusal) => refusal.fmt(out),
            ModuleError::Unknown => write!(out, "there is no such router app"),
            ModuleError::Io { path, error } => write!(out, "{}: {error}", path.display()),
        }
    }
}

pub(crate) struct Modules {
    root: PathBuf,
    upgrade: Upgrade,
    log: Rc<SystemLog>,
    /// One change at a time. At the end it says that there will be no further one.
    power: Mutex<bool>,
}

impl Modules {
    pub(crate) fn new(root: PathBuf, upgrade: Upgrade, log: Rc<SystemLog>) -> Modules {
        Modules {
            root,
            upgrade,
            log,
            power: Mutex::new(true),
        }
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        self.root.join("opt").join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All modules by name. Directories with a hyphen or a dot are somebody's data.
    pub(crate) fn list(&self) -> Vec<Module> {
        let entries = fs::read_dir(self.root.join("opt"))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_module_name(name))
            .collect();
        names.sort();
        names.into_iter().map(|name| self.describe(name)).collect()
    }

    fn describe(&self, name: String) -> Module {
        let directory = self.directory(&name);
        let first_line = |file: &str| {
            let text = fs::read(directory.join("etc").join(file)).unwrap_or_default();
            let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
            String::from_utf8_lossy(&line[..line.len().min(200)])
                .trim()
                .to_owned()
        };
        let title = Some(first_line("name"))
            .filter(|title| !title.is_empty())
            .unwrap_or_else(|| name.clone());
        let version = first_line("version");
        let www = directory.join("www");
        let entry_page = ["index.cgi", "index.html"]
            .into_iter()
            .find(|page| www.join(page).is_file());
        let login = www.join(".htpasswd").symlink_metadata().is_ok();
        Module {
            name,
            title,
            version,
            entry_page,
            login,
        }
    }

    /// "Add or Update".
    pub(crate) async fn install(&self, package: Vec<u8>) -> Result<Report, ModuleError> {
        let power = self.power.lock().await;
        if !*power {
            return std::future::pending().await;
        }
        let unpacking = self.root.join("opt").join(UNPACKING);
        let (package, unpacking) =
            smol::unblock(move || (unpack(&package, &unpacking), unpacking)).await;
        let name =
            package.inspect_err(|error| self.log.note(&format!("package refused: {error}")))?;
        let directory = self.directory(&name);
        let is_upgrade = directory.is_dir();
        let mut report = Report::new(String::new());
        if is_upgrade {
            self.call(&name, "init", Some("stop"), &mut report).await;
            if self.upgrade.uninstall {
                self.call(&name, "uninstall", None, &mut report).await;
            }
        }
        let tree = self.upgrade.tree;
        let replaced = self.root.join("opt").join(REPLACED);
        let (from, to) = (unpacking.join(&name), directory.clone());
        smol::unblock(move || {
            match tree {
                Tree::Kept if is_upgrade => overlay(&from, &to)?,
                _ => replace(&from, &to, &replaced)?,
            }
            remove(&unpacking)
        })
        .await
        .map_err(|error| ModuleError::Io {
            path: directory,
            error,
        })?;
        self.call(&name, "install", None, &mut report).await;
        self.call(&name, "init", Some("start"), &mut report).await;
        let module = self.describe(name);
        let verb = if is_upgrade { "updated" } else { "added" };
        report.done = format!("{} {} successfully {verb}.", module.title, module.version);
        self.log.note(&report.done);
        Ok(report)
    }

    /// "Delete".
    pub(crate) async fn delete(&self, name: &str) -> Result<Report, ModuleError> {
        let power = self.power.lock().await;
        if !*power {
            return std::future::pending().await;
        }
        let directory = self.directory(name);
        if !is_module_name(name) || !directory.is_dir() {
            return Err(ModuleError::Unknown);
        }
        let title = self.describe(name.to_owned()).title;
        let mut report = Report::new(format!("{title} deleted."));
        self.call(name, "init", Some("stop"), &mut report).await;
        self.call(name, "uninstall", None, &mut report).await;
        let path = directory.clone();
        smol::unblock(move || remove(&path))
            .await
            .map_err(|error| ModuleError::Io {
                path: directory,
                error,
            })?;
        self.log.note(&report.done);
        Ok(report)
    }

    /// Power-on.
    pub(crate) async fn start_all(&self) {
        for module in self.list() {
            self.call(
                &module.name,
                "init",
                Some("start"),
                &mut Report::new(String::new()),
            )
            .await;
        }
    }

    /// Power-off, in the opposite order.
    pub(crate) async fn stop_all(&self) {
        for module in self.list().iter().rev() {
            self.call(
                &module.name,
                "init",
                Some("stop"),
                &mut Report::new(String::new()),
            )
            .await;
        }
    }

    /// Awaits the change under way; what still waits for its turn never gets it.
    pub(crate) async fn last_change(&self) {
        *self.power.lock().await = false;
    }

    /// Calls `etc/<script>`, if the module has it: `init` with an action, the others with the root as prefix.
    async fn call(&self, name: &str, script: &str, action: Option<&str>, report: &mut Report) {
        let path = self.directory(name).join("etc").join(script);
        if !path.exists() {
            return;
        }
        let argument = action.map_or(self.root.as_os_str(), OsStr::new);
        let outcome = script::run(&path, &[argument], script::PATIENCE).await;
        let called = format!(
            "{name}: etc/{script}{}",
            action
                .map(|action| format!(" {action}"))
                .unwrap_or_default()
        );
        let mut say = |line: String| {
            self.log.note(&line);
            report.lines.push(line);
        };
        for line in outcome.output.lines() {
            say(format!("{called}: {line}"));
        }
        if !outcome.end.is_success() {
            say(format!("{called}: failed ({})", outcome.end));
            report.clean = false;
        }
    }
}

impl Report {
    fn new(done: String) -> Report {
        Report {
            done,
            lines: Vec::new(),
            clean: true,
        }
    }
}

/// Unpacks beside the modules, so that a refused package has touched nothing.
fn unpack(package: &[u8], unpacking: &Path) -> Result<String, ModuleError> {
    let io = |error| ModuleError::Io {
        path: unpacking.to_owned(),
        error,
    };
    remove(unpacking).map_err(io)?;
    fs::create_dir(unpacking).map_err(io)?;
    archive::unpack(package, unpacking).map_err(|refusal| {
        // The next package clears it away if this fails.
        let _ = remove(unpacking);
        ModuleError::Refused(refusal)
    })
}

fn replace(from: &Path, to: &Path, replaced: &Path) -> io::Result<()> {
    remove(replaced)?;
    if to.symlink_metadata().is_ok() {
        fs::rename(to, replaced)?;
    }
    fs::rename(from, to)?;
    remove(replaced)
}

/// Lays the tree `from` over the tree `to`. Nothing is written through a link, and a program that runs keeps its file.
fn overlay(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let new_is_directory = entry.file_type()?.is_dir();
        let old = target.symlink_metadata().ok();
        if new_is_directory && old.as_ref().is_some_and(fs::Metadata::is_dir) {
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
            overlay(&entry.path(), &target)?;
            continue;
        }
        if new_is_directory || old.is_some_and(|old| old.is_dir()) {
            remove(&target)?;
        }
        fs::rename(entry.path(), &target)?;
    }
    Ok(())
}

/// Removes whatever is there, and is content if nothing is.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of `(name, text)`; a text that starts with `->` makes a link.
    fn tree(at: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = at.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
    }

    #[test]
    fn an_overlay_keeps_what_is_not_new() {
        let scratch = tempfile::tempdir().unwrap();
        let (old, new) = (scratch.path().join("old"), scratch.path().join("new"));
        tree(
            &old,
            &[
                ("etc/settings", "mine"),
                ("etc/name", "old"),
                ("was_dir/x", ""),
                ("was_file", ""),
            ],
        );
        tree(
            &new,
            &[
                ("etc/name", "new"),
                ("was_dir", "file"),
                ("was_file/x", "below"),
                ("www/l", "->../etc"),
            ],
        );
        overlay(&new, &old).unwrap();
        let read = |name: &str| fs::read_to_string(old.join(name)).unwrap();
        assert_eq!(
            (read("etc/settings").as_str(), read("etc/name").as_str()),
            ("mine", "new")
        );
        assert_eq!(
            (read("was_dir").as_str(), read("was_file/x").as_str()),
            ("file", "below")
        );
        assert_eq!(
            fs::read_link(old.join("www/l")).unwrap(),
            Path::new("../etc")
        );
    }

    #[test]
    fn an_overlay_writes_through_no_link() {
        let scratch = tempfile::tempdir().unwrap();
        let (old, new, outside) = (
            scratch.path().join("old"),
            scratch.path().join("new"),
            scratch.path().join("outside"),
        );
        tree(&outside, &[("file", "untouched")]);
        tree(
            &old,
            &[("dir", "->../outside"), ("file", "->../outside/file")],
        );
        tree(&new, &[("dir/file", "new"), ("file", "new")]);
        overlay(&new, &old).unwrap();
        assert_eq!(
            fs::read_to_string(outside.join("file")).unwrap(),
            "untouched"
        );
        assert_eq!(fs::read_to_string(old.join("dir/file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(old.join("file")).unwrap(), "new");
    }

    #[test]
    fn a_removed_link_leaves_its_target() {
        let scratch = tempfile::tempdir().unwrap();
        tree(
            scratch.path(),
            &[("outside/file", ""), ("module/link", "->../outside")],
        );
        remove(&scratch.path().join("module")).unwrap();
        assert!(scratch.path().join("outside/file").exists());
        remove(&scratch.path().join("module")).unwrap();
    }
}
