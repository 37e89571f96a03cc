//! Readiness of descriptors on the core thread: each is registered once, edge-triggered, for both directions.
//!
//! In steady state that is one `epoll_wait` for a batch of events and not one `epoll_ctl`. The reactor is the thread's
//! own; what a helper thread does with a socket, it does after [`deregister`] here and before [`register`] again.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;

/// A registered descriptor. Numbers are used again, generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    slot: u32,
    generation: u32,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

#[derive(Debug)]
struct Side {
    ready: bool,
    /// The task was told to wait for it.
    awaited: bool,
}

impl Side {
    /// Returns whether the task is to be woken.
    fn set_ready(&mut self) -> bool {
        self.ready = true;
        std::mem::take(&mut self.awaited)
    }
}

#[derive(Debug)]
struct Source {
    generation: u32,
    /// The peer has closed its side: reading goes on until the end is read, however short a read was.
    hung_up: bool,
    read: Side,
    write: Side,
    /// Of the task that asked last: one task waits for both directions.
    waker: Option<Waker>,
}

struct Reactor {
    epoll: OwnedFd,
    sources: Slab<Source>,
    generation: u32,
    events: Vec<Event>,
}

/// Events taken at a time.
const BATCH: usize = 256;

thread_local! {
    static REACTOR: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

fn with<T>(act: impl FnOnce(&mut Reactor) -> T) -> T {
    REACTOR.with_borrow_mut(|reactor| {
        act(reactor
            .as_mut()
            .expect("start() comes first on a thread with sockets"))
    })
}

/// Gives this thread its reactor.
///
/// # Errors
/// The system's, when there are no descriptors left.
pub(crate) fn start() -> io::Result<()> {
    let reactor = Reactor {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        sources: Slab::new(),
        generation: 0,
        events: Vec::with_capacity(BATCH),
    };
    REACTOR.set(Some(reactor));
    Ok(())
}

/// Watches a descriptor until [`deregister`]; it counts as ready until a caller finds otherwise.
///
/// # Errors
/// The system's.
pub(crate) fn register(fd: impl AsFd) -> io::Result<Token> {
    with(|reactor| {
        reactor.generation = reactor.generation.wrapping_add(1);
        let generation = reactor.generation;
        let entry = reactor.sources.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(io::Error::other)?;
        let data = EventData::new_u64(u64::from(generation) << 32 | u64::from(slot));
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&reactor.epoll, fd, data, flags)?;
        let ready = || Side {
            ready: true,
            awaited: false,
        };
        entry.insert(Source {
            generation,
            hung_up: false,
            read: ready(),
            write: ready(),
            waker: None,
        });
        Ok(Token { slot, generation })
    })
}

/// Stops watching.
pub(crate) fn deregister(token: Token, fd: impl AsFd) {
    with(|reactor| {
        if reactor.source(token).is_some() {
            reactor.sources.remove(token.slot as usize);
            // Can only fail for a descriptor that epoll does not know, which is what is wanted.
            let _ = epoll::delete(&reactor.epoll, fd);
            if reactor.sources.is_empty() {
                reactor.sources.shrink_to_fit();
            }
        }
    });
}

/// Whether a call in this direction is worth trying; otherwise the task is woken once it is. Only one task asks for a
/// descriptor.
pub(crate) fn poll_ready(token: Token, direction: Direction, cx: &Context<'_>) -> Poll<()> {
    with(|reactor| {
        let Some(source) = reactor.source(token) else {
            return Poll::Ready(());
        };
        let side = source.side(direction);
        if side.ready {
            return Poll::Ready(());
        }
        side.awaited = true;
        let known = source.waker.as_ref();
        if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
            source.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    })
}

/// A call in this direction came back short or with `WouldBlock`: the next event says when to try again.
pub(crate) fn not_ready(token: Token, direction: Direction) {
    with(|reactor| {
        if let Some(source) = reactor.source(token) {
            let keep = direction == Direction::Read && source.hung_up;
            source.side(direction).ready = keep;
        }
    });
}

/// Sleeps until something is ready or the time is over, and wakes the tasks concerned.
///
/// # Errors
/// The system's, `EINTR` apart.
pub(crate) fn wait(timeout: Option<Duration>) -> io::Result<()> {
    with(|reactor| {
        // Longer than 24 days would need a system call that older kernels do not have.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(24 * 60 * 60)));
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        reactor.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut reactor.events);
        match epoll::wait(&reactor.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in reactor.events.drain(..) {
            let data = event.data.u64();
            let Some(source) = reactor
                .sources
                .get_mut((data & u64::from(u32::MAX)) as usize)
            else {
                continue;
            };
            if u64::from(source.generation) != data >> 32 {
                continue;
            }
            // Copied out: the struct is packed.
            let flags = event.flags;
            let over = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            source.hung_up |= over;
            let mut awaited = false;
            if over || flags.contains(EventFlags::IN) {
                awaited |= source.read.set_ready();
            }
            if flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
                awaited |= source.write.set_ready();
            }
            if let Some(waker) = source.waker.as_ref().filter(|_| awaited) {
                waker.wake_by_ref();
            }
        }
        Ok(())
    })
}

impl Reactor {
    fn source(&mut self, token: Token) -> Option<&mut Source> {
        self.sources
            .get_mut(token.slot as usize)
            .filter(|source| source.generation == token.generation)
    }
}

impl Source {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    #[test]
    fn a_task_is_woken_when_bytes_come_and_when_the_peer_goes() {
        start().unwrap();
        let (mut ours, mut theirs) = pair();
        let token = register(&ours).unwrap();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        not_ready(token, Direction::Read);
        assert!(poll_ready(token, Direction::Read, &cx).is_pending());
        theirs.write_all(b"x").unwrap();
        wait(None).unwrap();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(poll_ready(token, Direction::Read, &cx).is_ready());
        let mut buffer = [0; 8];
        assert_eq!(ours.read(&mut buffer).unwrap(), 1);
        not_ready(token, Direction::Read);
        drop(theirs);
        wait(None).unwrap();
        // A short read does not hide that the peer has gone.
        not_ready(token, Direction::Read);
        assert!(poll_ready(token, Direction::Read, &cx).is_ready());
        assert_eq!(ours.read(&mut buffer).unwrap(), 0);
        deregister(token, &ours);
    }

    #[test]
    fn a_token_of_yesterday_does_nothing() {
        start().unwrap();
        let (ours, _theirs) = pair();
        let old = register(&ours).unwrap();
        deregister(old, &ours);
        let (other, _peer) = pair();
        let new = register(&other).unwrap();
        assert_eq!(old.slot, new.slot);
        not_ready(old, Direction::Write);
        let cx = Context::from_waker(Waker::noop());
        assert!(poll_ready(new, Direction::Write, &cx).is_ready());
        deregister(old, &ours);
        assert!(poll_ready(new, Direction::Write, &cx).is_ready());
        wait(Some(Duration::from_micros(1))).unwrap();
    }
}
