//! Ciphertext between a TLS library and a socket that the library never sees.

use std::io::{self, Read, Write};

/// What has come and is to be read by the library, and what it has written and is to go out. Idle, it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    incoming: Vec<u8>,
    /// How much of `incoming` the library has read.
    taken: usize,
    /// The peer has ended its side.
    ended: bool,
    outgoing: Vec<u8>,
    /// How much of `outgoing` is gone.
    sent: usize,
}

impl Memory {
    /// Adds what came from the peer.
    pub(crate) fn receive(&mut self, ciphertext: &[u8]) {
        self.incoming.extend_from_slice(ciphertext);
    }

    /// The peer will send nothing more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the peer has ended its side.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What has come and was not read yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.incoming[self.taken..]
    }

    /// What is to go out.
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.outgoing[self.sent..]
    }

    /// So much of it is gone.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.outgoing.len() {
            (self.outgoing, self.sent) = (Vec::new(), 0);
        }
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.unread().read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.taken += count;
        if self.taken == self.incoming.len() {
            (self.incoming, self.taken) = (Vec::new(), 0);
        }
        Ok(count)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let count = parts.iter().map(|part| part.len()).sum();
        self.outgoing.reserve(count);
        for part in parts {
            self.outgoing.extend_from_slice(part);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_read_is_not_the_end() {
        let mut memory = Memory::default();
        let mut buffer = [0; 4];
        let kind = |result: io::Result<usize>| result.map_err(|error| error.kind());
        assert_eq!(
            kind(memory.read(&mut buffer)),
            Err(io::ErrorKind::WouldBlock)
        );
        memory.receive(b"abcdef");
        assert_eq!(kind(memory.read(&mut buffer)), Ok(4));
        memory.end();
        assert_eq!(kind(memory.read(&mut buffer)), Ok(2));
        assert_eq!(kind(memory.read(&mut buffer)), Ok(0));
    }

    #[test]
    fn what_is_gone_takes_no_memory() {
        let mut memory = Memory::default();
        memory.receive(&[1; 1000]);
        memory.write_all(&[2; 1000]).unwrap();
        memory.sent(400);
        assert_eq!(memory.unsent(), [2; 600]);
        memory.sent(600);
        memory.read_exact(&mut [0; 1000]).unwrap();
        assert_eq!(memory.incoming.capacity() + memory.outgoing.capacity(), 0);
    }
}
