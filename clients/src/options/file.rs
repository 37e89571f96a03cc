//! Option files: one option a line, its value behind the first space.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::Tool;
use crate::options::mistake::Mistake;
use crate::options::property::Requested;
use crate::options::table::{Id, Row};

/// No more is read of a file.
const MAX_LENGTH: u64 = 1 << 20;

/// The file that is read without being named: `$XDG_CONFIG_HOME/mosquitto_pub`, else `$HOME/.config/mosquitto_pub`.
pub(super) fn default_path(
    tool: Tool,
    config_home: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    let stated = |variable: Option<OsString>| variable.filter(|value| !value.is_empty());
    let directory = match stated(config_home) {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(&stated(home)?).join(".config"),
    };
    Some(directory.join(tool.name()))
}

/// Reads an option file. One that was not named (`is_named`) need not be there.
pub(super) fn read(path: &Path, is_named: bool) -> Result<Zeroizing<Vec<u8>>, Mistake> {
    let mut text = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut text));
    let error = match read {
        Ok(length) if length as u64 <= MAX_LENGTH => return Ok(text),
        Ok(_) => io::Error::other("it is larger than 1 MiB"),
        Err(error)
            if !is_named
                && matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory
                ) =>
        {
            return Ok(Zeroizing::default());
        }
        Err(error) => error,
    };
    Err(Mistake::plain(format!(
        "Error: Unable to read options file \"{}\": {error}",
        path.display()
    )))
}

/// The words of each line, as they would stand on a command line. Lines that are empty or begin with `#` have none.
pub(super) fn lines(tool: Tool, text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n')
        .map(|line| {
            let start = line.iter().position(|&byte| byte != b' ');
            let line = &line[start.unwrap_or(line.len())..];
            line.strip_suffix(b"\r").unwrap_or(line)
        })
        .filter(|line| !line.is_empty() && line[0] != b'#')
        .map(move |line| words(tool, line))
}

fn words(tool: Tool, line: &[u8]) -> Vec<&[u8]> {
    let (name, value) = split(line);
    let mut words = vec![name];
    match value {
        Some(value) if Row::find(tool, name).is_some_and(|row| row.id == Id::Property) => {
            properties(value, &mut words);
        }
        Some(value) => words.push(value),
        None => {}
    }
    words
}

/// Command, identifier and value, or for a user property its name and value; the last may have spaces.
fn properties<'a>(value: &'a [u8], words: &mut Vec<&'a [u8]>) {
    let mut rest = Some(value);
    let mut next = |words: &mut Vec<&'a [u8]>, is_last: bool| {
        if let Some(text) = rest {
            let (word, left) = if is_last { (text, None) } else { split(text) };
            words.push(word);
            rest = left;
        }
    };
    next(words, false);
    next(words, false);
    let count = words
        .get(2)
        .map_or(1, |identifier| Requested::value_count(identifier));
    for number in 1..=count {
        next(words, number == count);
    }
}

/// Splits at the first space; None if nothing follows it.
fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&byte| byte == b' ') {
        Some(space) if space + 1 < text.len() => (&text[..space], Some(&text[space + 1..])),
        Some(space) => (&text[..space], None),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words_of(text: &str) -> Vec<Vec<String>> {
        lines(Tool::Pub, text.as_bytes())
            .map(|words| {
                words
                    .into_iter()
                    .map(|word| String::from_utf8_lossy(word).into())
                    .collect()
            })
            .collect()
    }

    #[test]
    fn a_line_is_an_option_and_its_value() {
        for (text, words) in [
            ("-t a", &["-t", "a"] as &[_]),
            ("-t a\n", &["-t", "a"]),
            ("-t a\r\n", &["-t", "a"]),
            ("  -t a", &["-t", "a"]),
            ("-m b c  d ", &["-m", "b c  d "]),
            ("-m  a", &["-m", " a"]),
            ("-m #a", &["-m", "#a"]),
            ("-t", &["-t"]),
            ("-t ", &["-t"]),
            ("-d", &["-d"]),
            ("-d x", &["-d", "x"]),
            ("-t\ta", &["-t\ta"]),
            ("nonsense", &["nonsense"]),
        ] {
            assert_eq!(words_of(text), [words], "{text:?}");
        }
    }

    #[test]
    fn properties_are_split_further() {
        for (text, words) in [
            (
                "-D publish content-type text plain",
                &["-D", "publish", "content-type", "text plain"] as &[_],
            ),
            (
                "--property publish user-property k v w",
                &["--property", "publish", "user-property", "k", "v w"],
            ),
            (
                "-D publish User-Property k",
                &["-D", "publish", "User-Property", "k"],
            ),
            ("-D publish", &["-D", "publish"]),
            ("-D", &["-D"]),
        ] {
            assert_eq!(words_of(text), [words], "{text:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_say_nothing() {
        assert_eq!(
            words_of("# -t a\n\n   \n#\n\r\n"),
            Vec::<Vec<String>>::new()
        );
        assert_eq!(words_of("# x\n-d\n\n-n"), [["-d"], ["-n"]]);
    }

    #[test]
    fn the_default_file_has_the_tool_s_name() {
        let path = |config: Option<&str>, home: Option<&str>| {
            default_path(Tool::Sub, config.map(Into::into), home.map(Into::into))
        };
        let of_config = Some(PathBuf::from("/c/mosquitto_sub"));
        assert_eq!(path(Some("/c"), Some("/h")), of_config);
        let of_home = Some(PathBuf::from("/h/.config/mosquitto_sub"));
        assert_eq!(path(None, Some("/h")), of_home);
        assert_eq!(path(Some(""), Some("/h")), of_home);
        assert_eq!(path(None, None), None);
        assert_eq!(path(None, Some("")), None);
    }

    #[test]
    fn only_a_named_file_must_be_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("options");
        assert!(read(&path, false).is_ok_and(|text| text.is_empty()));
        assert!(read(directory.path(), false).is_ok_and(|text| text.is_empty()));
        let mistake = read(&path, true).expect_err("not there");
        let said = mistake.standard_error(Tool::Pub);
        assert!(
            said.starts_with("Error: Unable to read options file \""),
            "{said}"
        );
        std::fs::write(&path, "-d\n").expect("written");
        assert_eq!(
            read(&path, true).map(|text| text.to_vec()),
            Ok(b"-d\n".to_vec())
        );
        std::fs::write(&path, vec![b'#'; MAX_LENGTH as usize + 1]).expect("written");
        assert!(read(&path, false).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..256)) {
            for tool in Tool::ALL {
                for words in lines(tool, &text) {
                    prop_assert!(!words.is_empty() && words.len() <= 5);
                }
            }
        }

        #[test]
        fn no_property_panics(text in "-D [a-z -]{0,40}") {
            prop_assert_eq!(lines(Tool::Pub, text.as_bytes()).count(), 1);
        }
    }
}
