//! The parameters of a path, as places in the path that was received.

/// Where in the path the values of its parameters stand, in the order of the route's names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ParamSpans {
    spans: [(u16, u16); PARAMS_MAX],
}

/// Parameters in one route; a router refuses routes with more.
pub(crate) const PARAMS_MAX: usize = 6;

impl ParamSpans {
    pub(crate) fn set(&mut self, index: usize, start: usize, length: usize) {
        // Offsets into a head, which has less than 64 KiB.
        self.spans[index] = (start as u16, (start + length) as u16);
    }

    pub(super) fn value(self, index: usize, path: &[u8]) -> Option<&str> {
        let (start, end) = self.spans[index];
        let value = path.get(usize::from(start)..usize::from(end))?;
        // A path was found to be ASCII when it was decoded.
        std::str::from_utf8(value).ok()
    }
}
