//! Paths without parameters, and what is found by them.
//!
//! Most requests name such a path. It is found by its bytes, among those of its length, before
//! anything looks through the tree of patterns; there too it would win over every parameter.

/// Values by path.
pub(crate) struct Literals<T> {
    /// The paths of each length, sorted.
    by_length: Vec<Vec<(Box<[u8]>, T)>>,
}

impl<T> Literals<T> {
    pub(crate) const fn new() -> Self {
        Self { by_length: Vec::new() }
    }

    /// Returns `true` if `pattern` is a path of which no part is a parameter, nor an escaped brace.
    pub(crate) fn takes(pattern: &str) -> bool {
        !pattern.contains(['{', '}'])
    }

    /// Adds a path, which must not be there yet.
    pub(crate) fn insert(&mut self, path: &str, value: T) {
        if self.by_length.len() <= path.len() {
            self.by_length.resize_with(path.len() + 1, Vec::new);
        }
        let alike = &mut self.by_length[path.len()];
        let at = alike.partition_point(|(known, _)| **known < *path.as_bytes());
        debug_assert!(alike.get(at).is_none_or(|(known, _)| **known != *path.as_bytes()));
        alike.insert(at, (path.as_bytes().into(), value));
    }

    #[inline]
    pub(crate) fn find(&self, path: &[u8]) -> Option<&T> {
        let alike = self.by_length.get(path.len())?;
        let at = alike.binary_search_by(|(known, _)| (**known).cmp(path)).ok()?;
        Some(&alike[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_found_and_nothing_else() {
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
    fn what_has_a_brace_is_for_the_tree() {
        let takes = Literals::<()>::takes;
        assert!(takes("/") && takes("/a/b*c"));
        assert!(!takes("/{a}") && !takes("/a{{b") && !takes("/a}}") && !takes("/{*rest}"));
    }
}
