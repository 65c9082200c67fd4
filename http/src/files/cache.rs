//! Small files of a directory that one loop keeps in memory, at most so many bytes of them.
//!
//! An entry is used for some time after its file was looked at. Then the file is opened again, and
//! the entry stays if that is the same version. A file that has changed just now is not kept: a
//! further change could have the same times.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use crate::files::kernel::read_now;
use crate::files::open::{OpenFile, Source};
use crate::files::version::Version;

/// Files of at most this size are kept. A larger one is sent by the system without a copy.
const FILE_BYTES_MAX: u64 = 32 * 1024;
/// About what an entry takes beside its content.
const ENTRY_BYTES: usize = 512;

/// The options of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheOptions {
    pub(super) bytes_max: usize,
    /// How long an entry is used before its file is looked at again.
    pub(super) fresh_for: Duration,
}

/// Small files by their names.
pub(super) struct FileCache {
    options: CacheOptions,
    entries: HashMap<PathBuf, Entry>,
    /// The names of all entries. The first one is removed next, unless it was used.
    order: VecDeque<PathBuf>,
    bytes: usize,
}

struct Entry {
    metadata: Metadata,
    content: Bytes,
    /// When the file was looked at.
    checked: Instant,
    /// The entry was used since it has moved to the end of the order.
    is_used: bool,
}

impl FileCache {
    pub(super) fn new(options: CacheOptions) -> Self {
        Self { options, entries: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Returns the file at `name`: from the cache, or else opened with `open`.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn open(
        &mut self,
        name: &Path,
        now: Instant,
        open: impl FnOnce() -> io::Result<OpenFile>,
    ) -> io::Result<OpenFile> {
        let fresh_for = self.options.fresh_for;
        if let Some(entry) = self.entries.get_mut(name)
            && now.saturating_duration_since(entry.checked) < fresh_for
        {
            return Ok(entry.file());
        }
        let opened = open();
        let is_same = |entry: &Entry| {
            opened.as_ref().is_ok_and(|opened| is_same(&entry.metadata, &opened.metadata))
        };
        match self.entries.get_mut(name) {
            Some(entry) if is_same(entry) => {
                entry.checked = now;
                return Ok(entry.file());
            }
            Some(_) => self.remove(name),
            None => {}
        }
        let opened = opened?;
        if let Some(content) = content_to_keep(&opened) {
            self.insert(name, opened.metadata.clone(), content, now);
        }
        Ok(opened)
    }

    fn insert(&mut self, name: &Path, metadata: Metadata, content: Bytes, now: Instant) {
        let bytes = cost(name, &content);
        while self.bytes + bytes > self.options.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.entries.get_mut(&oldest) {
                Some(entry) if entry.is_used => {
                    entry.is_used = false;
                    self.order.push_back(oldest);
                }
                _ => self.forget(&oldest),
            }
        }
        self.bytes += bytes;
        self.order.push_back(name.to_owned());
        let entry = Entry { metadata, content, checked: now, is_used: false };
        self.entries.insert(name.to_owned(), entry);
    }

    /// Removes an entry and its place in the order.
    fn remove(&mut self, name: &Path) {
        self.forget(name);
        // Takes time, but files seldom change.
        self.order.retain(|known| known != name);
    }

    fn forget(&mut self, name: &Path) {
        if let Some(entry) = self.entries.remove(name) {
            self.bytes -= cost(name, &entry.content);
        }
    }
}

impl Entry {
    fn file(&mut self) -> OpenFile {
        self.is_used = true;
        OpenFile { source: Source::Memory(self.content.clone()), metadata: self.metadata.clone() }
    }
}

fn cost(name: &Path, content: &Bytes) -> usize {
    content.len() + 2 * name.as_os_str().len() + ENTRY_BYTES
}

/// Returns the content of a file that is worth keeping, if it is in the page cache.
fn content_to_keep(opened: &OpenFile) -> Option<Bytes> {
    let OpenFile { source: Source::File(file), metadata } = opened else { return None };
    let is_small = metadata.len() > 0 && metadata.len() <= FILE_BYTES_MAX;
    let is_settled = || !Version::new(metadata, SystemTime::now()).is_weak();
    (is_small && is_settled()).then(|| whole(file, metadata.len()))?
}

fn whole(file: &File, length: u64) -> Option<Bytes> {
    let content = read_now(file, 0, length as usize).ok()??;
    (content.len() as u64 == length).then_some(content)
}

/// Returns `true` if both are of the same version of the same file.
fn is_same(known: &Metadata, found: &Metadata) -> bool {
    let version = |file: &Metadata| {
        let identity = (file.dev(), file.ino(), file.len());
        (identity, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec())
    };
    version(known) == version(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> io::Result<OpenFile> {
        OpenFile::new(File::open(path)?)
    }

    fn cache(bytes_max: usize) -> FileCache {
        FileCache::new(CacheOptions { bytes_max, fresh_for: Duration::from_secs(1) })
    }

    /// Any file that was not written just now. It is in the page cache, since only such files are
    /// kept.
    fn known_file() -> PathBuf {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        std::fs::read(&path).unwrap();
        path
    }

    #[test]
    fn the_bytes_that_are_kept_are_bounded() {
        let (file, now) = (known_file(), Instant::now());
        let length = std::fs::metadata(&file).unwrap().len() as usize;
        let each = length + 2 + ENTRY_BYTES;
        let mut cache = cache(3 * each);
        for name in ["a", "b", "c", "a", "d", "e", "f"] {
            cache.open(Path::new(name), now, || open(&file)).unwrap();
            assert!(cache.bytes <= 3 * each && cache.order.len() == cache.entries.len());
        }
        // The one that was used again is kept for longer.
        assert_eq!(cache.entries.len(), 3);
        assert!(cache.entries.contains_key(Path::new("f")));
        cache.open(Path::new("g"), now, || open(&file)).unwrap();
        let bytes: usize = cache.entries.iter().map(|(name, e)| cost(name, &e.content)).sum();
        assert_eq!(cache.bytes, bytes);
    }

    #[test]
    fn a_fresh_entry_is_used_without_opening_the_file() {
        let (file, now) = (known_file(), Instant::now());
        let mut cache = cache(1 << 20);
        cache.open(Path::new("a"), now, || open(&file)).unwrap();
        let never = || Err(io::Error::other("opened"));
        let later = now + Duration::from_millis(999);
        assert!(cache.open(Path::new("a"), later, never).is_ok());
        let stale = now + Duration::from_secs(1);
        assert!(cache.open(Path::new("a"), stale, never).is_err());
        assert_eq!((cache.entries.len(), cache.order.len(), cache.bytes), (0, 0, 0));
    }

    #[test]
    fn a_stale_entry_is_kept_if_the_file_is_the_same() {
        let (file, now) = (known_file(), Instant::now());
        let mut cache = cache(1 << 20);
        let first = cache.open(Path::new("a"), now, || open(&file)).unwrap();
        assert!(matches!(first.source, Source::File(_)));
        let stale = now + Duration::from_secs(5);
        let second = cache.open(Path::new("a"), stale, || open(&file)).unwrap();
        assert!(matches!(second.source, Source::Memory(_)));
    }
}
