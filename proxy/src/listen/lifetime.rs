//! How long connections live.
//!
//! A connection on the hot path only counts what it does in its [`Lifetime`]. Once in a while the worker looks at all
//! of them ([`Lifetimes::sweep`]) and tells those to end that are idle, slow, too old or drained: no connection has
//! timers of its own.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::time::Instant;

use crate::drain::Signal;

/// A client that has begun a request must finish its head in this time, where nothing else is configured.
pub const HEAD: Duration = Duration::from_mins(1);
/// The least time between two sweeps, and the usual one.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Nothing.
    #[default]
    None,
    /// Take nothing new, finish what is under way, close.
    Finish,
    /// Close at once.
    Close,
    /// Nothing has moved since the last sweep: let go of what is only worth having while something does.
    Rest,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HTTP/1: announces its close with a response.
    Http1,
    /// HTTP/2: announces it when it is told to finish.
    Http2,
    /// Bytes: can't announce it.
    Tcp,
}

/// The limits of a connection. `None` is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Nothing moved, or no request came, for this long.
    pub idle: Option<Duration>,
    /// Time for a head to come.
    pub head: Option<Duration>,
    /// Time that the connection may last.
    pub age: Option<Duration>,
}

/// One connection.
#[derive(Debug)]
pub struct Lifetime {
    signal: Rc<Signal>,
    limits: Limits,
    started: Instant,
    /// It announces a drain on its own with the next response (HTTP/1); otherwise it must be told to finish.
    announces: bool,
    /// It has something to let go when nothing moves (TCP).
    rests: bool,
    /// Requests under way.
    active: Cell<u32>,
    /// Counts requests, or reads and writes.
    moved: Cell<u64>,
    /// Bytes have come since the last request began or ended. Atomic only because hyper wants its I/O to be `Send`.
    received: Arc<AtomicBool>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    seen: Cell<Seen>,
}

/// What the last sweep saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    moved: u64,
    quiet_since: Instant,
    partial_since: Option<Instant>,
    told: bool,
    overdue: bool,
    rests: bool,
}

impl Lifetime {
    /// A connection that has just begun.
    pub fn new(signal: Rc<Signal>, limits: Limits, kind: Kind) -> Rc<Self> {
        let started = Instant::now();
        Rc::new(Self {
            announces: kind != Kind::Http2,
            rests: kind == Kind::Tcp,
            signal,
            limits,
            started,
            active: Cell::new(0),
            moved: Cell::new(0),
            received: Arc::default(),
            order: Cell::default(),
            waker: RefCell::default(),
            seen: Cell::new(Seen {
                moved: 0,
                quiet_since: started,
                partial_since: None,
                told: false,
                overdue: false,
                rests: false,
            }),
        })
    }

    /// A request has come. Returns how many have.
    pub fn begin(&self) -> u64 {
        self.active.set(self.active.get() + 1);
        self.received.store(false, Ordering::Relaxed);
        self.moved.set(self.moved.get() + 1);
        self.moved.get()
    }

    /// A request is over.
    pub fn end(&self) {
        self.active.set(self.active.get() - 1);
        self.received.store(false, Ordering::Relaxed);
        self.moved.set(self.moved.get() + 1);
    }

    /// Bytes have come or gone.
    pub fn touch(&self) {
        self.moved.set(self.moved.get() + 1);
    }

    /// The mark that the connection's I/O sets when bytes come; outside of requests they are the beginning of one.
    pub fn received_mark(&self) -> Arc<AtomicBool> {
        self.received.clone()
    }

    /// Whether the connection should announce that it will close.
    pub fn closing(&self) -> bool {
        self.signal.deadline().is_some() || self.seen.get().told
    }

    /// Whether nothing is under way.
    pub fn idle(&self) -> bool {
        self.active.get() == 0
    }

    /// Takes the order, and wakes the task when there is another.
    pub fn obey(&self, context: &mut Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        self.order.take()
    }

    fn tell(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    fn sweep(&self, now: Instant) {
        let mut seen = self.seen.get();
        if self.moved.get() != seen.moved || self.active.get() > 0 {
            seen.moved = self.moved.get();
            seen.quiet_since = now;
            seen.rests = false;
        } else if !seen.rests && self.rests {
            seen.rests = true;
            self.tell(Order::Rest);
        }
        let partial = self.active.get() == 0 && self.received.load(Ordering::Relaxed);
        seen.partial_since = match (partial, seen.partial_since) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, since) => since,
        };
        let over = |since: Option<Instant>, limit: Option<Duration>| {
            since.zip(limit).is_some_and(|(since, limit)| now >= since + limit)
        };
        let quiet = over(Some(seen.quiet_since), self.limits.idle);
        let slow = over(seen.partial_since, self.limits.head);
        let old = over(Some(self.started), self.limits.age);
        let deadline = self.signal.deadline();
        if deadline.is_some_and(|deadline| now >= deadline) {
            // Requests under way had the whole grace.
            // What is under way had the whole grace and gets until the next sweep.
            self.tell(if seen.overdue { Order::Close } else { Order::Finish });
            seen.told = true;
            seen.overdue = true;
        } else if slow {
            self.tell(Order::Close);
        } else if (quiet || old || deadline.is_some() && !self.announces) && !seen.told {
            seen.told = true;
            self.tell(Order::Finish);
        }
        self.seen.set(seen);
    }
}

/// All connections of one worker.
#[derive(Debug)]
pub struct Lifetimes {
    all: RefCell<Vec<Weak<Lifetime>>>,
    interval: Cell<Duration>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { all: RefCell::default(), interval: Cell::new(SWEEPS.1) }
    }
}

impl Lifetimes {
    /// Looks after one more.
    pub fn add(&self, lifetime: &Rc<Lifetime>) {
        let shortest =
            [lifetime.limits.idle, lifetime.limits.head, lifetime.limits.age].into_iter().flatten().min();
        if let Some(limit) = shortest {
            self.interval.set(self.interval.get().min(limit / 4).max(SWEEPS.0));
        }
        self.all.borrow_mut().push(Rc::downgrade(lifetime));
    }

    /// Time until the next sweep.
    pub fn interval(&self) -> Duration {
        self.interval.get()
    }

    /// Tells those to end that must.
    pub fn sweep(&self, now: Instant) {
        let mut all = self.all.borrow_mut();
        all.retain(|lifetime| lifetime.upgrade().inspect(|lifetime| lifetime.sweep(now)).is_some());
        if all.capacity() > 64 && all.len() < all.capacity() / 4 {
            all.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn order(lifetime: &Lifetime) -> Order {
        lifetime.obey(&mut Context::from_waker(Waker::noop()))
    }

    async fn sweep_after(lifetimes: &Lifetimes, time: Duration) {
        tokio::time::advance(time).await;
        lifetimes.sweep(Instant::now());
    }

    fn connection(limits: Limits, kind: Kind) -> (Lifetimes, Rc<Signal>, Rc<Lifetime>) {
        let (lifetimes, signal) = (Lifetimes::default(), Rc::<Signal>::default());
        let lifetime = Lifetime::new(signal.clone(), limits, kind);
        lifetimes.add(&lifetime);
        (lifetimes, signal, lifetime)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_finishes_and_a_busy_one_goes_on() {
        let limits = Limits { idle: Some(10 * SECOND), ..Limits::default() };
        let (lifetimes, _, lifetime) = connection(limits, Kind::Http1);
        lifetime.begin();
        sweep_after(&lifetimes, 60 * SECOND).await;
        assert_eq!(order(&lifetime), Order::None);
        lifetime.end();
        sweep_after(&lifetimes, 9 * SECOND).await;
        assert_eq!(order(&lifetime), Order::None);
        sweep_after(&lifetimes, 10 * SECOND).await;
        assert_eq!(order(&lifetime), Order::Finish);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_closes_the_connection() {
        let limits = Limits { head: Some(5 * SECOND), ..Limits::default() };
        let (lifetimes, _, lifetime) = connection(limits, Kind::Http1);
        lifetime.received_mark().store(true, Ordering::Relaxed);
        sweep_after(&lifetimes, SECOND).await;
        assert_eq!(order(&lifetime), Order::None);
        sweep_after(&lifetimes, 5 * SECOND).await;
        assert_eq!(order(&lifetime), Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn drained_connections_announce_it_finish_and_are_closed_in_the_end() {
        for (kind, at_once) in [(Kind::Http1, Order::None), (Kind::Http2, Order::Finish)] {
            let (lifetimes, signal, lifetime) = connection(Limits::default(), kind);
            lifetime.begin();
            signal.raise(45 * SECOND);
            assert!(lifetime.closing());
            sweep_after(&lifetimes, SECOND).await;
            assert_eq!(order(&lifetime), at_once, "{kind:?}");
            sweep_after(&lifetimes, 45 * SECOND).await;
            assert_eq!(order(&lifetime), Order::Finish, "{kind:?}");
            sweep_after(&lifetimes, SECOND).await;
            assert_eq!(order(&lifetime), Order::Close, "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_of_bytes_is_told_to_rest_once() {
        let (lifetimes, _, lifetime) = connection(Limits::default(), Kind::Tcp);
        lifetime.touch();
        sweep_after(&lifetimes, SECOND).await;
        assert_eq!(order(&lifetime), Order::None);
        sweep_after(&lifetimes, SECOND).await;
        assert_eq!(order(&lifetime), Order::Rest);
        sweep_after(&lifetimes, SECOND).await;
        assert_eq!(order(&lifetime), Order::None);
    }

    #[tokio::test]
    async fn an_order_wakes_the_connection() {
        let limits = Limits { age: Some(Duration::ZERO), ..Limits::default() };
        let (lifetimes, _, lifetime) = connection(limits, Kind::Http2);
        let told = std::future::poll_fn(|context| match lifetime.obey(context) {
            Order::None => Poll::Pending,
            order => Poll::Ready(order),
        });
        let (told, ()) = tokio::join!(told, async { lifetimes.sweep(Instant::now()) });
        assert_eq!(told, Order::Finish);
    }
}
