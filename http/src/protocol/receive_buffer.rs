//! A buffer for bytes that were received and not decoded yet.

// std
use std::{fmt, mem, ops};

// crates
use bytes::{Buf, Bytes, BytesMut};

/// A receive buffer that owns memory only while it is not empty.
///
/// Data appended to an empty buffer gets an allocation of exactly its size. Taking all of it out as
/// [`Bytes`] passes that allocation on, without a second one.
#[derive(Default)]
pub(crate) struct ReceiveBuffer {
    bytes: BytesMut,
    /// How many of the first bytes have been consumed. Counting them costs less than removing them,
    /// and most heads are followed by nothing or by another head.
    skipped: usize,
}

impl ReceiveBuffer {
    /// Appends a copy of `data`.
    #[inline]
    pub(crate) fn append(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = Self { bytes: BytesMut::from(data), skipped: 0 };
        } else {
            // Otherwise consumed bytes would accumulate while a peer keeps sending.
            self.drop_skipped();
            self.bytes.extend_from_slice(data);
        }
    }

    /// Appends `data` from `start` on. Takes its memory over if the buffer is empty and more than
    /// half of the capacity after `start` is used, and copies it otherwise.
    pub(crate) fn append_owned(&mut self, data: Vec<u8>, start: usize) {
        if self.is_empty() && data.len() - start > (data.capacity() - start) / 2 {
            *self = Self { bytes: Bytes::from(data).into(), skipped: start };
        } else {
            self.append(&data[start..]);
        }
    }

    /// Takes out the first `count` bytes without copying them.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if count == self.len() {
            self.take_all().freeze()
        } else {
            self.drop_skipped();
            self.bytes.split_to(count).freeze()
        }
    }

    /// Consumes the first `count` bytes.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.skipped += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes and frees the memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out all bytes, in memory that the new owner can append to.
    pub(crate) fn take_all(&mut self) -> BytesMut {
        self.drop_skipped();
        mem::take(self).bytes
    }

    /// Removes the consumed bytes.
    fn drop_skipped(&mut self) {
        self.bytes.advance(mem::take(&mut self.skipped));
    }
}

impl ops::Deref for ReceiveBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(self.skipped..).unwrap_or_default()
    }
}

impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_out_in_the_order_in_which_they_were_appended() {
        let mut buffer = ReceiveBuffer::default();
        buffer.append(b"0123456789");
        buffer.skip(2);
        assert_eq!(&*buffer, b"23456789");
        assert_eq!(buffer.take(3), "234");
        buffer.skip(1);
        buffer.append(b"ab");
        assert_eq!(&*buffer, b"6789ab");
        assert_eq!(buffer.take(6), "6789ab");
        assert!(buffer.is_empty());
        buffer.append(b"cd");
        buffer.skip(1);
        assert_eq!(&*buffer.take_all(), b"d");
    }

    #[test]
    fn memory_is_taken_over_unless_half_of_it_is_unused() {
        let is_taken_over = |before: &[u8], length: usize, capacity: usize| {
            let of_memory = |start: usize| {
                let mut data = Vec::with_capacity(start + capacity);
                data.resize(start, b'-');
                data.resize(start + length, b'a');
                let place = data[start..].as_ptr();
                let mut buffer = ReceiveBuffer::default();
                buffer.append(before);
                buffer.append_owned(data, start);
                let all = buffer.take(buffer.len());
                assert_eq!(all, [before, &vec![b'a'; length]].concat());
                all.as_ptr() == place
            };
            let [at_start, later] = [0, 700].map(of_memory);
            assert_eq!(at_start, later);
            later
        };
        assert!(is_taken_over(b"", 1000, 1000) && is_taken_over(b"", 501, 1000));
        assert!(!is_taken_over(b"", 500, 1000) && !is_taken_over(b"", 0, 1000));
        assert!(!is_taken_over(b"b", 1000, 1000));
    }

    #[test]
    fn memory_is_bounded_by_the_bytes_that_are_not_consumed() {
        let mut buffer = ReceiveBuffer::default();
        for _ in 0..1000 {
            buffer.append(&[b'a'; 1000]);
            buffer.skip(buffer.len() - 1);
        }
        assert!(buffer.bytes.capacity() < 10_000, "{} bytes", buffer.bytes.capacity());
        buffer.skip(1);
        assert_eq!((buffer.bytes.capacity(), buffer.skipped), (0, 0));
    }
}
