//! Checks that the links, files and Cargo targets that the documents name exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::source::{FOREIGN, Violation, first_word, root};

/// Endings of files that documents name.
const ENDINGS: [&str; 7] = ["rs", "sh", "md", "toml", "py", "lua", "svg"];

/// Returns a violation for each name in a document that does not exist in the repository. `path` is
/// the path of the document, relative to the repository's root.
pub(crate) fn missing(path: &str, text: &str) -> Vec<Violation> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let links = links(line).filter(|link| !exists(&folder.join(link))).map(str::to_owned);
        let is_there = |file: &str| exists(Path::new(file)) || exists(&folder.join(file));
        let files = files(line).filter(|file| !is_there(file)).map(str::to_owned);
        // A link may look like a path too, and would be found twice.
        let absent: BTreeSet<_> = links.chain(files).chain(targets(line)).collect();
        violations.extend(absent.into_iter().map(|what| Violation {
            path: path.to_owned(),
            line: index + 1,
            what: format!("there is no {what}"),
        }));
    }
    violations
}

/// Returns the links of a line to places in the repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// Returns the words of a line that look like paths from the repository's root.
fn files(line: &str) -> impl Iterator<Item = &str> {
    let is_outside = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '.' | '-' | '_');
    let words = line.split(is_outside).map(|word| word.trim_end_matches('.'));
    words.filter(|word| {
        let Some((top, rest)) = word.split_once('/') else { return false };
        let is_named = rest.starts_with(|c: char| c.is_ascii_lowercase());
        let has_ending = |name: &str| {
            let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
            ending.is_none_or(|ending| ENDINGS.contains(&ending))
        };
        let is_top = !matches!(top, "" | "." | "..") && root().join(top).is_dir();
        let is_ours = !word.split('/').any(|part| FOREIGN.contains(&part));
        is_top && is_ours && is_named && has_ending(rest)
    })
}

/// Returns the targets in the Cargo commands of a line that no package has.
fn targets(line: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for (option, places) in [
        ("--example ", &["examples/{}.rs", "examples/{}/main.rs", "examples/interop/{}.rs"][..]),
        (
            "--test ",
            &[
                "tests/{}.rs",
                "http/tests/{}.rs",
                "runtime/tests/{}.rs",
                "macros/tests/{}.rs",
                "examples/interop/tests/{}.rs",
            ],
        ),
        ("--bench ", &["benches/micro/benches/{}.rs"]),
    ] {
        for rest in line.split(option).skip(1) {
            let name = first_word(rest);
            let is_there = |place: &&str| exists(Path::new(&place.replace("{}", name)));
            if !name.is_empty() && !places.iter().any(is_there) {
                missing.push(format!("{option}{name}"));
            }
        }
    }
    missing
}

/// Returns `true` if there is such a file or folder. An example may be named without its ending.
fn exists(path: &Path) -> bool {
    let path = root().join(path);
    path.exists() || path.with_extension("rs").exists()
}
