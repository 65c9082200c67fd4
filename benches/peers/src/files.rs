//! The files of the scenario `static`.

use std::fs;
use std::io;
use std::path::Path;

/// How many files there are. scripts/static.lua requests all of them in turn.
const COUNT: u64 = 20;
/// The size of the smallest one, and of the largest.
const BYTES_MIN: f64 = 3e3;
const BYTES_MAX: f64 = 300e3;

/// Creates `static` in `directory`, with files of 3 to 300 KB, each 1.27 times as large as the one
/// before. Beside each is one that counts as the same, compressed by gzip: a third as large. Its
/// content does not matter, as nobody decompresses it.
///
/// # Errors
/// If a file cannot be written.
pub fn create(directory: &Path) -> io::Result<()> {
    let root = directory.join("static");
    fs::create_dir_all(&root)?;
    for n in 0..COUNT {
        let share = n as f64 / (COUNT - 1) as f64;
        let bytes = (BYTES_MIN * (BYTES_MAX / BYTES_MIN).powf(share)) as usize;
        let content: Vec<u8> = (0..bytes).map(|at| b'a' + (at % 23) as u8).collect();
        fs::write(root.join(format!("{n}.js")), &content)?;
        fs::write(root.join(format!("{n}.js.gz")), &content[..bytes / 3])?;
    }
    Ok(())
}
