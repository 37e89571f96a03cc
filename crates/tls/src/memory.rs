//! Ciphertext between a TLS library and a socket that the library never sees.

use std::io::{self, Read, Write};

/// What has come and is to be read by the library, and what it has written and is to go out. Idle, it holds no memory.
#[derive(Debug)]
pub(crate) struct Memory {
    incoming: Vec<u8>,
    /// How much of `incoming` the library has read.
    taken: usize,
    /// The peer has ended its side.
    ended: bool,
    /// How often the library may read before it is told that nothing is there.
    reads_left: u32,
    outgoing: Vec<u8>,
    /// How much of `outgoing` is gone.
    sent: usize,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            incoming: Vec::new(),
            taken: 0,
            ended: false,
            reads_left: u32::MAX,
            outgoing: Vec::new(),
            sent: 0,
        }
    }
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

    /// Lets the library read so often from now on.
    pub(crate) fn allow_reads(&mut self, count: u32) {
        self.reads_left = count;
    }

    /// How often it still may.
    pub(crate) fn reads_left(&self) -> u32 {
        self.reads_left
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
        if self.reads_left == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.reads_left -= 1;
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
    fn reads_may_be_limited() {
        let mut memory = Memory::default();
        memory.receive(b"abcdef");
        memory.allow_reads(2);
        let mut buffer = [0; 1];
        assert!(memory.read(&mut buffer).is_ok() && memory.read(&mut buffer).is_ok());
        let error = memory.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!((memory.unread(), memory.reads_left()), (&b"cdef"[..], 0));
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
