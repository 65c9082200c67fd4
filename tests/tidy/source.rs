//! The repository's Rust files, with comments and the contents of literals blanked out.
//!
//! The scanner knows line comments, nested block comments, strings, raw strings, byte and C
//! strings, character literals and lifetimes. It reads the body of a macro like any other code.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold generated or downloaded files.
pub(crate) const FOREIGN: [&str; 5] = ["target", "results", "corpus", "artifacts", "node_modules"];

/// One source file.
pub(crate) struct Source {
    /// Relative to the repository's root, with forward slashes.
    pub(crate) path: String,
    pub(crate) text: String,
    /// `text` with spaces in place of comments and of the contents of literals.
    pub(crate) code: String,
}

#[derive(Clone, Debug)]
/// A place that breaks a rule.
pub(crate) struct Violation {
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    pub(crate) fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all Rust files of the repository.
pub(crate) fn sources() -> Vec<Source> {
    let paths = files(&|name| name.ends_with(".rs"));
    assert!(paths.len() > 50, "found only {} Rust files", paths.len());
    paths.iter().map(|path| Source::new(path, &read(path))).collect()
}

/// Returns the paths of the files whose name `is_wanted`, relative to the repository's root.
pub(crate) fn files(is_wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    gather(root(), is_wanted, &mut paths);
    let relative = |path: &PathBuf| {
        let path = path.strip_prefix(root()).expect("it was found below the root");
        path.to_string_lossy().replace('\\', "/")
    };
    paths.iter().map(relative).collect()
}

/// Reads a text file, given its path relative to the repository's root.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn gather(folder: &Path, is_wanted: &dyn Fn(&str) -> bool, paths: &mut BTreeSet<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository can be read");
    for entry in entries {
        let entry = entry.expect("an entry of the repository can be read");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') || FOREIGN.contains(&&*name) {
            continue;
        }
        if entry.file_type().expect("an entry has a type").is_dir() {
            gather(&path, is_wanted, paths);
        } else if is_wanted(&name) {
            paths.insert(path);
        }
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn first_word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// Returns the words of `text` and the offset at which each begins.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    words.map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// Returns `text` with spaces in place of comments and of the contents of literals. Line breaks
/// stay.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let skipped = comment(rest).or_else(|| literal(rest, code.chars().next_back()));
        if let Some(length) = skipped {
            let spaces = rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' });
            code.extend(spaces);
            rest = &rest[length..];
        } else {
            let first = rest.chars().next().expect("it is not empty");
            code.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    code
}

/// Returns the length of the comment at the start of `rest`.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    rest.starts_with("/*").then(|| {
        let (mut depth, mut at) = (0_usize, 0);
        while at < rest.len() {
            let step = match &rest.as_bytes()[at..] {
                [b'/', b'*', ..] => {
                    depth += 1;
                    2
                }
                [b'*', b'/', ..] => {
                    depth -= 1;
                    2
                }
                _ => 1,
            };
            at += step;
            if depth == 0 {
                break;
            }
        }
        at
    })
}

/// Returns the length of the string or character at the start of `rest`. `before` precedes it.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if let Some(after) = rest.strip_prefix('\'') {
        let mut characters = after.chars();
        let first = characters.next()?;
        // A lifetime or a label has no closing quote.
        let is_character = first == '\\' || characters.next() == Some('\'');
        return is_character.then(|| quoted(rest, '\''));
    }
    let raw = rest.strip_prefix('r')?;
    let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
    let is_prefix = before.is_none_or(|c| !is_word(c) || matches!(c, 'b' | 'c'));
    if !is_prefix || !raw[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 1 + hashes + 1;
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
