use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, Header};

use super::*;

/// An archive in the making; names and targets are written as given, however hostile.
struct Package(Builder<Vec<u8>>);

impl Package {
    fn new() -> Package {
        Package(Builder::new(Vec::new()))
    }

    /// The top directory and an `etc/init`, as in any honest package.
    fn honest() -> Package {
        Package::new()
            .directory("app/")
            .file("app/etc/init", 0o755, "#!/bin/sh\n")
    }

    fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        target: &str,
        mode: u32,
        data: &[u8],
    ) -> Package {
        let mut header = Header::new_gnu();
        // By hand: the library refuses to write what is tested here.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn directory(self, name: &str) -> Package {
        self.entry(EntryType::Directory, name, "", 0o755, b"")
    }

    fn file(self, name: &str, mode: u32, text: &str) -> Package {
        self.entry(EntryType::Regular, name, "", mode, text.as_bytes())
    }

    fn link(self, name: &str, target: &str) -> Package {
        self.entry(EntryType::Symlink, name, target, 0o777, b"")
    }

    fn tar(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn tgz(self) -> Vec<u8> {
        gzip(&self.tar())
    }

    /// What it is refused with, having checked that nothing lies beside the target directory.
    fn refusal(self) -> String {
        refusal(&self.tgz())
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn refusal(package: &[u8]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let into = scratch.path().join("inside");
    fs::create_dir(&into).unwrap();
    let said = unpack(package, &into).unwrap_err().to_string();
    assert_eq!(
        fs::read_dir(scratch.path()).unwrap().count(),
        1,
        "something was written outside"
    );
    said
}

#[test]
fn an_honest_package() {
    let scratch = tempfile::tempdir().unwrap();
    let package = Package::new()
        .directory("./")
        .directory("./app/")
        .file("./app/bin/cgi", 0o755, "program")
        .file("app/etc/name", 0o644, "My App\n")
        .link("app/www/index.cgi", "../bin/cgi")
        .link("app/www/.htpasswd", "/etc/htpasswd")
        .directory("app/");
    assert_eq!(unpack(&package.tgz(), scratch.path()).unwrap(), "app");
    let app = scratch.path().join("app");
    assert_eq!(
        fs::read_to_string(app.join("www/index.cgi")).unwrap(),
        "program"
    );
    assert_eq!(
        fs::read_link(app.join("www/.htpasswd")).unwrap(),
        Path::new("/etc/htpasswd")
    );
    let mode = |name: &str| fs::metadata(app.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("bin/cgi"), mode("etc/name"), mode("www")),
        (0o755, 0o644, 0o755)
    );
}

#[test]
fn long_names_of_either_kind() {
    let long = format!("app/{}/x", "n".repeat(200));
    let scratch = tempfile::tempdir().unwrap();
    let package = Package::honest().entry(
        EntryType::GNULongName,
        "././@LongLink",
        "",
        0o644,
        format!("{long}\0").as_bytes(),
    );
    unpack(&package.file("app/cut", 0o644, "gnu").tgz(), scratch.path()).unwrap();
    assert_eq!(
        fs::read_to_string(scratch.path().join(&long)).unwrap(),
        "gnu"
    );

    let scratch = tempfile::tempdir().unwrap();
    let mut package = Package::honest();
    package
        .0
        .append_pax_extensions([("mtime", &b"1.5"[..]), ("path", long.as_bytes())])
        .unwrap();
    unpack(&package.file("app/cut", 0o644, "pax").tgz(), scratch.path()).unwrap();
    assert_eq!(
        fs::read_to_string(scratch.path().join(&long)).unwrap(),
        "pax"
    );
}

#[test]
fn names_that_lead_out() {
    let climbs = "its name climbs out of the package with \"..\"";
    assert_eq!(
        Package::honest().file("app/../../x", 0o644, "").refusal(),
        format!("\"app/../../x\": {climbs}")
    );
    assert_eq!(
        Package::honest().file("/etc/passwd", 0o644, "").refusal(),
        "\"/etc/passwd\": its name starts at the root of the file system"
    );
    let long = Package::honest().entry(
        EntryType::GNULongName,
        "././@LongLink",
        "",
        0o644,
        b"../x\0",
    );
    assert_eq!(
        long.file("app/x", 0o644, "").refusal(),
        format!("\"../x\": {climbs}")
    );
    let mut extended = Package::honest();
    extended
        .0
        .append_pax_extensions([("path", &b"app/../../x"[..])])
        .unwrap();
    assert_eq!(
        extended.file("app/x", 0o644, "").refusal(),
        format!("\"app/../../x\": {climbs}")
    );
}

#[test]
fn links_that_lead_out() {
    let absolute =
        "it is a link to an absolute name, which only www/.htpasswd -> /etc/htpasswd may be";
    for (target, said) in [
        ("../..", "it is a link that leads out of the package"),
        (
            "../../etc/passwd",
            "it is a link that leads out of the package",
        ),
        (
            "sub/../../..",
            "its target has \"..\" after a name, which can lead anywhere",
        ),
        ("/etc/passwd", absolute),
        ("/etc/htpasswd", absolute),
        ("", "it is a link to nothing"),
    ] {
        let refusal = Package::honest().link("app/www/x", target).refusal();
        assert_eq!(refusal, format!("\"app/www/x\": {said}"));
    }
    let long = Package::honest().entry(
        EntryType::GNULongLink,
        "././@LongLink",
        "",
        0o644,
        b"/etc\0",
    );
    assert_eq!(
        long.link("app/x", "etc").refusal(),
        format!("\"app/x\": {absolute}")
    );
}

#[test]
fn writing_through_a_link_made_earlier() {
    let said = Package::honest()
        .link("app/l", "etc")
        .file("app/l/init", 0o755, "other")
        .refusal();
    assert_eq!(
        said,
        "\"app/l/init\": it lies below \"app/l\", which is no directory"
    );
    let said = Package::honest()
        .link("app/x", "etc/init")
        .file("app/x", 0o755, "other")
        .refusal();
    assert_eq!(said, "\"app/x\": it is there twice");
    let said = Package::honest()
        .link("app/x", "etc")
        .directory("app/x")
        .refusal();
    assert_eq!(said, "\"app/x\": it is there twice");
    let said = Package::honest().file("app/etc", 0o644, "").refusal();
    assert_eq!(said, "\"app/etc\": it is there twice");
}

#[test]
fn special_files() {
    for (kind, said) in [
        (EntryType::Link, "it is a hard link"),
        (EntryType::Char, "it is a device or a named pipe"),
        (EntryType::Block, "it is a device or a named pipe"),
        (EntryType::Fifo, "it is a device or a named pipe"),
        (EntryType::GNUSparse, "it is of an unknown kind ('S')"),
        (EntryType::Continuous, "it is of an unknown kind ('7')"),
        (EntryType::new(b'\n'), "it is of an unknown kind ('\\n')"),
    ] {
        let package = Package::honest().entry(kind, "app/x", "app/etc/init", 0o644, b"");
        assert_eq!(package.refusal(), format!("\"app/x\": {said}"));
    }
}

#[test]
fn special_modes() {
    for mode in [0o4755, 0o2755, 0o1755] {
        let said = Package::honest().file("app/x", mode, "").refusal();
        assert_eq!(
            said,
            "\"app/x\": its mode has the setuid, setgid or sticky bit"
        );
    }
    let directory = Package::honest().entry(EntryType::Directory, "app/d", "", 0o2775, b"");
    assert!(directory.refusal().contains("setgid"));
}

#[test]
fn the_top_directory() {
    let said = Package::honest().file("other/x", 0o644, "").refusal();
    assert_eq!(
        said,
        "the package has several top directories (\"app\", \"other\"); it must have one"
    );
    let said = Package::honest().directory("aaa").refusal();
    assert_eq!(
        said,
        "the package has several top directories (\"app\", \"aaa\"); it must have one"
    );
    let said = Package::new().directory("my-app").refusal();
    assert!(
        said.starts_with("\"my-app\": the name of the top directory may hold"),
        "{said}"
    );
    for package in [
        Package::new().file("app", 0o644, ""),
        Package::new().link("app", "x"),
        Package::new().file("./", 0o644, ""),
    ] {
        assert!(
            package
                .refusal()
                .ends_with("the top of a package must be a directory")
        );
    }
    assert_eq!(Package::new().refusal(), "the package is empty");
    assert_eq!(
        Package::new().directory("./").refusal(),
        "the package is empty"
    );
}

#[test]
fn bombs() {
    let mut tar = Package::honest().tar();
    tar.truncate(tar.len() - 1024);
    let mut header = Header::new_gnu();
    header.set_path("app/zeros").unwrap();
    header.set_size(1 << 40);
    header.set_mode(0o644);
    header.set_cksum();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).unwrap();
    encoder.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(MAX_UNPACKED), &mut encoder).unwrap();
    let package = encoder.finish().unwrap();
    assert!(package.len() < 2 << 20);
    assert_eq!(
        refusal(&package),
        "unpacked, the package would have more than 128 MiB"
    );

    let mut many = Package::honest();
    for number in 0..MAX_ENTRIES {
        many = many.file(&format!("app/{number}"), 0o644, "");
    }
    assert_eq!(many.refusal(), "the package has more than 10000 entries");

    let long = vec![b'n'; MAX_EXTENSION as usize + 1];
    let said = Package::honest()
        .entry(EntryType::GNULongName, "././@LongLink", "", 0o644, &long)
        .refusal();
    assert!(said.contains("a name or header of 16385 bytes"), "{said}");
}

#[test]
fn two_readings_of_one_archive() {
    for key in ["size", "GNU.sparse.major"] {
        let mut package = Package::honest();
        package.0.append_pax_extensions([(key, &b"1"[..])]).unwrap();
        assert!(package.file("app/x", 0o644, "data").refusal().contains(key));
    }
    let said = Package::honest()
        .entry(EntryType::Directory, "app/d", "", 0o755, b"data")
        .refusal();
    assert_eq!(
        said,
        "\"app/d\": it carries data, which a directory or link has none of"
    );
    let global =
        Package::honest().entry(EntryType::XGlobalHeader, "g", "", 0o644, b"15 path=app/xyz");
    assert!(
        global
            .file("app/x", 0o644, "")
            .refusal()
            .contains("extension")
    );
}

#[test]
fn what_is_no_whole_archive() {
    assert_eq!(
        refusal(b""),
        "this is no package: it is not gzip-compressed"
    );
    assert_eq!(
        refusal(b"PK\x03\x04"),
        "this is no package: it is not gzip-compressed"
    );
    let whole = Package::honest().tgz();
    for length in 2..whole.len() {
        let said = refusal(&whole[..length]);
        assert!(
            said == "the package is cut short" || said.starts_with("the package is damaged"),
            "{length}: {said}"
        );
    }
    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    assert!(
        refusal(&flipped).starts_with("the package is damaged"),
        "checksum"
    );
    assert!(refusal(&gzip(&[b'x'; 2048])).starts_with("the package is damaged"));
    let tar = Package::honest()
        .file("app/data", 0o644, &"data".repeat(1000))
        .tar();
    assert_eq!(
        refusal(&gzip(&tar[..2000 + 1024])),
        "the package is cut short"
    );
}

#[test]
fn what_follows_the_end() {
    let mut twice = Package::honest().tgz();
    twice.extend(Package::honest().tgz());
    assert_eq!(refusal(&twice), "something follows the end of the archive");
    let mut tar = Package::honest().tar();
    tar.extend_from_slice(&[0; 10_240]);
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(unpack(&gzip(&tar), scratch.path()).unwrap(), "app");
    tar.push(b'x');
    assert_eq!(
        refusal(&gzip(&tar)),
        "something follows the end of the archive"
    );
}
