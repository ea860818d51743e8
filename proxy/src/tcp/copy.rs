//! Copies bytes both ways between a client and an endpoint.
//!
//! Buffers start at 1 KiB and grow with what passes, so that a thousand idle connections cost little and one busy one
//! makes few system calls. Buffers are let go when nothing moves.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::listen::lifetime::{Lifetime, Order};

/// Sizes of a direction's buffer, and how many bytes must have passed before each.
const SIZES: [(u64, usize); 3] = [(0, 1024), (128 << 10, 16 << 10), (10 << 20, 256 << 10)];

/// What was carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Bytes from the client to the endpoint.
    pub from_client: u64,
    /// Bytes from the endpoint to the client.
    pub from_upstream: u64,
    /// We ended the connection, because it was idle, too old or drained.
    pub ended_by_us: bool,
}

/// Copies until both ends have closed, one fails, or the connection's lifetime is over. Tells `moved` of what has
/// passed in all.
pub async fn both_ways(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    lifetime: &Lifetime,
    moved: impl Fn(Carried),
) -> Carried {
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut ended_by_us = false;
    // A failure in one direction ends both; what was carried until then counts.
    let _failed = poll_fn(|context| {
        match lifetime.obey(context) {
            Order::None => {}
            Order::Rest => {
                up.rest();
                down.rest();
            }
            Order::Finish | Order::Close => {
                ended_by_us = true;
                return Poll::Ready(Ok(()));
            }
        }
        let before = up.carried + down.carried;
        let up_done = up.poll(context, &mut client, &mut upstream)?;
        let down_done = down.poll(context, &mut upstream, &mut client)?;
        if up.carried + down.carried != before {
            lifetime.touch();
            moved(Carried { from_client: up.carried, from_upstream: down.carried, ended_by_us });
        }
        if up_done.is_ready() && down_done.is_ready() {
            Poll::Ready(io::Result::Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await;
    Carried { from_client: up.carried, from_upstream: down.carried, ended_by_us }
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    buffer: BytesMut,
    carried: u64,
    read_closed: bool,
    flushed: bool,
    closed: bool,
}

impl Direction {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            while self.buffer.has_remaining() {
                let written = ready!(Pin::new(&mut *to).poll_write(context, &self.buffer))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.buffer.advance(written);
                self.carried += written as u64;
                self.flushed = false;
            }
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.read_closed {
                ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                self.closed = true;
                continue;
            }
            self.make_room();
            match poll_read_buf(Pin::new(&mut *from), context, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.read_closed = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // Nothing to read: what TLS holds back goes out.
                    self.rest_if_small();
                    if !self.flushed {
                        ready!(Pin::new(&mut *to).poll_flush(context))?;
                        self.flushed = true;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// A small buffer is cheaper to make again than to keep.
    fn rest_if_small(&mut self) {
        if self.buffer.capacity() <= SIZES[1].1 {
            self.rest();
        }
    }

    fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn make_room(&mut self) {
        let size =
            SIZES.iter().rev().find(|(after, _)| self.carried >= *after).map_or(1024, |(_, size)| *size);
        self.buffer.clear();
        if self.buffer.capacity() < size {
            self.buffer = BytesMut::with_capacity(size);
        }
    }
}
