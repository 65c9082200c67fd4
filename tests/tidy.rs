//! The house rules that a program can check; CONTRIBUTING.md gives the reasons.
//!
//! Each rule is a function from a source file to its violations, held by two tests: one that all
//! our files obey it, and one that it finds what breaks it.
//!
//! What the scanner understands: line and nested block comments, strings, raw strings, byte and C
//! strings, character literals and lifetimes. What it does not: macros, whose bodies it reads like
//! any code (a function of which a macro makes the name is not counted), and a signature with
//! braces of its own, such as `-> [u8; { N }]`, which it takes for the function's body.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

/// The files of http/src that do no I/O, in reading order: each imports only from those before it,
/// and none knows anything of the runtime.
const HTTP_CORE: [&str; 18] = [
    "limits",
    "error",
    "date",
    "syntax",
    "buffer",
    "headers",
    "fields",
    "framing",
    "head",
    "chunked",
    "known_fields",
    "scan",
    "decode",
    "body_decoder",
    "body_encoder",
    "encode",
    "connection",
    "client_connection",
];

/// The libraries that others use; each says by itself what it forbids.
const LIBRARIES: [&str; 3] = ["src/lib.rs", "runtime/src/lib.rs", "http/src/lib.rs"];

/// Where nothing of ours is.
const FOREIGN: [&str; 5] = ["target", "results", "corpus", "artifacts", "node_modules"];

#[test]
fn lines_have_100_columns_at_most() {
    assert_all_obey(columns);
    assert_found(columns, &"x".repeat(101), 1);
    assert_clean(columns, &"é".repeat(100));
}

#[test]
fn functions_have_70_lines_at_most() {
    assert_all_obey(function_lines);
    let body = |lines: usize| "    work();\n".repeat(lines);
    assert_found(function_lines, &format!("\nfn long() {{\n{}}}\n", body(69)), 2);
    assert_clean(function_lines, &format!("\nfn fits() {{\n{}}}\n", body(68)));
    let hidden = format!("fn a() {{\n    b('}}', \"}}\", r#\"}}\"}}\"#); // }}\n{}}}\n", body(68));
    assert_found(function_lines, &hidden, 1);
    assert_clean(function_lines, &format!("type F = fn(u8);\nstruct S {{\n{}}}\n", body(80)));
    assert_clean(function_lines, &format!("trait T {{\n    fn t(&self);\n{}}}\n", body(80)));
}

#[test]
fn every_crate_root_forbids_unsafe_code() {
    assert_all_obey(crate_root);
    let rootless = Source::new("http/src/router.rs", "");
    assert!(crate_root(&rootless).is_empty());
    for root in ["src/lib.rs", "runtime/src/lib.rs", "fuzz/targets/none.rs"] {
        assert_eq!(crate_root(&Source::new(root, "//! A crate.\n")).len(), 1, "{root}");
        let forbidding = Source::new(root, "//! A crate.\n#![forbid(unsafe_code)]\n");
        assert!(crate_root(&forbidding).is_empty(), "{root}");
    }
    assert!(crate_root(&Source::new("tests/any.rs", "")).is_empty(), "the manifest forbids it");
}

#[test]
fn nothing_is_unsafe() {
    assert_all_obey(unsafe_keyword);
    assert_found(unsafe_keyword, "fn f() {\n    unsafe { g() }\n}\n", 2);
    assert_clean(unsafe_keyword, "// unsafe\n#![forbid(unsafe_code)]\nlet s = \"unsafe\";\n");
}

#[test]
fn nothing_unfinished_is_left() {
    assert_all_obey(leftovers);
    for macro_name in ["dbg", "todo", "unimplemented"] {
        assert_found(leftovers, &format!("fn f() {{\n    {macro_name}!();\n}}\n"), 2);
    }
    for mark in [concat!("FIX", "ME"), concat!("XX", "X")] {
        assert_found(leftovers, &format!("fn f() {{}}\n// {mark}: later\n"), 2);
    }
    assert_clean(leftovers, "let text = \"dbg!() is named here\";\n// so is todo!()\n");
}

#[test]
fn the_core_of_http_imports_neither_the_runtime_nor_what_comes_after() {
    assert_all_obey(core_imports);
    for name in HTTP_CORE {
        let path = root().join(format!("http/src/{name}.rs"));
        assert!(path.is_file(), "{} is listed in HTTP_CORE and not there", path.display());
    }
    let found = |path: &str, text: &str| core_imports(&Source::new(path, text)).len();
    for bad in ["use brigade_runtime::time;", "use crate::server::Server;", "use crate::{body};"] {
        assert_eq!(found("http/src/decode.rs", bad), 1, "{bad}");
        assert_eq!(found("http/src/server.rs", bad), 0, "{bad}");
    }
    assert_eq!(found("http/src/decode.rs", "use crate::connection::Connection;"), 1);
    assert_eq!(found("http/src/decode.rs", "use crate::limits::Limits; // brigade_runtime"), 0);
}

#[test]
fn the_commands_and_links_of_the_readme_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md is there");
    let missing = missing_in_readme(&readme);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert_eq!(missing_in_readme("$ cargo run --release --example no_such\n").len(), 1);
    assert_eq!(missing_in_readme("one\n[two](docs/no-such.md)\n").len(), 1);
    assert!(missing_in_readme("[MIT](LICENSE-MIT) [web](https://example.org)\n").is_empty());
}

/// One of our files, as it is and with comments and literals blanked out.
struct Source {
    /// From the repository's root, with forward slashes.
    path: String,
    text: String,
    code: String,
}

struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// The line, counted from 1, of a byte of the code.
    fn line_of(&self, offset: usize) -> usize {
        1 + self.code[..offset].matches('\n').count()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn columns(source: &Source) -> Vec<Violation> {
    let widths = source.text.lines().map(|line| line.chars().count()).enumerate();
    let wide = widths.filter(|(_, width)| *width > COLUMNS_MAX);
    wide.map(|(index, width)| {
        source.violation(index + 1, format!("{width} columns; {COLUMNS_MAX} are the most"))
    })
    .collect()
}

fn function_lines(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (offset, _) in words(&source.code).filter(|(_, word)| *word == "fn") {
        let rest = &source.code[offset + 2..];
        let name: String = rest.trim_start().chars().take_while(|c| is_word(*c)).collect();
        let Some(length) = function_length(rest).filter(|_| !name.is_empty()) else { continue };
        let lines = 1 + rest[..length].matches('\n').count();
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {name} has {lines} lines; {FUNCTION_LINES_MAX} are the most");
            violations.push(source.violation(source.line_of(offset), what));
        }
    }
    violations
}

/// How far it is to the end of the body; `None` for a function without one.
fn function_length(rest: &str) -> Option<usize> {
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (offset, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets = brackets.checked_sub(1)?,
            b';' if braces == 0 && brackets == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces = braces.checked_sub(1)?;
                if braces == 0 && brackets == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// A library says it itself. For what else is a crate, a test or an example, it is enough that
/// its package's manifest does, which binds the compiler just the same.
fn crate_root(source: &Source) -> Vec<Violation> {
    let path = Path::new(&source.path);
    let parent = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let is_root = path.ends_with("lib.rs")
        || path.ends_with("main.rs")
        || matches!(parent, Some("tests" | "examples" | "benches" | "bin" | "targets"));
    let says_so = source.code.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    let is_library = LIBRARIES.contains(&&*source.path);
    if !is_root || says_so || (!is_library && manifest_forbids_unsafe(path)) {
        return Vec::new();
    }
    vec![source.violation(1, "this crate root has no #![forbid(unsafe_code)]")]
}

fn manifest_forbids_unsafe(path: &Path) -> bool {
    let says = |folder: &Path, what: &str| {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml"));
        manifest.is_ok_and(|manifest| manifest.contains(what))
    };
    let Some(package) = path.ancestors().skip(1).find(|folder| says(folder, "[package]")) else {
        return false;
    };
    says(package, "[lints]\nworkspace = true")
        && package
            .ancestors()
            .find(|folder| says(folder, "[workspace]"))
            .is_some_and(|workspace| says(workspace, "\nunsafe_code = \"forbid\""))
}

fn unsafe_keyword(source: &Source) -> Vec<Violation> {
    let found = words(&source.code).filter(|(_, word)| *word == "unsafe");
    found.map(|(offset, _)| source.violation(source.line_of(offset), "unsafe")).collect()
}

fn leftovers(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (offset, word) in words(&source.code) {
        let is_call = source.code[offset + word.len()..].starts_with('!');
        if is_call && matches!(word, "dbg" | "todo" | "unimplemented") {
            violations.push(source.violation(source.line_of(offset), format!("{word}!")));
        }
    }
    for (index, line) in source.text.lines().enumerate() {
        let mark = words(line)
            .find(|(_, word)| matches!(*word, concat!("FIX", "ME") | concat!("XX", "X")));
        if let Some((_, mark)) = mark {
            violations.push(source.violation(index + 1, format!("{mark}: do it, or say why not")));
        }
    }
    violations
}

fn core_imports(source: &Source) -> Vec<Violation> {
    let name = source.path.strip_prefix("http/src/").and_then(|name| name.strip_suffix(".rs"));
    let Some(index) = HTTP_CORE.iter().position(|core| Some(*core) == name) else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    for (offset, word) in words(&source.code) {
        let rest = &source.code[offset..];
        let module = rest.strip_prefix("crate::").map(first_word);
        let is_before = module.is_none_or(|module| HTTP_CORE[..index].contains(&module));
        if word == "brigade_runtime" || !is_before {
            let import = rest.split([';', '\n']).next().unwrap_or_default();
            let what = format!("the protocol core may use only what comes before, not {import}");
            violations.push(source.violation(source.line_of(offset), what));
        }
    }
    violations
}

/// What the README names and the repository does not have.
fn missing_in_readme(readme: &str) -> Vec<String> {
    let exists = |path: &str| root().join(path).exists();
    let mut missing = Vec::new();
    for (index, line) in readme.lines().enumerate() {
        let mut expect = |is_there: bool, what: &str| {
            if !is_there {
                missing.push(format!("README.md:{}: there is no {what}", index + 1));
            }
        };
        for rest in line.split("--example ").skip(1) {
            let path = format!("examples/{}", first_word(rest));
            let is_there = exists(&format!("{path}.rs")) || exists(&format!("{path}/main.rs"));
            expect(is_there, &path);
        }
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            expect(target.is_empty() || target.contains("://") || exists(target), target);
        }
    }
    missing
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All our source files.
fn sources() -> Vec<Source> {
    let mut paths = BTreeSet::new();
    gather(root(), &mut paths);
    assert!(paths.len() > 50, "only {} files found: the walk is broken", paths.len());
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("a source file is text");
        let relative = path.strip_prefix(root()).expect("it was found below the root");
        Source::new(&relative.to_string_lossy().replace('\\', "/"), &text)
    };
    paths.iter().map(read).collect()
}

fn gather(folder: &Path, paths: &mut BTreeSet<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository can be read");
    for entry in entries {
        let entry = entry.expect("an entry of the repository can be read");
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') || FOREIGN.contains(&&*name) {
            continue;
        }
        if entry.file_type().expect("an entry has a type").is_dir() {
            gather(&path, paths);
        } else if name.ends_with(".rs") {
            paths.insert(path);
        }
    }
}

fn assert_all_obey(rule: fn(&Source) -> Vec<Violation>) {
    let violations: Vec<_> = sources().iter().flat_map(rule).map(|v| v.to_string()).collect();
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[track_caller]
fn assert_found(rule: fn(&Source) -> Vec<Violation>, text: &str, line: usize) {
    let lines: Vec<_> = rule(&Source::new("src/any.rs", text)).iter().map(|v| v.line).collect();
    assert_eq!(lines, [line], "{text}");
}

#[track_caller]
fn assert_clean(rule: fn(&Source) -> Vec<Violation>, text: &str) {
    let found: Vec<_> = rule(&Source::new("src/any.rs", text));
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{found:?} in {text}");
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// The words of `text`, and where they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let whole = text.split(|c| !is_word(c)).filter(|word| !word.is_empty());
    whole.map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// `text` with spaces in place of comments and of what literals hold; lines stay where they are.
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

/// The length of the comment that `rest` begins with.
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

/// The length of the string or character that `rest` begins with; `before` is what precedes it.
fn literal(rest: &str, before: Option<char>) -> Option<usize> {
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if let Some(after) = rest.strip_prefix('\'') {
        let mut characters = after.chars();
        let first = characters.next()?;
        // Otherwise it is a lifetime or a label.
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
