//! Collects what a connection writes during one turn of its task, and writes it at once.
//!
//! HTTP/2 flushes after each frame with a body, which makes one system call and one TLS record of every frame. A
//! [`Corked`] connection takes those flushes as a promise; whoever drives the connection keeps it by calling
//! [`Cork::poll_flush`] at the end of each turn.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are collected at most.
const MOST: usize = 64 * 1024;
/// Writes from this size on go past the collection, if nothing waits in it.
const LARGE: usize = 16 * 1024;

/// A connection that collects its writes.
#[derive(Debug)]
pub struct Corked<T>(Rc<RefCell<Inner<T>>>);

/// The other handle of a [`Corked`] connection, which writes what was collected.
#[derive(Debug)]
pub struct Cork<T>(Rc<RefCell<Inner<T>>>);

#[derive(Debug)]
struct Inner<T> {
    io: T,
    collected: BytesMut,
    unflushed: bool,
}

impl<T: AsyncWrite + Unpin> Corked<T> {
    /// A connection that collects, and the handle to write it.
    pub fn new(io: T) -> (Self, Cork<T>) {
        let inner = Rc::new(RefCell::new(Inner { io, collected: BytesMut::new(), unflushed: false }));
        (Self(inner.clone()), Cork(inner))
    }
}

impl<T: AsyncWrite + Unpin> Cork<T> {
    /// Writes what was collected. Not ready: the connection is full, and wakes the task when it isn't.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if !inner.unflushed {
            return Poll::Ready(Ok(()));
        }
        inner.poll_flush(context)
    }
}

impl<T: AsyncWrite + Unpin> Inner<T> {
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.collected.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.collected))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.collected.advance(written);
        }
        // Idle, a connection holds nothing.
        self.collected = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let size: usize = slices.iter().map(|slice| slice.len()).sum();
        if size > 0 && self.collected.len() + size > MOST {
            ready!(self.poll_drain(context))?;
        }
        self.unflushed = true;
        if self.collected.is_empty() && size >= LARGE {
            return Pin::new(&mut self.io).poll_write_vectored(context, slices);
        }
        for slice in slices {
            self.collected.extend_from_slice(slice);
        }
        Poll::Ready(Ok(size))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Corked<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Corked<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Kept by `Cork::poll_flush`.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.poll_flush(context))?;
        Pin::new(&mut inner.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn writes_of_one_turn_go_out_together() {
        let (near, mut far) = duplex(1 << 20);
        let (mut corked, cork) = Corked::new(near);
        corked.write_all(b"one ").await.unwrap();
        corked.flush().await.unwrap();
        corked.write_all(b"two").await.unwrap();
        let mut buffer = [0; 100];
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut far).poll_read(&mut context, &mut ReadBuf::new(&mut buffer)).is_pending());
        poll_fn(|context| cork.poll_flush(context)).await.unwrap();
        let count = far.read(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..count], b"one two");
    }

    #[tokio::test]
    async fn a_full_connection_pushes_back_and_loses_nothing() {
        let (near, mut far) = duplex(1000);
        let (mut corked, cork) = Corked::new(near);
        let sent: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let copy = sent.clone();
        let local = tokio::task::LocalSet::new();
        let received = local
            .run_until(async move {
                tokio::task::spawn_local(async move {
                    for part in copy.chunks(700) {
                        corked.write_all(part).await.unwrap();
                    }
                    poll_fn(|context| cork.poll_flush(context)).await.unwrap();
                    corked.shutdown().await.unwrap();
                });
                let mut received = Vec::new();
                far.read_to_end(&mut received).await.unwrap();
                received
            })
            .await;
        assert!(received == sent);
    }
}
