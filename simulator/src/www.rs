//! What lies behind an address below `/module/`: a CGI program or a plain file of a module's `www`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::archive::is_module_name;
use crate::http::Response;

/// Largest plain file that is served.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Cgi {
        program: PathBuf,
        script_name: String,
        path_info: String,
    },
    File(PathBuf),
    /// The module itself, which has its first page elsewhere.
    Elsewhere(String),
    /// A CGI program that the package did not mark executable.
    NotExecutable,
    Absent,
}

/// The module's name and the rest of a path `/module/<name>/<rest>`, decoded; nothing for what no module can have.
pub(crate) fn split(path: &str) -> Option<(String, Vec<String>)> {
    let mut segments = path.strip_prefix("/module/")?.split('/').map(decode);
    let module = segments.next()??;
    let rest: Option<Vec<String>> = segments.collect();
    is_module_name(&module).then_some((module, rest?))
}

/// Finds the page `rest` of the module in `directory`.
pub(crate) fn find(directory: &Path, module: &str, rest: &[String]) -> Page {
    let www = directory.join("www");
    if rest.iter().all(String::is_empty) {
        let first = ["index.cgi", "index.html"]
            .into_iter()
            .find(|page| www.join(page).is_file());
        return first.map_or(Page::Absent, |page| {
            Page::Elsewhere(format!("/module/{module}/{page}"))
        });
    }
    let mut path = www;
    for (index, segment) in rest.iter().enumerate() {
        // Hidden files, `.` and `..` are nobody's business, empty names nobody's at all.
        if segment.is_empty() || segment.starts_with('.') {
            return Page::Absent;
        }
        path.push(segment);
        // A package's links stay within it, but its scripts can make others.
        let inside = path
            .canonicalize()
            .is_ok_and(|real| real.starts_with(directory));
        let Some(meta) = fs::metadata(&path).ok().filter(|_| inside) else {
            return Page::Absent;
        };
        if meta.is_dir() {
            continue;
        }
        let (here, below) = rest.split_at(index + 1);
        if path.extension() == Some(OsStr::new("cgi")) {
            if meta.permissions().mode() & 0o111 == 0 {
                return Page::NotExecutable;
            }
            let script_name = format!("/module/{module}/{}", here.join("/"));
            let path_info = below.iter().map(|segment| format!("/{segment}")).collect();
            return Page::Cgi {
                program: path,
                script_name,
                path_info,
            };
        }
        return if below.is_empty() && meta.is_file() {
            Page::File(path)
        } else {
            Page::Absent
        };
    }
    Page::Absent
}

/// Reads a plain file.
pub(crate) fn read(path: &Path) -> io::Result<Response> {
    let mut content = Vec::new();
    fs::File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Response::new(200, content_type(path), content))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(OsStr::to_str).unwrap_or_default() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "gif" => "image/gif",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Undoes percent-encoding (RFC 3986 section 2.1); nothing if the result is no name of a file.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|name| !name.contains(|c: char| c == '/' || c.is_control()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn module() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().canonicalize().unwrap().join("app");
        let www = directory.join("www");
        fs::create_dir_all(www.join("sub")).unwrap();
        fs::create_dir_all(directory.join("bin")).unwrap();
        for (name, mode) in [
            ("bin/cgi", 0o755),
            ("www/style.css", 0o644),
            ("www/sub/a b.png", 0o644),
            ("www/x.cgi", 0o644),
        ] {
            fs::write(directory.join(name), name).unwrap();
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("../bin/cgi", www.join("index.cgi")).unwrap();
        symlink("/etc/htpasswd", www.join(".htpasswd")).unwrap();
        symlink("/etc/passwd", www.join("passwd.txt")).unwrap();
        (scratch, directory)
    }

    fn page(directory: &Path, path: &str) -> Page {
        match split(path) {
            Some((module, rest)) => find(directory, &module, &rest),
            None => Page::Absent,
        }
    }

    #[test]
    fn pages() {
        let (_scratch, directory) = module();
        let program = directory.join("www/index.cgi");
        let cgi = |path_info: &str| Page::Cgi {
            program: program.clone(),
            script_name: "/module/app/index.cgi".to_owned(),
            path_info: path_info.to_owned(),
        };
        assert_eq!(page(&directory, "/module/app/index.cgi"), cgi(""));
        assert_eq!(
            page(&directory, "/module/app/index.cgi/a%20b/c"),
            cgi("/a b/c")
        );
        assert_eq!(page(&directory, "/module/app/inde%78.cgi"), cgi(""));
        assert_eq!(
            page(&directory, "/module/app/style.css"),
            Page::File(directory.join("www/style.css"))
        );
        assert_eq!(
            page(&directory, "/module/app/sub/a%20b.png"),
            Page::File(directory.join("www/sub/a b.png"))
        );
        assert_eq!(page(&directory, "/module/app/x.cgi"), Page::NotExecutable);
        for path in ["/module/app", "/module/app/"] {
            assert_eq!(
                page(&directory, path),
                Page::Elsewhere("/module/app/index.cgi".to_owned())
            );
        }
    }

    #[test]
    fn what_is_not_served() {
        let (_scratch, directory) = module();
        for path in [
            "/module/app/.htpasswd",
            "/module/app/%2ehtpasswd",
            "/module/app/passwd.txt",
            "/module/app/../bin/cgi",
            "/module/app/%2e%2e/bin/cgi",
            "/module/app/..%2fbin/cgi",
            "/module/app/sub/../style.css",
            "/module/app//style.css",
            "/module/app/style.css/",
            "/module/app/style.css/x",
            "/module/app/sub",
            "/module/app/sub/",
            "/module/app/style.css%00",
            "/module/app/%",
            "/module/app/%zz",
            "/module/app/%ff",
            "/module/../app/style.css",
            "/module/app-data/x",
            "/module//x",
            "/module/",
            "/modul",
        ] {
            assert_eq!(page(&directory, path), Page::Absent, "{path}");
        }
    }

    #[test]
    fn content_types() {
        assert_eq!(
            content_type(Path::new("a/style.css")),
            "text/css; charset=utf-8"
        );
        assert_eq!(
            content_type(Path::new("a/LICENSE")),
            "application/octet-stream"
        );
    }
}
