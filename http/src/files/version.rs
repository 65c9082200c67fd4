//! Identifies the version of a file.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

/// The coarsest resolution of a file system's times, which is that of FAT. Two changes within it
/// may have the same time.
const TICK: Duration = Duration::from_secs(2);

/// The version of a file (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) length: u64,
    /// The entity tag with its quotes, and with `W/` if it is weak.
    pub(super) etag: String,
    /// The time of the last change in whole seconds, or `None` if it is before 1970.
    pub(super) modified: Option<SystemTime>,
    /// The last change is so old that no other version can have the same time.
    pub(super) is_settled: bool,
}

impl Version {
    pub(super) fn new(metadata: &Metadata, now: SystemTime) -> Self {
        let length = metadata.len();
        let since_epoch = metadata.modified().ok().and_then(since_epoch);
        let is_settled = metadata
            .modified()
            .is_ok_and(|modified| modified.checked_add(TICK).is_some_and(|settled| settled < now));
        let weak = if is_settled { "" } else { "W/" };
        let nanoseconds = since_epoch.unwrap_or_default().as_nanos();
        let etag = format!("{weak}\"{length:x}-{nanoseconds:x}\"");
        // A time in the future is replaced by the current one (RFC 9110 section 8.8.2.1).
        let modified = since_epoch.map(|time| {
            let seconds = time.min(since_epoch_or_zero(now)).as_secs();
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        });
        Self { length, etag, modified, is_settled }
    }
}

/// Returns the time since 1970, or `None` for earlier times.
fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

fn since_epoch_or_zero(time: SystemTime) -> Duration {
    since_epoch(time).unwrap_or_default()
}
