//! Standard input line by line (`mosquitto_pub -l`), never more of it in memory than the longest line needs.

use std::io::{self, Stdin};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use smol::Unblock;
use smol::io::AsyncRead;

/// Read at a time.
const CHUNK: usize = 64 * 1024;
/// The longest line that a packet can hold.
const MAX_LINE: usize = mqtt::MAX_PACKET_SIZE as usize;

/// The lines of a reader.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to where there is no newline.
    searched: usize,
    is_over: bool,
}

impl Lines<Unblock<Stdin>> {
    /// Those of standard input.
    pub(crate) fn of_stdin() -> Lines<Unblock<Stdin>> {
        Lines::new(Unblock::with_capacity(CHUNK, io::stdin()))
    }
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(reader: R) -> Lines<R> {
        Lines {
            reader,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            is_over: false,
        }
    }

    /// The next line without its newline; the last one need not have any. None is the end.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Vec<u8>>>> {
        loop {
            let newline = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(at) = newline {
                let end = self.searched + at;
                let line = self.buffer[self.start..end].to_vec();
                (self.start, self.searched) = (end + 1, end + 1);
                return Poll::Ready(Ok(Some(line)));
            }
            self.searched = self.buffer.len();
            if self.is_over {
                let line = self.buffer.split_off(self.start);
                self.buffer.clear();
                (self.start, self.searched) = (0, 0);
                return Poll::Ready(Ok((!line.is_empty()).then_some(line)));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 2 * CHUNK {
            self.buffer = Vec::new();
        }
        let known = self.buffer.len();
        if known > MAX_LINE {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.buffer.resize(known + CHUNK, 0);
        let result = Pin::new(&mut self.reader).poll_read(cx, &mut self.buffer[known..]);
        let count = match &result {
            Poll::Ready(Ok(count)) => *count,
            _ => 0,
        };
        self.buffer.truncate(known + count);
        let count = ready!(result)?;
        self.is_over = count == 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::poll_fn;
    use smol::io::Cursor;

    fn lines<R: AsyncRead + Unpin>(reader: R) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(reader);
        let mut all = Vec::new();
        while let Some(line) = smol::block_on(poll_fn(|cx| lines.poll_next(cx))).unwrap() {
            all.push(line);
        }
        assert!(
            smol::block_on(poll_fn(|cx| lines.poll_next(cx)))
                .unwrap()
                .is_none()
        );
        all
    }

    #[test]
    fn newlines_are_removed_and_nothing_else() {
        assert_eq!(
            lines(Cursor::new(b"one\n\nthree\r\nfo\0ur\n  \nlast")),
            [
                b"one".as_slice(),
                b"",
                b"three\r",
                b"fo\0ur",
                b"  ",
                b"last"
            ]
        );
        assert_eq!(lines(Cursor::new(b"\n")), [b""]);
        assert_eq!(lines(Cursor::new(b"")), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn lines_may_be_long() {
        let long = vec![b'x'; 5 * CHUNK + 3];
        let text = [&long, b"\n".as_slice(), b"short\n", &long].concat();
        let all = lines(Cursor::new(text));
        assert_eq!(all.len(), 3);
        assert!(all[0] == long && all[1] == b"short" && all[2] == long);
    }

    #[test]
    fn one_line_too_many_is_not_kept() {
        let mut lines = Lines::new(Cursor::new(b"short\n".repeat(100_000)));
        for _ in 0..100_000 {
            smol::block_on(poll_fn(|cx| lines.poll_next(cx))).unwrap();
            assert!(lines.buffer.capacity() <= 4 * CHUNK);
        }
    }
}
