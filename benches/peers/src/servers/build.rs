//! Builds a server. One that does not build does not affect the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Ability, Server, Source, database};
use crate::machine::first_line;

/// The workspace of the harness.
const WORKSPACE: &str = env!("CARGO_MANIFEST_DIR");

/// Builds a server in the release profile, at low priority.
///
/// # Errors
/// The reason, if it cannot be built or is not installed.
pub fn build(server: &Server) -> Result<(), String> {
    if let Some(backend) = server.backend() {
        build(backend)?;
    }
    if server.can(&[Ability::Database]) {
        database::programs().map_err(|error| error.to_string())?;
    }
    let built = match server.source {
        Source::Member(_) | Source::Brigade => cargo_build(&format!("peer-{}", server.name)),
        Source::BrigadePerLoop => cargo_build("peer-brigade"),
        Source::Go => nice("go")
            .args(["build", "-o"])
            .arg(binary("peer-go"))
            .arg(".")
            .current_dir(Path::new(WORKSPACE).join("servers/go"))
            .output(),
        Source::Nginx | Source::NginxProxy | Source::NginxTls => {
            Command::new("nginx").arg("-v").output()
        }
        Source::Haproxy => Command::new("haproxy").arg("-v").output(),
        Source::NodeWs => install_node_ws(),
    };
    let output = built.map_err(|error| format!("not installed: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
    Err(format!("does not build: {first}"))
}

/// Returns the version of a server.
pub fn version(server: &Server) -> String {
    let version = match server.source {
        Source::Member(name) => locked_version(name),
        Source::Brigade | Source::BrigadePerLoop => {
            first_line("git", &["-C", WORKSPACE, "describe", "--always", "--dirty"])
        }
        Source::Go => first_line("go", &["version"])
            .and_then(|line| line.split_whitespace().nth(2).map(str::to_owned)),
        Source::Nginx | Source::NginxProxy | Source::NginxTls => first_line("nginx", &["-v"])
            .and_then(|line| line.rsplit('/').next().map(|number| format!("nginx {number}"))),
        Source::Haproxy => first_line("haproxy", &["-v"]).and_then(|line| {
            line.split_whitespace().nth(2).map(|number| format!("HAProxy {number}"))
        }),
        Source::NodeWs => first_line("node", &["--version"]).map(|node| format!("node {node}")),
    };
    version.unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the path of a built binary: beside this one, in the release profile.
pub(super) fn binary(name: &str) -> PathBuf {
    target_directory().join("release").join(name)
}

/// Returns the directory of the Node.js server and the package that it needs.
pub(super) fn node_ws() -> PathBuf {
    target_directory().join("node-ws")
}

fn install_node_ws() -> io::Result<Output> {
    let directory = node_ws();
    fs::create_dir_all(&directory)?;
    for file in ["package.json", "main.js"] {
        fs::copy(Path::new(WORKSPACE).join("servers/node-ws").join(file), directory.join(file))?;
    }
    nice("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&directory).output()
}

fn target_directory() -> PathBuf {
    let own = std::env::current_exe().expect("the path of this program is known");
    own.ancestors().nth(2).expect("cargo puts it two levels down").to_owned()
}

fn cargo_build(package: &str) -> io::Result<Output> {
    nice(env!("CARGO"))
        .args(["build", "--release", "--color", "never", "-p", package, "--target-dir"])
        .arg(target_directory())
        .current_dir(WORKSPACE)
        .stdin(Stdio::null())
        .output()
}

fn nice(program: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19", program]);
    command
}

fn locked_version(package: &str) -> Option<String> {
    let lock = std::fs::read_to_string(Path::new(WORKSPACE).join("Cargo.lock")).ok()?;
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(format!("{package} {}", rest.split('"').next()?))
}
