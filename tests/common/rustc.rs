//! Runs rustc on a few lines, with a crate that this test was built with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

/// Returns the folder of the crates that this test was built with. It is in the same one.
fn crates() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Returns the newest file in `folder` whose name begins and ends like this.
fn newest(folder: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(is_wanted);
    files.max_by_key(|file| fs::metadata(file).unwrap().modified().unwrap()).unwrap()
}

/// Compiles `code`, in which the newest crate whose file begins with `prefix` and ends with
/// `suffix` has the name `crate_name`. `name` is that of the test.
pub(crate) fn compile(
    name: &str,
    crate_name: &str,
    (prefix, suffix): (&str, &str),
    code: &str,
) -> Output {
    let folder = env::temp_dir().join(format!("{crate_name}-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("code.rs");
    fs::write(&file, code).unwrap();
    let crates = crates();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--extern"])
        .arg(format!("{crate_name}={}", newest(&crates, prefix, suffix).display()))
        .arg("-L")
        .arg(format!("dependency={}", crates.display()))
        .arg("--out-dir")
        .arg(&folder)
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    output
}
