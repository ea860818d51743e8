//! Bodies of any length, made and checked without holding them in memory.
//!
//! Both ends know the pattern: blocks of 64 KiB, each stamped with its number,
//! so that a lost, repeated or swapped block changes the checksum.

use std::hash::Hasher as _;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde::Serialize;
use twox_hash::XxHash64;

/// An error of either end of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The one body type that client requests use.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

const BLOCK: usize = 64 * 1024;

/// A body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(Into::into).boxed_unsync()
}

/// A body that is at hand.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

/// A body of `length` bytes of the pattern, made as it is sent.
pub fn pattern(length: u64) -> Body {
    StreamBody::new(blocks(length).map(|block| Ok(Frame::data(block)))).boxed_unsync()
}

/// The pattern, block by block.
pub fn blocks(length: u64) -> impl Stream<Item = Bytes> + Send {
    let plain: Vec<u8> = (0..BLOCK).map(|index| (index % 251) as u8).collect();
    let count = length.div_ceil(BLOCK as u64);
    futures::stream::iter(0..count).map(move |number| {
        let mut block = plain.clone();
        block[..8].copy_from_slice(&number.to_le_bytes());
        block.truncate((length - number * BLOCK as u64).min(BLOCK as u64) as usize);
        Bytes::from(block)
    })
}

/// What arrived of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// How many bytes.
    pub bytes: u64,
    /// Their xxHash64, in hex.
    pub xxh64: String,
}

/// Computes a [`Digest`] piece by piece.
pub struct Checksum {
    bytes: u64,
    hash: XxHash64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { bytes: 0, hash: XxHash64::with_seed(0) }
    }
}

impl Checksum {
    /// Adds the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.hash.write(piece);
    }

    /// Ends the sum.
    pub fn finish(&self) -> Digest {
        Digest { bytes: self.bytes, xxh64: format!("{:016x}", self.hash.finish()) }
    }
}

/// The digest of `length` bytes of the pattern.
pub async fn expected(length: u64) -> Digest {
    let mut sum = Checksum::default();
    let mut blocks = std::pin::pin!(blocks(length));
    while let Some(block) = blocks.next().await {
        sum.add(&block);
    }
    sum.finish()
}

/// Reads a body to its end, keeping at most `keep` bytes of it.
pub async fn drain<B>(mut body: B, keep: usize) -> Result<(Digest, Vec<u8>), B::Error>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    let (mut sum, mut kept) = (Checksum::default(), Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            sum.add(&data);
            let room = keep.saturating_sub(kept.len()).min(data.len());
            kept.extend_from_slice(&data[..room]);
        }
    }
    Ok((sum.finish(), kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_sent_is_what_the_other_end_expects() {
        for length in [0, 1, 65_536, 65_537, 1_000_000] {
            let (digest, kept) = drain(pattern(length), 10).await.unwrap();
            assert_eq!(digest, expected(length).await, "{length}");
            assert_eq!(digest.bytes, length);
            assert_eq!(kept.len() as u64, length.min(10));
        }
    }

    #[tokio::test]
    async fn swapped_blocks_are_noticed() {
        let mut blocks: Vec<Bytes> = blocks(3 * 65_536).collect().await;
        blocks.swap(0, 1);
        let mut sum = Checksum::default();
        for block in &blocks {
            sum.add(block);
        }
        assert_ne!(sum.finish(), expected(3 * 65_536).await);
    }
}
