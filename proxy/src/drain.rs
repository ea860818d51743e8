//! How connections come to an end without a failed request.
//!
//! Each connection holds the [`Signal`] of its filter chain. The runtime raises it when the chain has left the
//! configuration or the process is told to end. A drained HTTP/1 connection says `connection: close` with its next
//! response, an HTTP/2 connection sends GOAWAY; whatever is left after the grace is closed.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::snapshot::{
    Listeners,
    listener::{Direction, FilterChain},
};

/// What the whole process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Serving.
    #[default]
    Running,
    /// Told to end. New connections are still served, since clients may not know yet, but inbound and gateway
    /// connections announce their close.
    Draining,
    /// Nothing new is accepted; what is idle is closed.
    Closing,
}

/// The process's phase and how many connections it has. Shared by all threads.
#[derive(Debug, Clone)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    connections: Arc<AtomicUsize>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { phase: Arc::new(watch::channel(Phase::Running).0), connections: Arc::default() }
    }
}

impl Drain {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a later phase.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = (*now as u8) < (phase as u8);
            if later {
                *now = phase;
            }
            later
        });
    }

    /// Tells of every change of phase.
    pub fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Connections that are open.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection until the guard is dropped.
    pub fn count(&self) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(self.connections.clone())
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells the connections of one chain, on one worker, to end.
#[derive(Debug, Default)]
pub struct Signal {
    deadline: Cell<Option<Instant>>,
}

impl Signal {
    /// Tells them to have ended after `grace`. An earlier deadline stays.
    pub fn raise(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        if self.deadline.get().is_none_or(|earlier| deadline < earlier) {
            self.deadline.set(Some(deadline));
        }
    }

    /// When connections must have ended, if they must.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.get()
    }
}

/// The chains that connections of one worker use.
#[derive(Debug, Default)]
pub struct Chains(RefCell<Vec<InUse>>);

#[derive(Debug)]
struct InUse {
    listener: Arc<str>,
    chain: Arc<FilterChain>,
    direction: Direction,
    signal: Rc<Signal>,
}

impl Chains {
    /// The signal for a new connection of this chain.
    pub fn enter(&self, listener: &Arc<str>, chain: &Arc<FilterChain>, direction: Direction) -> Rc<Signal> {
        let mut chains = self.0.borrow_mut();
        if let Some(known) = chains.iter().find(|known| Arc::ptr_eq(&known.chain, chain)) {
            return known.signal.clone();
        }
        chains.retain(|known| Rc::strong_count(&known.signal) > 1);
        let signal = Rc::new(Signal::default());
        chains.push(InUse {
            listener: listener.clone(),
            chain: chain.clone(),
            direction,
            signal: signal.clone(),
        });
        signal
    }

    /// Drains the connections whose chain isn't in the configuration any more.
    pub fn follow(&self, listeners: &Listeners, grace: Duration) {
        self.0.borrow_mut().retain(|known| {
            if Rc::strong_count(&known.signal) == 1 {
                return false;
            }
            let present = listeners
                .named(&known.listener)
                .is_some_and(|listener| listener.chains.iter().any(|chain| chain.same(&known.chain)));
            if !present {
                known.signal.raise(grace);
            }
            true
        });
    }

    /// Drains the connections that others have with us; those of the workload itself only if `outbound`.
    pub fn drain(&self, grace: Duration, outbound: bool) {
        for known in &*self.0.borrow() {
            if outbound || known.direction != Direction::Outbound {
                known.signal.raise(grace);
            }
        }
    }
}
