//! The bytes received and not decoded yet.

// std
use std::{fmt, mem, ops};

// crates
use bytes::{Buf, Bytes, BytesMut};

/// A receive buffer that owns memory only while it holds something.
///
/// What is appended to an empty one lands in an allocation of exactly its size, so that taking
/// all of it out again as [`Bytes`] hands that allocation on, without a second one.
#[derive(Default)]
pub(crate) struct ReceiveBuffer {
    bytes: BytesMut,
    /// How many of the bytes in front are forgotten. To take them off is dearer than to count them,
    /// and most heads are followed by nothing else, or by one more head.
    skipped: usize,
}

impl ReceiveBuffer {
    /// Copies `data` behind what is there.
    #[inline]
    pub(crate) fn append(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = Self { bytes: BytesMut::from(data), skipped: 0 };
        } else {
            // Else the forgotten bytes of a peer that never stops would pile up.
            self.drop_skipped();
            self.bytes.extend_from_slice(data);
        }
    }

    /// Puts `data` behind what is there: its memory, if there is nothing and half of it is used at
    /// the least; else a copy.
    pub(crate) fn append_owned(&mut self, data: Vec<u8>) {
        if self.is_empty() && data.len() > data.capacity() / 2 {
            *self = Self { bytes: Bytes::from(data).into(), skipped: 0 };
        } else {
            self.append(&data);
        }
    }

    /// Takes the first `count` bytes out, without copying them.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if count == self.len() {
            self.take_all().freeze()
        } else {
            self.drop_skipped();
            self.bytes.split_to(count).freeze()
        }
    }

    /// Forgets the first `count` bytes.
    #[inline]
    pub(crate) fn skip(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.skipped += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes everything out, to be appended to by its new owner.
    pub(crate) fn take_all(&mut self) -> BytesMut {
        self.drop_skipped();
        mem::take(self).bytes
    }

    /// Takes off what is forgotten.
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
    fn what_is_taken_and_left_is_what_was_appended() {
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
    fn memory_that_is_handed_over_is_kept_unless_it_is_much_too_large() {
        let taken = |before: &[u8], length: usize, capacity: usize| {
            let mut data = Vec::with_capacity(capacity);
            data.resize(length, b'a');
            let place = data.as_ptr();
            let mut buffer = ReceiveBuffer::default();
            buffer.append(before);
            buffer.append_owned(data);
            let all = buffer.take(buffer.len());
            assert_eq!(all, [before, &vec![b'a'; length]].concat());
            all.as_ptr() == place
        };
        assert!(taken(b"", 1000, 1000) && taken(b"", 501, 1000));
        assert!(!taken(b"", 500, 1000) && !taken(b"", 0, 1000) && !taken(b"b", 1000, 1000));
    }

    #[test]
    fn memory_is_bounded_by_what_is_not_decoded() {
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
