//! TLS handshakes, on a thread of their own: what a signature costs a router's processor must not delay those who are
//! connected.
//!
//! A connection that has just come goes there with its socket and comes back with the stream that its handshake made, or
//! with the reason why there is none. At most [`MOST`] are under way; where there are more, whoever has kept the broker waiting
//! longest makes room, so that strangers who say nothing keep nobody out.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use slab::Slab;
use smol::channel::{self, Receiver};
use smol::future;
use smol::io::{AsyncRead, AsyncWrite};
use smol::{Async, LocalExecutor, Timer};
use tls::{Refusal, ServerTls, Stream};

use crate::broker::Mail;
use crate::engine::ConnectionKey;
use crate::mailbox;

/// Handshakes under way at a time. Silent strangers hold a place for [`PATIENCE`], so that as many as the default settings
/// let wait for their CONNECT (320) have all had theirs after two seconds.
const MOST: usize = 128;
/// How long a client may keep the broker waiting while others wait for their turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much less urgent handshakes are than those who are connected.
const NICENESS: i32 = 5;

/// Which connection: keys are used again, serial numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) key: ConnectionKey,
    pub(crate) serial: u32,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client has left without a word.
    Left,
    /// In words for the log. The socket may carry an alert that the client is to read.
    Refused(String, Option<TcpStream>),
}

/// What came of a handshake.
pub(crate) type Outcome = Result<Stream<TcpStream>, Failure>;

/// As long as it lives, the handshake goes on.
#[derive(Debug)]
pub(crate) struct Wanted(
    #[expect(dead_code, reason = "it is there to be dropped")] channel::Sender<()>,
);

struct Job {
    caller: Caller,
    socket: TcpStream,
    tls: ServerTls,
    /// Closed once nobody wants the outcome.
    wanted: Receiver<()>,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Handshakes(channel::Sender<Job>);

impl Handshakes {
    /// Starts the thread; outcomes go to `mail`.
    ///
    /// # Errors
    /// The system's, when it has no thread left.
    pub(crate) fn start(mail: mailbox::Sender) -> io::Result<Handshakes> {
        let (sender, jobs) = channel::unbounded();
        let work = move || {
            // Without it, handshakes are as urgent as everything else.
            let _ = rustix::process::nice(NICENESS);
            smol::block_on(serve(&jobs, &mail));
        };
        thread::Builder::new()
            .name("handshakes".into())
            .stack_size(256 * 1024)
            .spawn(work)?;
        Ok(Handshakes(sender))
    }

    /// Begins a handshake.
    pub(crate) fn begin(&self, caller: Caller, socket: TcpStream, tls: ServerTls) -> Wanted {
        let (wanted, receiver) = channel::bounded(1);
        let job = Job {
            caller,
            socket,
            tls,
            wanted: receiver,
        };
        // The thread ends with the process.
        let _ = self.0.try_send(job);
        Wanted(wanted)
    }
}

/// A handshake under way.
struct Active {
    answer: Rc<Cell<Awaited>>,
    /// Dropped when it has to make room.
    stay: Option<channel::Sender<()>>,
}

/// What the broker waits for: the client's next message, whole. Bytes that come one by one do not make it wait less.
#[derive(Clone, Copy)]
struct Awaited {
    since: Instant,
    /// Something has come from this client.
    begun: bool,
}

async fn serve(jobs: &Receiver<Job>, mail: &mailbox::Sender) {
    let executor = LocalExecutor::new();
    let active = Rc::new(RefCell::new(Slab::<Active>::new()));
    let (done, freed) = channel::unbounded();
    let take_in = async {
        while let Ok(job) = jobs.recv().await {
            while active.borrow().len() >= MOST {
                make_room(&active, &freed).await;
            }
            while freed.try_recv().is_ok() {}
            let answer = Rc::new(Cell::new(Awaited {
                since: Instant::now(),
                begun: false,
            }));
            let (stay, stays) = channel::bounded(1);
            let place = active.borrow_mut().insert(Active {
                answer: Rc::clone(&answer),
                stay: Some(stay),
            });
            let (active, done, mail) = (Rc::clone(&active), done.clone(), mail.clone());
            let shake = async move {
                let caller = job.caller;
                let outcome = shake(job, answer, stays).await;
                active.borrow_mut().try_remove(place);
                // Nobody may be waiting for a place.
                let _ = done.try_send(());
                if let Some(outcome) = outcome {
                    mail.send(Mail::Handshake(caller, Box::new(outcome)));
                }
            };
            executor.spawn(shake).detach();
        }
    };
    executor.run(take_in).await;
}

/// Waits until a handshake has ended, or ends the one whose client has kept the broker waiting for longer than is fair.
async fn make_room(active: &RefCell<Slab<Active>>, freed: &Receiver<()>) {
    let slowest = active
        .borrow()
        .iter()
        .filter(|(_, one)| one.stay.is_some())
        .map(|(place, one)| (one.answer.get().since, place))
        .min();
    let fair = slowest.map(|(since, place)| (PATIENCE.saturating_sub(since.elapsed()), place));
    let fair = match fair {
        Some((fair, place)) if fair.is_zero() => {
            // Its task sees it, says why and gives the place back: nobody else may, for the next one has the same number.
            if let Some(one) = active.borrow_mut().get_mut(place) {
                one.stay = None;
            }
            PATIENCE
        }
        Some((fair, _)) => fair,
        // All are about to go.
        None => PATIENCE,
    };
    let time = async {
        Timer::after(fair).await;
    };
    let end = async {
        // The other end lives as long as this function's caller.
        let _ = freed.recv().await;
    };
    future::or(end, time).await;
}

/// One handshake. Nothing comes of it if nobody wants to know.
async fn shake(job: Job, answer: Rc<Cell<Awaited>>, stays: Receiver<()>) -> Option<Outcome> {
    let refused = |reason: String| Some(Err(Failure::Refused(reason, None)));
    let socket = match Async::new(job.socket) {
        Ok(socket) => socket,
        Err(error) => return refused(format!("the system refuses the TLS handshake: {error}")),
    };
    let socket = Watched {
        socket,
        answer: Rc::clone(&answer),
    };
    let accept = async { Some(job.tls.accept(socket).await) };
    let unwanted = async {
        // Nothing is ever sent: this ends when the other end is gone.
        let _ = job.wanted.recv().await;
        None
    };
    let crowded = async {
        let _ = stays.recv().await;
        None
    };
    let accepted = future::or(accept, future::or(unwanted, crowded)).await;
    match accepted {
        None if stays.is_closed() && !job.wanted.is_closed() => {
            refused("too slow with its TLS handshake while others waited".into())
        }
        None => None,
        Some(Ok(stream)) => Some(
            stream
                .try_map(|watched| watched.socket.into_inner())
                .map_err(|error| Failure::Refused(error.to_string(), None)),
        ),
        Some(Err(refused)) => Some(Err(match refused.reason {
            Refusal::Closed if !answer.get().begun => Failure::Left,
            reason => Failure::Refused(reason.to_string(), refused.socket.socket.into_inner().ok()),
        })),
    }
}

/// A socket that notes since when its peer is to answer.
struct Watched {
    socket: Async<TcpStream>,
    answer: Rc<Cell<Awaited>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if let Poll::Ready(Ok(1..)) = result {
            let since = self.answer.get().since;
            self.answer.set(Awaited { since, begun: true });
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if let Poll::Ready(Ok(1..)) = result {
            let since = Instant::now();
            self.answer.set(Awaited { since, begun: true });
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}
