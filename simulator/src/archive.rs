//! Unpacks a package: a gzip-compressed tar archive with one top directory, which names the module.
//!
//! The archive is taken for hostile. Whatever could write outside the target directory, fill the disk or leave special
//! files behind refuses the whole package, each with a sentence of its own.

mod name;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use tar::EntryType;

pub(crate) use name::is_module_name;
use name::{NameFault, entry_name, link_target};

/// Bytes of a package when unpacked: the smaller routers have 64 MB of flash in all.
const MAX_UNPACKED: u64 = 128 << 20;

/// Files, directories and links in a package.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of a long name or of an extended header.
const MAX_EXTENSION: u64 = 16 * 1024;

/// Why a package is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    NotGzip,
    CutShort,
    Damaged(String),
    TrailingData,
    Empty,
    TooLarge,
    TooManyEntries,
    SeveralTops(String, String),
    Extension(String),
    Entry { name: String, fault: Fault },
    Disk { path: PathBuf, error: io::Error },
}

/// What is wrong with one entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Name(NameFault),
    Twice,
    BelowOther(PathBuf),
    TopNotDirectory,
    SpecialBits,
    HardLink,
    Device,
    Kind(u8),
    Data,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotGzip => write!(out, "this is no package: it is not gzip-compressed"),
            Refusal::CutShort => write!(out, "the package is cut short"),
            Refusal::Damaged(why) => write!(out, "the package is damaged: {why}"),
            Refusal::TrailingData => write!(out, "something follows the end of the archive"),
            Refusal::Empty => write!(out, "the package is empty"),
            Refusal::TooLarge => write!(
                out,
                "unpacked, the package would have more than {} MiB",
                MAX_UNPACKED >> 20
            ),
            Refusal::TooManyEntries => {
                write!(out, "the package has more than {MAX_ENTRIES} entries")
            }
            Refusal::SeveralTops(first, second) => {
                write!(
                    out,
                    "the package has several top directories ({first:?}, {second:?}); it must have one"
                )
            }
            Refusal::Extension(what) => write!(
                out,
                "the archive uses an extension that routers do not read: {what}"
            ),
            Refusal::Entry { name, fault } => write!(out, "{name:?}: {fault}"),
            Refusal::Disk { path, error } => {
                write!(out, "cannot write {}: {error}", path.display())
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Name(fault) => fault.fmt(out),
            Fault::Twice => write!(out, "it is there twice"),
            Fault::BelowOther(path) => write!(out, "it lies below {path:?}, which is no directory"),
            Fault::TopNotDirectory => write!(out, "the top of a package must be a directory"),
            Fault::SpecialBits => write!(out, "its mode has the setuid, setgid or sticky bit"),
            Fault::HardLink => write!(out, "it is a hard link"),
            Fault::Device => write!(out, "it is a device or a named pipe"),
            Fault::Kind(kind) => {
                write!(out, "it is of an unknown kind ('{}')", kind.escape_ascii())
            }
            Fault::Data => write!(
                out,
                "it carries data, which a directory or link has none of"
            ),
        }
    }
}

/// Unpacks `package` below `into`, an empty directory of the caller's own, and gives the name of its top directory.
pub(crate) fn unpack(package: &[u8], into: &Path) -> Result<String, Refusal> {
    if !package.starts_with(&[0x1f, 0x8b]) {
        return Err(Refusal::NotGzip);
    }
    let mut archive = tar::Archive::new(GzDecoder::new(package).take(MAX_UNPACKED));
    let mut tree = Tree {
        into,
        made: BTreeMap::new(),
    };
    let unpacked = tree.fill(&mut archive);
    let mut rest = archive.into_inner();
    let ended = unpacked.and_then(|()| drain(&mut rest));
    // The limit looks like an early end to all who read through it.
    if rest.limit() == 0 {
        return Err(Refusal::TooLarge);
    }
    ended?;
    if !rest.into_inner().into_inner().is_empty() {
        return Err(Refusal::TrailingData);
    }
    tree.top().ok_or(Refusal::Empty)
}

/// After the archive's end there are only the zeros that fill its last record.
fn drain(rest: &mut impl Read) -> Result<(), Refusal> {
    let mut chunk = [0; 8192];
    loop {
        match rest.read(&mut chunk).map_err(unreadable)? {
            0 => return Ok(()),
            length if chunk[..length].iter().any(|byte| *byte != 0) => {
                return Err(Refusal::TrailingData);
            }
            _ => {}
        }
    }
}

/// What has been unpacked so far. Only this code writes below `into`, so the map knows all that lies there.
struct Tree<'a> {
    into: &'a Path,
    made: BTreeMap<PathBuf, Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Other,
}

impl Tree<'_> {
    fn fill<R: Read>(&mut self, archive: &mut tar::Archive<R>) -> Result<(), Refusal> {
        let mut long_name = None;
        let mut long_target = None;
        let mut count = 0;
        // Raw: the library would read names of any length into memory, and sizes from extended headers.
        for entry in archive.entries().map_err(unreadable)?.raw(true) {
            let mut entry = entry.map_err(unreadable)?;
            count += 1;
            if count > MAX_ENTRIES {
                return Err(Refusal::TooManyEntries);
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => long_name = Some(terminated(extension(&mut entry)?)),
                EntryType::GNULongLink => long_target = Some(terminated(extension(&mut entry)?)),
                EntryType::XHeader => {
                    extended(&extension(&mut entry)?, &mut long_name, &mut long_target)?;
                }
                // What holds for all entries (a comment, as a rule) cannot be a name.
                EntryType::XGlobalHeader => {
                    let (mut name, mut target) = (None, None);
                    extended(&extension(&mut entry)?, &mut name, &mut target)?;
                    if name.is_some() || target.is_some() {
                        return Err(Refusal::Extension("one name for all entries".to_owned()));
                    }
                }
                _ => {
                    let name = long_name
                        .take()
                        .unwrap_or_else(|| entry.header().path_bytes().into_owned());
                    let target = long_target
                        .take()
                        .or_else(|| entry.header().link_name_bytes().map(Into::into));
                    self.add(&mut entry, &name, target.as_deref())?;
                }
            }
        }
        Ok(())
    }

    fn add<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        raw: &[u8],
        target: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let shown = String::from_utf8_lossy(raw).into_owned();
        let refuse = |fault| Refusal::Entry {
            name: shown.clone(),
            fault,
        };
        let name = entry_name(raw).map_err(|fault| refuse(Fault::Name(fault)))?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Regular | EntryType::Directory | EntryType::Symlink => {}
            EntryType::Link => return Err(refuse(Fault::HardLink)),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                return Err(refuse(Fault::Device));
            }
            other => return Err(refuse(Fault::Kind(other.as_byte()))),
        }
        let mode = entry.header().mode().map_err(unreadable)?;
        // A link's own mode means nothing, and tar programs write what they like there.
        if kind != EntryType::Symlink && mode & 0o7000 != 0 {
            return Err(refuse(Fault::SpecialBits));
        }
        if kind != EntryType::Regular && entry.header().size().map_err(unreadable)? != 0 {
            return Err(refuse(Fault::Data));
        }
        if name.as_os_str().is_empty() {
            return if kind == EntryType::Directory {
                Ok(())
            } else {
                Err(refuse(Fault::TopNotDirectory))
            };
        }
        if name.components().count() == 1 && kind != EntryType::Directory {
            return Err(refuse(Fault::TopNotDirectory));
        }
        let parents: Vec<&Path> = name
            .ancestors()
            .skip(1)
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        for parent in parents.into_iter().rev() {
            match self.made.get(parent) {
                Some(Kind::Directory) => {}
                Some(Kind::Other) => return Err(refuse(Fault::BelowOther(parent.to_owned()))),
                None => self.make_directory(parent, 0o755)?,
            }
        }
        match (self.made.get(&name), kind) {
            (None, EntryType::Directory) => return self.make_directory(&name, mode),
            // A directory may be named again, as `tar -r` does.
            (Some(Kind::Directory), EntryType::Directory) => {
                return set_mode(&self.into.join(&name), mode | 0o700);
            }
            (Some(_), _) => return Err(refuse(Fault::Twice)),
            (None, _) => {}
        }
        let path = self.into.join(&name);
        if kind == EntryType::Symlink {
            let target = link_target(&name, target.unwrap_or_default())
                .map_err(|fault| refuse(Fault::Name(fault)))?;
            std::os::unix::fs::symlink(target, &path).map_err(|error| disk(&path, error))?;
        } else {
            write_file(entry, &path)?;
            set_mode(&path, mode)?;
        }
        self.made.insert(name, Kind::Other);
        Ok(())
    }

    fn make_directory(&mut self, name: &Path, mode: u32) -> Result<(), Refusal> {
        if let (None, Some(first)) = (
            name.parent()
                .filter(|parent| !parent.as_os_str().is_empty()),
            self.top(),
        ) {
            return Err(Refusal::SeveralTops(
                first,
                name.to_string_lossy().into_owned(),
            ));
        }
        let path = self.into.join(name);
        fs::create_dir(&path).map_err(|error| disk(&path, error))?;
        // The owner's rights are not the package's to take: without them nobody but root could delete it again.
        set_mode(&path, mode | 0o700)?;
        self.made.insert(name.to_owned(), Kind::Directory);
        Ok(())
    }

    /// The first name in order is the top directory's.
    fn top(&self) -> Option<String> {
        let (name, _) = self.made.first_key_value()?;
        Some(name.to_string_lossy().into_owned())
    }
}

fn write_file(from: &mut impl Read, path: &Path) -> Result<(), Refusal> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| disk(path, error))?;
    let mut chunk = [0; 64 * 1024];
    loop {
        match from.read(&mut chunk).map_err(unreadable)? {
            0 => return Ok(()),
            length => file
                .write_all(&chunk[..length])
                .map_err(|error| disk(path, error))?,
        }
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Refusal> {
    fs::set_permissions(path, Permissions::from_mode(mode & 0o777))
        .map_err(|error| disk(path, error))
}

/// The content of an entry that says something of the next one.
fn extension<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, Refusal> {
    if entry.size() > MAX_EXTENSION {
        return Err(Refusal::Extension(format!(
            "a name or header of {} bytes",
            entry.size()
        )));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

/// GNU tar ends a long name with a NUL.
fn terminated(mut name: Vec<u8>) -> Vec<u8> {
    name.truncate(
        name.iter()
            .position(|byte| *byte == 0)
            .unwrap_or(name.len()),
    );
    name
}

/// Takes names from an extended header (POSIX pax). Times, owners and comments don't matter; a size would make the rest
/// of the archive mean two things to two readers.
fn extended(
    content: &[u8],
    name: &mut Option<Vec<u8>>,
    target: &mut Option<Vec<u8>>,
) -> Result<(), Refusal> {
    for record in tar::PaxExtensions::new(content) {
        let record = record.map_err(unreadable)?;
        match record.key_bytes() {
            b"path" => *name = Some(record.value_bytes().to_vec()),
            b"linkpath" => *target = Some(record.value_bytes().to_vec()),
            key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                return Err(Refusal::Extension(format!(
                    "the keyword \"{}\"",
                    key.escape_ascii()
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn disk(path: &Path, error: io::Error) -> Refusal {
    Refusal::Disk {
        path: path.to_owned(),
        error,
    }
}

// By value, for `map_err`.
#[allow(clippy::needless_pass_by_value)]
fn unreadable(error: io::Error) -> Refusal {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::UnexpectedEof || text.contains("EOF") {
        Refusal::CutShort
    } else {
        Refusal::Damaged(text)
    }
}
