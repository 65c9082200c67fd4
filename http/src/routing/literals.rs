//! A table of paths without parameters.
//!
//! Most requests are for such a path. The table is searched before the tree of patterns, in which a
//! literal path would win over every parameter too.

/// Values by path.
pub(crate) struct Literals<T> {
    /// The paths by their length; those of one length are sorted.
    by_length: Vec<Vec<(Box<[u8]>, T)>>,
}

impl<T> Literals<T> {
    pub(crate) const fn new() -> Self {
        Self { by_length: Vec::new() }
    }

    /// Returns `true` if `pattern` has neither parameters nor escaped braces, so that it belongs
    /// here.
    pub(crate) fn accepts(pattern: &str) -> bool {
        !pattern.contains(['{', '}'])
    }

    /// Adds a path, which must not be in the table yet.
    pub(crate) fn insert(&mut self, path: &str, value: T) {
        if self.by_length.len() <= path.len() {
            self.by_length.resize_with(path.len() + 1, Vec::new);
        }
        let paths = &mut self.by_length[path.len()];
        let at = paths.partition_point(|(known, _)| **known < *path.as_bytes());
        debug_assert!(paths.get(at).is_none_or(|(known, _)| **known != *path.as_bytes()));
        paths.insert(at, (path.as_bytes().into(), value));
    }

    /// Returns the value of a path.
    #[inline]
    pub(crate) fn find(&self, path: &[u8]) -> Option<&T> {
        let paths = self.by_length.get(path.len())?;
        let at = paths.binary_search_by(|(known, _)| (**known).cmp(path)).ok()?;
        Some(&paths[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inserted_paths_are_found() {
        let paths = ["/", "/a", "/b", "/c", "/aa", "/ab", "/ba", "/long/path", "/long/peth"];
        let mut literals = Literals::new();
        for path in paths.iter().rev() {
            literals.insert(path, *path);
        }
        for path in paths {
            assert_eq!(literals.find(path.as_bytes()), Some(&path));
        }
        for path in ["", "/d", "/A", "/ac", "/a/", "/long/pbth", "/long/paths", "//"] {
            assert_eq!(literals.find(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn patterns_with_braces_are_not_accepted() {
        let accepts = Literals::<()>::accepts;
        assert!(accepts("/") && accepts("/a/b*c"));
        assert!(!accepts("/{a}") && !accepts("/a{{b") && !accepts("/a}}") && !accepts("/{*rest}"));
    }
}
