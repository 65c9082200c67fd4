//! Masks of frames (RFC 6455 section 5.3).

/// The mask of a frame, at the position of the next byte of its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// Unmasks the next bytes of the payload, eight at a time.
    pub(super) fn apply(&mut self, data: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = data.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0.iter().cycle()) {
            *byte ^= key;
        }
        self.0.rotate_left(rest.len() % 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_in_parts_is_unmasked_as_one_in_one_piece_byte_by_byte() {
        let key = [1, 20, 130, 255];
        let data: Vec<u8> = (0..100).collect();
        let expected: Vec<_> = data.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
        for first in 0..40 {
            for second in [0, 1, 3, 7, 8, 9, 16, 33] {
                let mut mask = Mask::new(key);
                let mut masked = data.clone();
                let (start, rest) = masked.split_at_mut(first);
                let (middle, end) = rest.split_at_mut(second);
                mask.apply(start);
                mask.apply(middle);
                mask.apply(end);
                assert_eq!(masked, expected, "{first}, {second}");
            }
        }
    }
}
