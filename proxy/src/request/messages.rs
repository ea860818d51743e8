//! Counts the messages in a gRPC stream, for `istio_request_messages_total` and its sister.

/// Counts length-prefixed messages in a stream of bytes.
#[derive(Debug, Default)]
pub struct GrpcMessages {
    /// Bytes of the present message's head that have come.
    head: u8,
    length: u32,
    /// Bytes of the present message that are still to come.
    left: u32,
}

impl GrpcMessages {
    /// The messages that begin in `data`.
    pub fn count(&mut self, data: &[u8]) -> u64 {
        let mut messages = 0;
        let mut rest = data;
        while let Some(&byte) = rest.first() {
            if self.left > 0 {
                let skipped = rest.len().min(self.left as usize);
                self.left -= skipped as u32;
                rest = &rest[skipped..];
                continue;
            }
            if self.head > 0 {
                self.length = self.length << 8 | u32::from(byte);
            }
            self.head += 1;
            rest = &rest[1..];
            if self.head == 5 {
                messages += 1;
                *self = Self { left: self.length, ..Self::default() };
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_counted_however_they_are_cut() {
        let mut stream = vec![0, 0, 0, 0, 3, 1, 2, 3];
        stream.extend([0, 0, 0, 0, 0]);
        stream.extend([1, 0, 0, 0, 1, 9]);
        for size in 1..stream.len() {
            let mut counter = GrpcMessages::default();
            let counted: u64 = stream.chunks(size).map(|chunk| counter.count(chunk)).sum();
            assert_eq!(counted, 3, "in pieces of {size}");
        }
    }
}
