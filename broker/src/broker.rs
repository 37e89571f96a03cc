//! The core thread: engine, sockets and listener in one loop. Each turn runs the tasks that have something to do, then
//! writes each connection that has something to say once, then sleeps until the next event or deadline.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use mqtt::ReasonCode;
use settings::{Problem, Settings};
use smol::LocalExecutor;
use tls::ServerTls;

use crate::certificates::{self, Protection};
use crate::connection::{self, Connection};
use crate::engine::{Access, ConnectionKey, Engine, Limits};
use crate::handshake::{Caller, Failure, Handshakes, Outcome};
use crate::link::Link;
use crate::listener::Listener;
use crate::reactor;
use crate::syslog::{self, always};

/// Connections by the engine's keys.
#[derive(Debug, Default)]
pub(crate) struct Connections(Vec<Option<Connection>>);

impl Connections {
    pub(crate) fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut Connection> {
        self.0.get_mut(key as usize)?.as_mut()
    }

    /// Ends a connection's socket; its task ends when it notices.
    pub(crate) fn remove(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.0.get_mut(key as usize).and_then(Option::take) {
            connection.wake();
        }
        while self.0.last().is_some_and(Option::is_none) {
            self.0.pop();
        }
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
    }

    fn insert(&mut self, key: ConnectionKey, connection: Connection) {
        let index = key as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(connection);
    }
}

/// What another thread has to say to the core.
#[derive(Debug)]
pub(crate) enum Mail {
    /// SIGTERM or SIGINT.
    Terminate,
    /// SIGHUP: the settings as they are now, or what is wrong with them.
    Reload(Result<Box<(Settings, Protection)>, Vec<String>>),
    /// A handshake is over.
    Handshake(Caller, Box<Outcome>),
}

/// How the broker came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A signal asked for it.
    Terminated,
    /// The settings say that there is to be none.
    Disabled,
}

/// Everything that lives on the core thread.
#[derive(Debug)]
pub(crate) struct Broker {
    executor: LocalExecutor<'static>,
    pub(crate) engine: RefCell<Engine>,
    pub(crate) connections: RefCell<Connections>,
    pub(crate) listener: RefCell<Listener>,
    /// Every read of every connection goes here first; what is not a whole packet is copied out.
    pub(crate) buffer: RefCell<Box<[u8]>>,
    /// Tasks that have more to do, but let the others go first.
    again: RefCell<Vec<Waker>>,
    settings: RefCell<Settings>,
    /// What is wrong with the settings that were read last and not taken.
    rejected: RefCell<Vec<String>>,
    /// What new connections begin with.
    protection: RefCell<Protection>,
    handshakes: Handshakes,
    started: Instant,
    now: Cell<Instant>,
    serial: Cell<u32>,
    ending: Cell<Option<(Ended, Instant)>>,
}

/// How long clients have at the end to take their last bytes.
const FAREWELL: Duration = Duration::from_millis(500);

impl Broker {
    /// A broker under `settings`, listening or about to.
    pub(crate) fn new(
        settings: Settings,
        protection: Protection,
        handshakes: Handshakes,
    ) -> Rc<Broker> {
        let now = Instant::now();
        let limits = Limits::new(&settings, memory_total());
        let access = Access::new(settings.authentication.clone());
        raise_descriptor_limit(limits.max_clients);
        Rc::new(Broker {
            executor: LocalExecutor::new(),
            engine: RefCell::new(Engine::new(now, limits, access)),
            connections: RefCell::default(),
            listener: RefCell::new(Listener::new(&settings, now)),
            buffer: RefCell::new(vec![0; connection::BUFFER].into_boxed_slice()),
            again: RefCell::default(),
            settings: RefCell::new(settings),
            rejected: RefCell::default(),
            protection: RefCell::new(protection),
            handshakes,
            started: now,
            now: Cell::new(now),
            serial: Cell::new(0),
            ending: Cell::new(None),
        })
    }

    /// Adds a task to the core thread.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task).detach();
    }

    /// Lets a task run again next turn.
    pub(crate) fn again(&self, waker: &Waker) {
        self.again.borrow_mut().push(waker.clone());
    }

    /// When this broker began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// When this turn of the loop began. A turn takes little time, and many a router's clock costs a system call.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> std::cell::Ref<'_, Settings> {
        self.settings.borrow()
    }

    /// What is wrong with the settings that were read last, if they were not taken.
    pub(crate) fn rejected(&self) -> std::cell::Ref<'_, Vec<String>> {
        self.rejected.borrow()
    }

    /// What is to be warned of in the certificates, at this time of the clock.
    pub(crate) fn certificate_warnings(&self) -> Vec<Problem> {
        self.protection.borrow().warnings.now()
    }

    /// Runs until a signal or the settings end it.
    ///
    /// # Errors
    /// When the system refuses to wait for events: nothing can go on then.
    pub(crate) fn run(self: &Rc<Self>) -> io::Result<Ended> {
        let mut dirty = Vec::new();
        loop {
            let now = Instant::now();
            self.now.set(now);
            self.engine.borrow_mut().expire(now);
            self.listen(now);
            while self.executor.try_tick() {}
            self.flush(&mut dirty);
            if let Some((ended, until)) = self.ending.get()
                && (self.engine.borrow().connections() == 0 || now >= until)
            {
                return Ok(ended);
            }
            reactor::wait(self.patience())?;
            for waker in self.again.borrow_mut().drain(..) {
                waker.wake();
            }
        }
    }

    /// How long the loop may sleep.
    fn patience(&self) -> Option<Duration> {
        if !self.again.borrow().is_empty() {
            return Some(Duration::ZERO);
        }
        let ending = self.ending.get().map(|(_, until)| until);
        let deadline = self.engine.borrow().deadline();
        let listener = self.listener.borrow().deadline();
        let first = [ending, deadline, listener].into_iter().flatten().min()?;
        Some(first.saturating_duration_since(self.now()))
    }

    /// Writes every connection with something in its outbox, and closes those that are at their end.
    pub(crate) fn flush(&self, dirty: &mut Vec<ConnectionKey>) {
        loop {
            for key in self.engine.borrow_mut().take_resumed() {
                // Next turn: whoever was held has had a long one.
                let mut connections = self.connections.borrow_mut();
                if let Some(waker) = connections.get_mut(key).and_then(Connection::resume) {
                    self.again(waker);
                }
            }
            self.engine.borrow_mut().take_dirty(dirty);
            if dirty.is_empty() {
                return;
            }
            let connections = &mut *self.connections.borrow_mut();
            for &key in &*dirty {
                let Some(connection) = connections.get_mut(key) else {
                    continue;
                };
                if let Poll::Ready(reason) = connection::write(self, key, connection) {
                    connections.remove(key);
                    self.engine.borrow_mut().closed(self.now(), key, reason);
                }
            }
        }
    }

    /// Opens the listener when it is time to try.
    fn listen(self: &Rc<Self>, now: Instant) {
        if self.ending.get().is_none() && self.listener.borrow_mut().try_open(now) {
            let opened = self.listener.borrow().serial();
            self.spawn(crate::listener::accept(Rc::clone(self), opened));
        }
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn admit(self: &Rc<Self>, stream: TcpStream, address: IpAddr) -> io::Result<()> {
        let tls = self.protection.borrow().tls.clone();
        if let ServerTls::None = tls {
            let link = Link::plain(stream)?;
            self.connect(address, |_| link);
        } else {
            // A handshake's messages must not wait for more to send either.
            let _ = stream.set_nodelay(true);
            self.connect(address, |caller| {
                Link::Handshaking(self.handshakes.begin(caller, stream, tls))
            });
        }
        Ok(())
    }

    fn connect(self: &Rc<Self>, address: IpAddr, link: impl FnOnce(Caller) -> Link) {
        let key = self.engine.borrow_mut().open(self.now(), address);
        let serial = self.serial.get().wrapping_add(1);
        self.serial.set(serial);
        let connection = Connection::new(link(Caller { key, serial }), serial);
        self.connections.borrow_mut().insert(key, connection);
        self.spawn(connection::serve(Rc::clone(self), key, serial));
    }

    /// A handshake is over: the connection goes on, or it is known why not.
    fn finish_handshake(&self, Caller { key, serial }: Caller, outcome: Outcome) {
        let mut connections = self.connections.borrow_mut();
        let connection = connections.get_mut(key);
        let Some(connection) = connection.filter(|one| one.awaits_handshake(serial)) else {
            return; // its time was over
        };
        let now = self.now();
        let mut engine = self.engine.borrow_mut();
        let (link, reason) = match outcome {
            Ok(stream) => {
                if let Some(name) = stream.peer_common_name() {
                    engine.identify(key, name);
                }
                (Link::secured(stream), None)
            }
            Err(Failure::Left) => {
                connections.remove(key);
                engine.closed(now, key, "the connection was closed");
                return;
            }
            Err(Failure::Refused(reason, Some(socket))) => (Link::plain(socket), Some(reason)),
            Err(Failure::Refused(reason, None)) => {
                engine.fail(now, key, reason);
                return; // without a link it is closed
            }
        };
        match link {
            Ok(link) => connection.open(link),
            Err(error) => engine.fail(now, key, error.to_string()),
        }
        if let Some(reason) = reason {
            engine.fail(now, key, reason);
        }
    }

    /// Does what another thread asks for.
    pub(crate) fn receive(self: &Rc<Self>, mail: Mail) {
        if self.ending.get().is_some() {
            return;
        }
        match mail {
            Mail::Terminate => self.end(Ended::Terminated),
            Mail::Reload(Err(problems)) => {
                for problem in &problems {
                    log::error!("settings not taken, the old ones stay: {problem}");
                }
                self.rejected.replace(problems);
            }
            Mail::Reload(Ok(new)) if !new.0.enabled => self.end(Ended::Disabled),
            Mail::Reload(Ok(new)) => {
                let (settings, protection) = *new;
                self.apply(settings, protection);
            }
            Mail::Handshake(caller, outcome) => self.finish_handshake(caller, *outcome),
        }
    }

    /// Puts other settings in force; whoever may stay notices nothing.
    fn apply(&self, settings: Settings, protection: Protection) {
        let now = self.now();
        let before = self.settings.replace(settings.clone());
        self.rejected.take();
        if before == settings {
            always!("settings read again, nothing has changed");
            return;
        }
        syslog::set_level(settings.log_level);
        // Those who are connected keep what they have; tickets for resumption are worth nothing any more.
        self.protection.replace(protection);
        let keep = certificates::allows_connections_of(&settings, &before);
        let limits = Limits::new(&settings, memory_total());
        raise_descriptor_limit(limits.max_clients);
        self.listener.borrow_mut().apply(&settings, now);
        let mut engine = self.engine.borrow_mut();
        engine.apply(now, limits, Access::new(settings.authentication));
        if !keep {
            let reason = "how clients must connect has changed";
            engine.end_all(now, ReasonCode::AdministrativeAction, reason);
        }
        always!("new settings in force");
    }

    fn end(&self, ended: Ended) {
        if self.ending.get().is_none() {
            let now = self.now();
            self.ending.set(Some((ended, now + FAREWELL)));
            self.listener.borrow_mut().close();
            let reason = "the broker is shutting down";
            self.engine
                .borrow_mut()
                .end_all(now, ReasonCode::ServerShuttingDown, reason);
        }
    }
}

/// RAM of this machine in bytes.
fn memory_total() -> u64 {
    let info = rustix::system::sysinfo();
    // As wide as a pointer, so on 32 bits counted in larger units where there is more.
    info.totalram as u64 * u64::from(info.mem_unit)
}

/// Lets the process have as many descriptors as its clients need.
fn raise_descriptor_limit(max_clients: Option<u32>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Those that make room for others are closed at the end of the turn.
    let beside = Listener::SPARE + Listener::ACCEPT_A_TURN as u64 + 32;
    let wanted = max_clients.map_or(1 << 20, |max| u64::from(max) + beside);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    );
    if raised.is_err() {
        // Without the right to raise the hard limit, what it allows must do.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        );
    }
}
