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

    /// Adds a path.
    ///
    /// # Panics
    /// If the path is in the table already.
    pub(crate) fn insert(&mut self, path: &str, value: T) {
        if self.by_length.len() <= path.len() {
            self.by_length.resize_with(path.len() + 1, Vec::new);
        }
        let paths = &mut self.by_length[path.len()];
        match paths.binary_search_by(|(known, _)| (**known).cmp(path.as_bytes())) {
            Ok(_) => panic!("the path '{path}' has been added already"),
            Err(at) => paths.insert(at, (path.as_bytes().into(), value)),
        }
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
    fn paths_of_one_length_are_sorted_whatever_the_order_in_which_they_are_added() {
        for order in ["abcde", "edcba", "cabed", "dbeac"] {
            let mut literals = Literals::new();
            for letter in order.chars() {
                literals.insert(&format!("/{letter}"), letter);
            }
            let sorted: Vec<char> = literals.by_length[2].iter().map(|(_, value)| *value).collect();
            assert_eq!(sorted, ['a', 'b', 'c', 'd', 'e'], "{order}");
        }
    }

    #[test]
    #[should_panic(expected = "the path '/a' has been added already")]
    fn a_path_is_added_once() {
        let mut literals = Literals::new();
        literals.insert("/a", ());
        literals.insert("/a", ());
    }

    #[test]
    fn patterns_with_braces_are_not_accepted() {
        let accepts = Literals::<()>::accepts;
        assert!(accepts("/") && accepts("/a/b*c"));
        assert!(!accepts("/{a}") && !accepts("/a{{b") && !accepts("/a}}") && !accepts("/{*rest}"));
    }
}
