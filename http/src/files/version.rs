//! Identifies the version of a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// The resolution of the clock from which a system takes a file's times. Two changes within it may
/// have the same time. Linux counts in steps of at most 10 ms.
const TICK: Duration = Duration::from_millis(20);
/// The coarsest resolution of a file system's times, which is that of FAT. It applies to times in
/// whole seconds.
const COARSE_TICK: Duration = Duration::from_secs(2);

/// Times before 1990 are not those of a change: no file is that old, but tools for reproducible
/// builds set such times (0, 1, or the first second of 1980) for all files.
const MODIFIED_MIN: Duration = Duration::from_secs(631_152_000);
/// The first second of 2000, which other tools for reproducible builds set.
const MODIFIED_PORTABLE: Duration = Duration::from_secs(946_684_800);

/// The version of a file (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) length: u64,
    /// The entity tag with its quotes, and with `W/` if it is weak.
    pub(super) etag: String,
    /// The time of the last modification in whole seconds, or `None` if it means nothing.
    pub(super) modified: Option<SystemTime>,
    /// No other version can have the same time of modification: it was not set by a tool, and is
    /// so old that a further change would have another one.
    pub(super) is_modified_unique: bool,
}

impl Version {
    pub(super) fn new(metadata: &Metadata, now: SystemTime) -> Self {
        Self::of(Stamp::new(metadata), since_epoch(now).unwrap_or_default())
    }

    /// Returns `true` if another version may have the same times.
    pub(super) fn is_weak(&self) -> bool {
        self.etag.starts_with("W/")
    }

    fn of(stamp: Stamp, now: Duration) -> Self {
        let Stamp { length, inode, changed, modified } = stamp;
        let tick = if changed.subsec_nanos() == 0 { COARSE_TICK } else { TICK };
        let is_settled = changed.checked_add(tick).is_some_and(|settled| settled < now);
        let weak = if is_settled { "" } else { "W/" };
        // The system sets the time of the change at each write, and nobody else can.
        let (changed_nanos, modified_nanos) = (changed.as_nanos(), modified.as_nanos());
        let etag = format!("{weak}\"{length:x}-{inode:x}-{changed_nanos:x}-{modified_nanos:x}\"");
        let is_meaningful = modified >= MODIFIED_MIN && modified != MODIFIED_PORTABLE;
        // A time in the future is replaced by the current one (RFC 9110 section 8.8.2.1).
        let seconds = modified.min(now).as_secs();
        Self {
            length,
            etag,
            modified: is_meaningful.then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
            is_modified_unique: is_settled && changed.as_secs() == modified.as_secs(),
        }
    }
}

/// What the system knows about a version of a file. Times are those since 1970, or zero if they are
/// earlier.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    length: u64,
    inode: u64,
    /// When the content or the attributes were changed (st_ctime).
    changed: Duration,
    /// When the content was changed, unless a tool has set another time (st_mtime).
    modified: Duration,
}

impl Stamp {
    fn new(metadata: &Metadata) -> Self {
        let changed = match (u64::try_from(metadata.ctime()), metadata.ctime_nsec().try_into()) {
            (Ok(seconds), Ok(nanos)) => Duration::new(seconds, nanos),
            _ => Duration::ZERO,
        };
        let modified = metadata.modified().ok().and_then(since_epoch).unwrap_or_default();
        Self { length: metadata.len(), inode: metadata.ino(), changed, modified }
    }
}

/// Returns the time since 1970, or `None` for earlier times.
fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const CHANGED: Duration = Duration::new(1_600_000_000, 5);
    const STAMP: Stamp = Stamp { length: 10, inode: 7, changed: CHANGED, modified: CHANGED };

    #[test]
    fn the_entity_tag_changes_whenever_the_content_may_have() {
        let nanosecond = Duration::from_nanos(1);
        let versions = [
            STAMP,
            Stamp { length: 11, ..STAMP },
            Stamp { inode: 8, ..STAMP },
            Stamp { changed: CHANGED + nanosecond, ..STAMP },
            Stamp { modified: CHANGED + nanosecond, ..STAMP },
        ];
        let mut tags: Vec<_> = versions.map(|stamp| Version::of(stamp, NOW).etag).into();
        assert!(tags.iter().all(|tag| tag.starts_with('"') && tag.ends_with('"')), "{tags:?}");
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), versions.len());
    }

    #[test]
    fn the_entity_tag_is_weak_while_another_change_could_have_the_same_time() {
        let is_weak = |changed: Duration, age: Duration| {
            let version = Version::of(Stamp { changed, ..STAMP }, changed + age);
            version.etag.starts_with("W/")
        };
        let (millisecond, whole) = (Duration::from_millis(1), Duration::from_secs(1_600_000_000));
        assert!(is_weak(CHANGED, TICK) && !is_weak(CHANGED, TICK + millisecond));
        assert!(is_weak(whole, COARSE_TICK) && !is_weak(whole, COARSE_TICK + millisecond));
        let future = Version::of(Stamp { changed: NOW + millisecond, ..STAMP }, NOW);
        assert!(future.etag.starts_with("W/") && !future.is_modified_unique);
    }

    #[test]
    fn a_time_that_a_tool_sets_for_all_files_is_no_time_of_modification() {
        for seconds in [0, 1, 315_532_800, 315_619_200, 631_151_999, 946_684_800] {
            let modified = Duration::from_secs(seconds);
            assert_eq!(Version::of(Stamp { modified, ..STAMP }, NOW).modified, None, "{seconds}");
        }
        let modified = Duration::from_secs(631_152_000);
        let version = Version::of(Stamp { modified, ..STAMP }, NOW);
        assert_eq!(version.modified, Some(SystemTime::UNIX_EPOCH + modified));
    }

    #[test]
    fn a_time_of_modification_that_was_set_identifies_no_version() {
        assert!(Version::of(STAMP, NOW).is_modified_unique);
        for modified in [CHANGED - Duration::from_secs(1), CHANGED + Duration::from_secs(1)] {
            assert!(!Version::of(Stamp { modified, ..STAMP }, NOW).is_modified_unique);
        }
    }
}
