//! The password of a private key, asked for on the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
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
    silent.local_modes.remove(LocalModes::ECHO);
    termios::tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let answer = read_line(&terminal);
    termios::tcsetattr(&terminal, OptionalActions::Flush, &before)?;
    writeln!(terminal)?;
    answer
}

fn read_line(terminal: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    BufReader::new(terminal).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.is_empty() {
        line.zeroize();
        return Err(io::Error::other("no password was given"));
    }
    Ok(line)
}
