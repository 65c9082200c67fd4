//! The rules that a program can check and no linter does. CONTRIBUTING.md gives the reasons.
//!
//! Each test first shows that its check can fail, and then applies it to the repository.
#![forbid(unsafe_code)]

#[path = "tidy/advisories.rs"]
mod advisories;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/source.rs"]
mod source;

use imports::{Folder, Library};
use source::{Source, Violation, files, read, sources, words};

/// The folders of `runtime/src` in reading order. Each may import from those before it, without the
/// names in its own row.
const RUNTIME: [Folder; 15] = [
    // The types that cross threads, which loom replaces.
    ("sync", &[]),
    // Plain data about tasks and loops that any thread can read.
    ("observe", &[]),
    // How much a task may do in one poll.
    ("budget", &[]),
    ("oneshot", &[]),
    // The event loop and its parts.
    ("executor", &[]),
    // What users do with tasks.
    ("task", &[]),
    ("time", &[]),
    ("callback", &[]),
    ("local", &[]),
    ("threads", &[]),
    ("io", &[]),
    ("net", &[]),
    ("signal", &[]),
    // TLS over the sockets.
    ("tls", &[]),
    ("server", &[]),
];

/// The folders of `http/src`, as in [`RUNTIME`].
const HTTP: [Folder; 11] = [
    // Bytes in, events out, bytes out: no I/O.
    ("protocol", &["brigade_runtime"]),
    ("message", &[]),
    // What the server and the client share.
    ("transport", &[]),
    ("extract", &["transport"]),
    ("websocket", &[]),
    ("routing", &[]),
    ("middleware", &[]),
    ("files", &[]),
    ("bridge", &["transport", "websocket", "middleware", "files"]),
    // HTTP/2 is hyper's, by the bridge.
    ("server", &[]),
    ("client", &["extract", "websocket", "routing", "middleware", "files", "bridge", "server"]),
];

/// The files of `macros/src`, as in [`RUNTIME`].
const MACROS: [Folder; 2] = [("output", &[]), ("function", &[])];

const COLUMNS_MAX: usize = 100;

#[test]
fn no_dependency_has_a_known_advisory() {
    let known = advisories::parse("# comment\na 1.2.1 1.11.1 X-1\nb 0.3.0 0.3.7 X-2\n");
    let manifest = "[package]\na = \"1.2\"\n[dependencies]\na = \"1.11\"\n\
        b = { version = \"0.2\" }\n[dev-dependencies]\nb = { path = \"b\", version = \"0.3\" }\n\
        a = \"1.11.1\"\na = \"1\"\nc = \"1\"\n";
    let found = advisories::in_manifest("Cargo.toml", manifest, &known);
    assert_eq!(lines(&found), ["Cargo.toml:4", "Cargo.toml:7", "Cargo.toml:9"]);
    let lock = "name = \"a\"\nversion = \"1.11.0\"\nname = \"a\"\nversion = \"1.11.1\"\n\
        name = \"b\"\nversion = \"0.2.9\"\nname = \"b\"\nversion = \"0.3.0-alpha.1\"\n";
    assert_eq!(
        lines(&advisories::in_lock("Cargo.lock", lock, &known)),
        ["Cargo.lock:2", "Cargo.lock:8"]
    );

    let list = read("tests/advisories.txt");
    assert_none(&advisories::in_repository(&advisories::parse(&list)));
}

#[test]
fn imports_between_files_form_no_circle() {
    let circles = |files: &[(&str, &str)]| lines(&library_of(files).circles());
    let b = ("src/b.rs", "use crate::c;\nfn b() { c::f() }\n");
    assert_eq!(circles(&[("src/a.rs", "use crate::b::b;\n"), b]), Vec::<String>::new());
    let c = ("src/c.rs", "\nfn f() {}\nfn g() { crate::a::g() }\n");
    let found = circles(&[("src/a.rs", "use crate::b::{b, d};\n"), b, c]);
    assert_eq!(found, ["src/a.rs:1", "src/b.rs:2", "src/c.rs:3"]);

    let sources = sources();
    let library = |folder| Library::new(folder, &sources).circles();
    assert_none(&["runtime/src", "http/src", "macros/src"].map(library).concat());
}

#[test]
fn the_circle_check_follows_reexports_and_skips_tests() {
    let circles = |files: &[(&str, &str)]| lines(&library_of(files).circles());
    let folder =
        ("src/a/mod.rs", "mod b;\nmod c;\npub use b::{B, self as other};\npub fn f() {}\n");
    // A re-export from the own folder is no import, and `super::f` is defined in `mod.rs`.
    assert!(circles(&[folder, ("src/a/b.rs", "use super::f;\n")]).is_empty());
    // `super::B` is defined in b.rs.
    let c = ("src/a/c.rs", "use super::B;\n");
    assert_eq!(
        circles(&[folder, c, ("src/a/b.rs", "use crate::a::c::C;\n")]),
        ["src/a/b.rs:1", "src/a/c.rs:1"]
    );
    // A name that `mod.rs` uses itself is an import.
    let user = ("src/a/mod.rs", "mod b;\nuse b::B;\npub fn f() {}\n");
    assert_eq!(circles(&[user, ("src/a/b.rs", "use super::f;\n")]).len(), 2);
    let test = "#[cfg(all(test, unix))]\nmod tests {\n    use crate::b::B;\n}\n";
    assert!(circles(&[("src/a.rs", test), ("src/b.rs", "use crate::a::A;\n")]).is_empty());
    let no_test = "#[cfg(not(test))]\nuse crate::b::B;\n";
    assert_eq!(circles(&[("src/a.rs", no_test), ("src/b.rs", "use crate::a::A;\n")]).len(), 2);
    let test = ("src/b/test.rs", "use crate::a::A;\n");
    let with_test = ("src/b/mod.rs", "#[cfg(test)]\nmod test;\npub fn f() {}\n");
    let a = ("src/a.rs", "use crate::b::test::f;\n");
    assert!(circles(&[a, with_test, test]).is_empty());
    assert_eq!(circles(&[a, ("src/b/mod.rs", "mod test;\n"), test]).len(), 2);
}

#[test]
fn folders_import_only_from_those_before_them() {
    const ORDER: [Folder; 3] = [("a", &["other_crate"]), ("b", &[]), ("c", &["b"])];
    let found = |path: &str, text: &str| {
        let files = [("src/lib.rs", "pub use c::d::C;\n"), ("src/a/mod.rs", ""), ("src/b.rs", "")];
        let files = files.into_iter().filter(|(known, _)| *known != path);
        let files: Vec<_> = files.chain([("src/c/d.rs", ""), (path, text)]).collect();
        lines(&library_of(&files).out_of_order(&ORDER))
    };
    for bad in
        ["use crate::b::x;", "use crate::C;", "use super::{b};", "const X: u8 = crate::c::X;"]
    {
        assert_eq!(found("src/a/mod.rs", bad), ["src/a/mod.rs:1"], "{bad}");
    }
    assert_eq!(found("src/a/e.rs", "\nuse super::super::b;"), ["src/a/e.rs:2"]);
    assert_eq!(found("src/a/e.rs", "use other_crate::X;"), ["src/a/e.rs:1"]);
    assert_eq!(found("src/c/mod.rs", "use crate::b;"), ["src/c/mod.rs:1"]);
    assert_eq!(found("src/c/mod.rs", "mod d;\nuse d::D;\nuse crate::{a, C};").len(), 0);
    assert_eq!(found("src/b.rs", "use crate::a; // crate::c\nuse other_crate::X;").len(), 0);
    assert_eq!(found("src/new.rs", ""), ["src:1"], "a file that is in no list");
    assert_eq!(lines(&library_of(&[("src/a.rs", "")]).out_of_order(&ORDER)), ["src:1", "src:1"]);

    let sources = sources();
    let runtime = Library::new("runtime/src", &sources).out_of_order(&RUNTIME);
    let http = Library::new("http/src", &sources).out_of_order(&HTTP);
    let macros = Library::new("macros/src", &sources).out_of_order(&MACROS);
    assert_none(&[runtime, http, macros].concat());
}

#[test]
fn lines_have_100_columns_at_most() {
    assert_found(columns, &"x".repeat(101), &[1]);
    assert_found(columns, &"é".repeat(100), &[]);

    assert_none(&sources().iter().flat_map(columns).collect::<Vec<_>>());
}

#[test]
fn no_mark_says_that_something_is_unfinished() {
    for mark in [concat!("FIX", "ME"), concat!("XX", "X")] {
        assert_found(marks, &format!("fn f() {{}}\n// {mark}: later\n"), &[2]);
    }
    assert_found(marks, "// a prefix: FIXMEs are gone\n", &[]);

    assert_none(&sources().iter().flat_map(marks).collect::<Vec<_>>());
}

#[test]
fn every_package_takes_lints_that_forbid_unsafe_code() {
    let inherits = "[package]\n[lints]\nworkspace = true\n";
    assert!(forbids_unsafe("http/Cargo.toml", inherits));
    assert!(!forbids_unsafe("http/Cargo.toml", "[package]\n[lints]\n"));
    assert!(forbids_unsafe("Cargo.toml", "[package]\n[lints.rust]\nunsafe_code = \"forbid\"\n"));
    assert!(!forbids_unsafe("Cargo.toml", "[package]\n[lints.rust]\nunsafe_code = \"warn\"\n"));
    assert!(forbids_unsafe("Cargo.toml", "[workspace]\n"), "it is no package");

    let manifests = files(&|name| name == "Cargo.toml");
    assert!(manifests.len() > 3, "found only {manifests:?}");
    let without: Vec<_> =
        manifests.iter().filter(|path| !forbids_unsafe(path, &read(path))).collect();
    assert!(without.is_empty(), "{without:?} forbid no unsafe code");
}

#[test]
fn what_the_documents_name_exists() {
    let missing = |path: &str, text: &str| docs::missing(path, text).len();
    for absent in [
        "$ cargo run --release --example no_such",
        "$ cargo test -p brigade-http --test no_such",
        "[one](docs/no-such.md)",
        "see `http/src/no_such.rs`, or http/tests.",
        "in runtime/src/no_such/",
    ] {
        assert_eq!(missing("README.md", absent), 1, "{absent}");
    }
    for present in [
        "$ cargo run --release --example hello -- --listen 0.0.0.0:80",
        "[MIT](LICENSE-MIT) [web](https://example.org/http/x.rs) [above](#above)",
        "`http/1.1`, and/or, `tests/tidy.rs`.",
    ] {
        assert_eq!(missing("README.md", present), 0, "{present}");
    }
    assert_eq!(missing("docs/http.md", "[the tour](../ARCHITECTURE.md)"), 0);
    assert_eq!(missing("docs/http.md", "[the tour](ARCHITECTURE.md)"), 1);

    let documents = files(&|name| name.ends_with(".md") && name != "CHANGELOG.md");
    assert!(documents.contains("README.md") && documents.contains("docs/http.md"));
    let missing = documents.iter().flat_map(|path| docs::missing(path, &read(path)));
    assert_none(&missing.collect::<Vec<_>>());
}

fn columns(source: &Source) -> Vec<Violation> {
    let widths = source.text.lines().map(|line| line.chars().count()).enumerate();
    let wide = widths.filter(|(_, width)| *width > COLUMNS_MAX);
    wide.map(|(index, width)| {
        source.violation(index + 1, format!("{width} columns, more than {COLUMNS_MAX}"))
    })
    .collect()
}

fn marks(source: &Source) -> Vec<Violation> {
    let is_mark = |word: &str| matches!(word, concat!("FIX", "ME") | concat!("XX", "X"));
    let lines = source.text.lines().enumerate();
    let marked = lines.filter(|(_, line)| words(line).any(|(_, word)| is_mark(word)));
    marked
        .map(|(index, _)| source.violation(index + 1, "do it, or say why it is not done"))
        .collect()
}

/// Returns `true` if the manifest of a package forbids unsafe code, itself or by the lints of its
/// workspace. A manifest without a package passes.
fn forbids_unsafe(path: &str, manifest: &str) -> bool {
    let forbids = |manifest: &str, table: &str| {
        let lints = manifest.split(&format!("[{table}]\n")).nth(1);
        let lints = lints.and_then(|rest| rest.split("\n[").next());
        lints.is_some_and(|lints| lints.contains("unsafe_code = \"forbid\""))
    };
    if !manifest.contains("[package]") || forbids(manifest, "lints.rust") {
        return true;
    }
    let folders = std::path::Path::new(path).ancestors().skip(1);
    let manifests = folders.map(|folder| source::root().join(folder).join("Cargo.toml"));
    let mut texts = manifests.filter_map(|path| std::fs::read_to_string(path).ok());
    let workspace = texts.find(|text| text.contains("[workspace]"));
    manifest.contains("[lints]\nworkspace = true")
        && workspace.is_some_and(|workspace| forbids(&workspace, "workspace.lints.rust"))
}

/// A crate in `src` that has these files.
fn library_of(files: &[(&str, &str)]) -> Library {
    let sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    Library::new("src", &sources)
}

/// Returns where the violations are, such as `src/a.rs:1`.
fn lines(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(|found| format!("{}:{}", found.path, found.line)).collect()
}

fn assert_none(violations: &[Violation]) {
    let list: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}

#[track_caller]
fn assert_found(rule: fn(&Source) -> Vec<Violation>, text: &str, lines: &[usize]) {
    let found: Vec<_> = rule(&Source::new("src/any.rs", text)).iter().map(|v| v.line).collect();
    assert_eq!(found, lines, "{text}");
}
