//! Which version of a file there is.

use std::fs::Metadata;
use std::time::{Duration, SystemTime};

/// How coarse the times of a file system may be: two changes within it may have the same time.
/// FAT has two seconds; all others have less.
const TICK: Duration = Duration::from_secs(2);

/// What tells one version of a file from another (RFC 9110 section 8.8).
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) length: u64,
    /// With its quotes, and with `W/` before them if it is weak.
    pub(super) etag: String,
    /// To the second, since a header tells no more; absent if it is no time a header can tell.
    pub(super) modified: Option<SystemTime>,
    /// The file is old enough that no two versions of it have the same time.
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
        // A time ahead of us is told as now (RFC 9110 section 8.8.2.1).
        let modified = since_epoch.map(|time| {
            let seconds = time.min(since_epoch_or_zero(now)).as_secs();
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
        });
        Self { length, etag, modified, is_settled }
    }
}

fn since_epoch(time: SystemTime) -> Option<Duration> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()
}

fn since_epoch_or_zero(time: SystemTime) -> Duration {
    since_epoch(time).unwrap_or_default()
}
