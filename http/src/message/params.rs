//! The parameters of a path, as positions in the received path.

/// The positions of the parameters' values in the path, in the order of the route's names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ParamSpans {
    spans: [(u16, u16); PARAMS_MAX],
}

/// Maximum number of parameters in a route. The router refuses routes with more.
pub(crate) const PARAMS_MAX: usize = 6;

impl ParamSpans {
    /// Sets the position of a value in the path.
    pub(crate) fn set(&mut self, index: usize, start: usize, length: usize) {
        // A head is shorter than 64 KiB.
        self.spans[index] = (start as u16, (start + length) as u16);
    }

    /// Returns the value at `index`.
    pub(super) fn value(self, index: usize, path: &[u8]) -> Option<&str> {
        let (start, end) = self.spans[index];
        let value = path.get(usize::from(start)..usize::from(end))?;
        // The decoder has checked that a path is ASCII.
        std::str::from_utf8(value).ok()
    }
}
