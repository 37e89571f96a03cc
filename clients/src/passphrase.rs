//! The password of a private key, asked for on the terminal.

use std::fs::OpenOptions;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use rustix::termios::{self, LocalModes, OptionalActions};
use zeroize::{Zeroize, Zeroizing};

/// Asks for the password of the key in this file.
///
/// # Errors
/// There is no terminal.
pub(crate) fn ask(key: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    write!(terminal, "Enter PEM pass phrase for {}: ", key.display())?;
    let before = termios::tcgetattr(&terminal)?;
    let mut silent = before.clone();
    // Without signals: a Ctrl-C would end the program and leave the terminal without echo.
    let off = LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON;
    silent.local_modes.remove(off);
    termios::tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let answer = read_line(BufReader::new(&terminal).bytes());
    termios::tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    writeln!(terminal)?;
    answer
}

/// Reads keys up to Enter.
fn read_line(keys: impl Iterator<Item = io::Result<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const CTRL_U: u8 = 0x15;
    const BACKSPACE: u8 = 8;
    const DELETE: u8 = 0x7F;
    // OpenSSL takes no longer one, and what is moved by growing is not wiped.
    const LONGEST: usize = 1024;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    for key in keys {
        match key? {
            b'\n' | b'\r' | CTRL_D => break,
            CTRL_C => return Err(io::Error::other("interrupted")),
            CTRL_U => line.zeroize(),
            BACKSPACE | DELETE => drop(line.pop()),
            key if line.len() < LONGEST => line.push(key),
            _ => {}
        }
    }
    if line.is_empty() {
        return Err(io::Error::other("no password was given"));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(keys: &[u8]) -> Result<Vec<u8>, String> {
        let line = read_line(keys.iter().map(|&key| Ok(key)));
        line.map(|line| line.to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn keys_make_a_line() {
        assert_eq!(line(b"secret\nmore").as_deref(), Ok(&b"secret"[..]));
        assert_eq!(line(b"wrong\x15se\x7f\x7fok\r").as_deref(), Ok(&b"ok"[..]));
        assert_eq!(line(b"end\x04").as_deref(), Ok(&b"end"[..]));
        assert_eq!(line(&[b'x'; 2000]).map(|line| line.len()), Ok(1024));
        assert_eq!(line(b"sec\x03ret\n"), Err("interrupted".into()));
        assert_eq!(line(b"\n"), Err("no password was given".into()));
    }
}
