//! Dependencies with a known advisory.

use crate::source::{Violation, files, read};

type Version = [u64; 3];

/// A line of `tests/advisories.txt`.
pub(crate) struct Advisory {
    name: String,
    affected: Version,
    patched: Version,
    id: String,
}

/// Parses the list.
pub(crate) fn parse(list: &str) -> Vec<Advisory> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let advisory = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [name, affected, patched, id] = words[..] else { panic!("malformed line: {line}") };
        let (affected, patched) = (version(affected), version(patched));
        Advisory { name: name.to_owned(), affected, patched, id: id.to_owned() }
    };
    lines.map(advisory).collect()
}

/// Parses a version, of which the last parts may be missing and which may have a suffix.
fn version(text: &str) -> Version {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let mut parts = core.split('.').map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// Returns the first version that is not compatible with `version` any more.
fn next_breaking([major, minor, patch]: Version) -> Version {
    match (major, minor) {
        (0, 0) => [0, 0, patch + 1],
        (0, _) => [0, minor + 1, 0],
        _ => [major + 1, 0, 0],
    }
}

/// Returns the requirements of a `Cargo.toml` that admit a version with an advisory.
pub(crate) fn in_manifest(path: &str, text: &str, advisories: &[Advisory]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut has_dependencies = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            has_dependencies = line.contains("dependencies");
        }
        let Some((name, value)) = line.split_once('=').filter(|_| has_dependencies) else {
            continue;
        };
        let value = value.trim();
        let required = match value.strip_prefix('"') {
            Some(version) => Some(version),
            None => value.split_once("version = \"").map(|(_, rest)| rest),
        };
        let Some(required) = required.and_then(|rest| rest.split('"').next()) else { continue };
        // The first version that is admitted has to be a patched one; the others are newer.
        let from = version(required.trim_start_matches(['^', '=', '~']));
        let end = next_breaking(from);
        let applies = |advisory: &&Advisory| {
            advisory.name == name.trim() && from < advisory.patched && advisory.affected < end
        };
        violations.extend(advisories.iter().filter(applies).map(|advisory| {
            let [major, minor, patch] = advisory.patched;
            let what = format!(
                "{} {required} admits a version with {}; require {major}.{minor}.{patch}",
                advisory.name, advisory.id
            );
            Violation { path: path.to_owned(), line: index + 1, what }
        }));
    }
    violations
}

/// Returns the packages of a `Cargo.lock` with an advisory.
pub(crate) fn in_lock(path: &str, text: &str, advisories: &[Advisory]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut package = "";
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("name = ") {
            package = name.trim_matches('"');
        }
        let Some(text) = line.strip_prefix("version = \"") else { continue };
        let locked = version(text.trim_end_matches('"'));
        let applies = |advisory: &&Advisory| {
            advisory.name == package && (advisory.affected..advisory.patched).contains(&locked)
        };
        violations.extend(advisories.iter().filter(applies).map(|advisory| {
            let what = format!("{package} has {}; run cargo update -p {package}", advisory.id);
            Violation { path: path.to_owned(), line: index + 1, what }
        }));
    }
    violations
}

/// Checks all manifests and lock files of the repository.
pub(crate) fn in_repository(advisories: &[Advisory]) -> Vec<Violation> {
    let manifests = files(&|name| name == "Cargo.toml");
    let locks = files(&|name| name == "Cargo.lock");
    assert!(manifests.len() > 5 && !locks.is_empty());
    let manifests = manifests.iter().flat_map(|path| in_manifest(path, &read(path), advisories));
    let locks = locks.iter().flat_map(|path| in_lock(path, &read(path), advisories));
    manifests.chain(locks).collect()
}
