//! Which file of a library crate imports from which, read from `use` lines and inline paths.
//!
//! A path is followed to the file that defines the item, through re-exports. A `mod.rs` that
//! re-exports from its own folder does not import from it. Test modules do not count.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, Violation, is_word};

/// A folder of a crate, or a file beside `lib.rs`, and names that it must not import: earlier
/// folders of the list, or other crates. Later folders are always forbidden.
pub(crate) type Folder = (&'static str, &'static [&'static str]);

/// The files of a library crate.
pub(crate) struct Library {
    /// Such as `http/src`.
    folder: String,
    files: BTreeMap<Vec<String>, File>,
}

struct File {
    path: String,
    paths: Vec<Mention>,
    /// The path of each name that a `use` brings into scope.
    names: BTreeMap<String, Vec<String>>,
}

/// A path in the code.
struct Mention {
    line: usize,
    segments: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Import,
    Reexport,
    Inline,
}

/// The modules that each module imports from, with the line of the first import.
type Imports = BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>>;

impl Library {
    /// Reads the sources below `folder`.
    pub(crate) fn new<'a>(folder: &str, sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut files = BTreeMap::new();
        let mut tests: BTreeSet<Vec<String>> = BTreeSet::new();
        for source in sources {
            let inner = source.path.strip_prefix(folder).and_then(|path| path.strip_prefix('/'));
            let Some(module) = inner.map(module_of) else { continue };
            let (code, test_modules) = without_tests(&source.code);
            let child = |name: String| module.iter().cloned().chain([name]).collect();
            tests.extend(test_modules.into_iter().map(child));
            files.insert(module, File::new(&source.path, &code));
        }
        files.retain(|module, _| !tests.contains(module));
        Self { folder: folder.to_owned(), files }
    }

    /// Returns a violation for each import that is part of a cycle.
    pub(crate) fn circles(&self) -> Vec<Violation> {
        let imports = self.imports();
        let reach: BTreeMap<_, _> =
            imports.keys().map(|module| (module, reachable(&imports, module))).collect();
        let mut violations = Vec::new();
        for (module, targets) in &imports {
            for (target, line) in targets {
                if reach.get(target).is_some_and(|reach| reach.contains(module)) {
                    let what = format!("closes a circle with {}", self.files[target].path);
                    violations.push(self.files[module].violation(*line, what));
                }
            }
        }
        violations
    }

    /// Returns a violation for each import that `order` does not allow, and for each difference
    /// between `order` and the crate's folders.
    pub(crate) fn out_of_order(&self, order: &[Folder]) -> Vec<Violation> {
        let tops: BTreeSet<_> = self.files.keys().filter_map(|module| module.first()).collect();
        let listed = |name: &str| order.iter().position(|(folder, _)| *folder == name);
        let at_top = |what: String| Violation { path: self.folder.clone(), line: 1, what };
        let unlisted = tops.iter().filter(|name| listed(name).is_none());
        let mut violations: Vec<_> =
            unlisted.map(|name| at_top(format!("{name} is not in the list of folders"))).collect();
        let absent = order.iter().filter(|(name, _)| tops.iter().all(|top| top != name));
        violations.extend(absent.map(|(name, _)| at_top(format!("there is no {name}"))));
        for (module, file) in &self.files {
            let Some(rank) = module.first().and_then(|name| listed(name)) else { continue };
            let (folder, barred) = order[rank];
            let mut found = BTreeSet::new();
            for mention in &file.paths {
                let Some(other) = self.top_of(module, mention) else { continue };
                let is_above = listed(&other).is_some_and(|other| other > rank);
                let is_new = !found.contains(&(mention.line, other.clone()));
                if is_new && (is_above || barred.contains(&&*other)) {
                    let what = format!("{folder} imports from {other}");
                    violations.push(file.violation(mention.line, what));
                    found.insert((mention.line, other));
                }
            }
        }
        violations
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (module, file) in self.files.iter().filter(|(module, _)| !module.is_empty()) {
            let targets: &mut BTreeMap<_, _> = imports.entry(module.clone()).or_default();
            for mention in &file.paths {
                let Some(Target::Item(target)) = self.resolve(module, &mention.segments) else {
                    continue;
                };
                let is_own = mention.kind == Kind::Reexport && target.starts_with(module);
                if target != *module && !is_own {
                    targets.entry(target).or_insert(mention.line);
                }
            }
        }
        imports
    }

    /// Returns the folder, or the other crate, that a path of `module` names.
    fn top_of(&self, module: &[String], mention: &Mention) -> Option<String> {
        let segments = &mention.segments;
        let (base, rest) = match &*segments[0] {
            "crate" => (&[][..], &segments[1..]),
            "super" | "self" => base_of(module, segments)?,
            other if mention.kind == Kind::Inline => {
                return (!self.knows(module, other)).then(|| other.to_owned());
            }
            other if self.child(module, other).is_none() => return Some(other.to_owned()),
            _ => return None,
        };
        let top = base.first().or_else(|| rest.first())?;
        if self.files.keys().any(|known| known.first() == Some(top)) {
            return Some(top.clone());
        }
        match self.resolve(module, segments)? {
            Target::Item(target) | Target::Module(target) => target.first().cloned(),
        }
    }

    /// Returns `true` if `name` is a child of `module`, or imported by it.
    fn knows(&self, module: &[String], name: &str) -> bool {
        let imported = |file: &File| file.names.contains_key(name);
        self.child(module, name).is_some() || self.files.get(module).is_some_and(imported)
    }

    fn child(&self, module: &[String], name: &str) -> Option<Vec<String>> {
        let child: Vec<_> = module.iter().cloned().chain([name.to_owned()]).collect();
        let is_there = self.files.keys().any(|known| known.starts_with(&child));
        is_there.then_some(child)
    }

    /// Follows a path that is written in `module`. Returns `None` if it leads to another crate.
    fn resolve(&self, module: &[String], segments: &[String]) -> Option<Target> {
        match &*segments[0] {
            "crate" => self.walk(&[], &segments[1..]),
            "super" | "self" => {
                let (base, rest) = base_of(module, segments)?;
                self.walk(base, rest)
            }
            name if self.knows(module, name) => self.walk(module, segments),
            _ => None,
        }
    }

    fn walk(&self, module: &[String], segments: &[String]) -> Option<Target> {
        let Some((first, rest)) = segments.split_first() else {
            return Some(Target::Module(module.to_vec()));
        };
        if let Some(child) = self.child(module, first) {
            return self.walk(&child, rest);
        }
        match self.files.get(module)?.names.get(first) {
            Some(path) if path.first() != Some(first) => {
                self.resolve(module, &[path, rest].concat())
            }
            Some(_) => None,
            None => Some(Target::Item(module.to_vec())),
        }
    }
}

enum Target {
    /// An item that the file of this module defines.
    Item(Vec<String>),
    Module(Vec<String>),
}

impl File {
    fn new(path: &str, code: &str) -> Self {
        let paths = mentions(code);
        let mut names = BTreeMap::new();
        let paths = paths.into_iter().map(|(mention, name)| {
            if let Some(name) = name {
                names.insert(name, mention.segments.clone());
            }
            mention
        });
        let paths = paths.collect();
        Self { path: path.to_owned(), paths, names }
    }

    fn violation(&self, line: usize, what: String) -> Violation {
        Violation { path: self.path.clone(), line, what }
    }
}

/// Returns the module that a file holds: `a/b.rs` holds `a::b`, `a/mod.rs` holds `a`.
fn module_of(path: &str) -> Vec<String> {
    let mut module: Vec<_> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    module.pop_if(|last| matches!(&**last, "mod" | "lib"));
    module
}

/// Resolves `self` and `super` at the start of a path. Returns the module that they lead to, and
/// the rest of the path.
fn base_of<'a>(
    module: &'a [String],
    segments: &'a [String],
) -> Option<(&'a [String], &'a [String])> {
    let is_self = segments[0] == "self";
    let segments = &segments[usize::from(is_self)..];
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    let base = module.get(..module.len().checked_sub(ups)?)?;
    Some((base, &segments[ups..]))
}

/// Returns all modules that `from` imports from, directly or through others.
fn reachable(imports: &Imports, from: &Vec<String>) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(module) = todo.pop() {
        for target in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(target.clone()) {
                todo.push(target);
            }
        }
    }
    reached
}

/// Blanks out the items that are compiled for tests only. Also returns the names of those test
/// modules that are files of their own.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let mut result = code.to_owned();
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|at| from + at) {
        let attribute = start + code[start..].find(']').map_or(0, |at| at + 1);
        from = attribute;
        let condition = &code[start..attribute];
        let names_test = condition.split(|c| !is_word(c)).any(|word| word == "test");
        if !names_test || condition.contains("not(test") || condition.contains("any(") {
            continue;
        }
        let item = &code[attribute..];
        let length = item_length(item);
        let name =
            item[..length].trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
        modules.extend(name.map(str::to_owned));
        from = attribute + length;
        let blanks = code[start..from].chars().map(|c| if c == '\n' { c } else { ' ' });
        result.replace_range(start..from, &blanks.collect::<String>());
    }
    (result, modules)
}

/// Returns where an item ends: at its semicolon, or at the brace that closes its body.
fn item_length(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in item.bytes().enumerate() {
        match byte {
            b';' if depth == 0 => return at + 1,
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    item.len()
}

/// A word, `::`, or any other character that is not white space, with its line.
type Token<'a> = (usize, &'a str);

fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let colons = if rest.starts_with("::") { 2 } else { first.len_utf8() };
            let (token, after) = rest.split_at(if word > 0 { word } else { colons });
            tokens.push((index + 1, token));
            rest = after.trim_start();
        }
    }
    tokens
}

/// Returns the paths in the code, each with the name that it brings into scope if it is imported.
fn mentions(code: &str) -> Vec<(Mention, Option<String>)> {
    let tokens = tokens(code);
    let text = |at: usize| tokens.get(at).map_or("", |(_, text)| *text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = if at == 0 { "" } else { text(at - 1) };
        if text(at) == "use" && text(at + 1) != "<" {
            // `pub` and `pub(crate)` precede a re-export.
            let kind = if matches!(before, "pub" | ")") { Kind::Reexport } else { Kind::Import };
            at += 1;
            use_tree(&tokens, &mut at, &[], kind, &mut found);
            continue;
        }
        if text(at + 1) == "::" && before != "::" && text(at).starts_with(is_word) {
            let mut segments = vec![text(at).to_owned()];
            let line = tokens[at].0;
            while text(at + 1) == "::" && text(at + 2).starts_with(is_word) {
                segments.push(text(at + 2).to_owned());
                at += 2;
            }
            found.push((Mention { line, segments, kind: Kind::Inline }, None));
        }
        at += 1;
    }
    found
}

/// Reads one tree of a `use`, up to the comma, brace or semicolon behind it.
fn use_tree(
    tokens: &[Token<'_>],
    at: &mut usize,
    prefix: &[String],
    kind: Kind,
    found: &mut Vec<(Mention, Option<String>)>,
) {
    let mut segments = prefix.to_vec();
    let line = tokens.get(*at).map_or(0, |(line, _)| *line);
    let mut name = None;
    while let Some((_, token)) = tokens.get(*at) {
        *at += 1;
        match *token {
            "::" => {}
            "{" => {
                while !matches!(tokens.get(*at - 1), None | Some((_, "}"))) {
                    use_tree(tokens, at, &segments, kind, found);
                }
                *at += 1;
                return;
            }
            "as" => {
                name = tokens.get(*at).map(|(_, alias)| (*alias).to_owned());
                *at += 1;
            }
            "," | "}" | ";" => break,
            "*" => name = None,
            "self" if !segments.is_empty() => name = segments.last().cloned(),
            word => {
                segments.push(word.to_owned());
                name = Some(word.to_owned());
            }
        }
    }
    if segments.len() > prefix.len() || name.is_some() {
        found.push((Mention { line, segments, kind }, name));
    }
}
