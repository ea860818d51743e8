//! Where the newest snapshot of one proxy lies: written by the publisher, watched by the proxy's one stream.
//!
//! An endpoint change writes to every slot, so a slot is no more than a pointer and the waker of whoever looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::ViewSnapshot;

/// The newest snapshot; those in between are never kept.
#[derive(Debug)]
pub(crate) struct Slot<S = ViewSnapshot> {
    snapshot: Mutex<Arc<S>>,
    stream: AtomicWaker,
    closed: AtomicBool,
}

impl<S> Slot<S> {
    pub(super) fn new(snapshot: Arc<S>) -> Self {
        Self { snapshot: Mutex::new(snapshot), stream: AtomicWaker::new(), closed: AtomicBool::new(false) }
    }

    /// Puts a newer snapshot in.
    pub(super) fn put(&self, snapshot: Arc<S>) {
        let before = std::mem::replace(&mut *self.snapshot.lock(), snapshot);
        self.stream.wake();
        drop(before); // perhaps the last one to have it: not under the lock
    }

    /// Nothing newer will come.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.stream.wake();
    }

    /// The snapshot as it is now.
    pub(crate) fn get(&self) -> Arc<S> {
        self.snapshot.lock().clone()
    }

    /// A snapshot other than the one that was seen last; none once the publisher is gone. One task at a time may wait.
    pub(crate) fn poll_other(&self, seen: &Arc<S>, context: &mut Context<'_>) -> Poll<Option<Arc<S>>> {
        self.stream.register(context.waker());
        let newest = self.snapshot.lock();
        if !Arc::ptr_eq(&newest, seen) {
            return Poll::Ready(Some(newest.clone()));
        }
        if self.closed.load(Ordering::Acquire) { Poll::Ready(None) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_stream_is_woken_and_finds_only_the_newest() {
        let first = Arc::new(1);
        let slot = Slot::new(first.clone());
        let woken = Arc::new(Count::default());
        let waker = woken.clone().into();
        let mut context = Context::from_waker(&waker);
        assert!(slot.poll_other(&first, &mut context).is_pending());
        let (second, third) = (Arc::new(2), Arc::new(3));
        slot.put(second);
        slot.put(third.clone());
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "woken once for what it has not looked at");
        let Poll::Ready(Some(newest)) = slot.poll_other(&first, &mut context) else { panic!("no news") };
        assert!(Arc::ptr_eq(&newest, &third));
        assert!(slot.poll_other(&third, &mut context).is_pending());
    }

    #[test]
    fn the_end_is_told_after_the_last_snapshot() {
        let (first, last) = (Arc::new(1), Arc::new(2));
        let slot = Slot::new(first.clone());
        slot.put(last.clone());
        slot.close();
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(slot.poll_other(&first, &mut context), Poll::Ready(Some(_))));
        assert!(matches!(slot.poll_other(&last, &mut context), Poll::Ready(None)));
    }
}
