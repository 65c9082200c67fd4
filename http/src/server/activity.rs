//! What connections are doing, told when somebody asks.
//!
//! Nothing is kept for it: to ask is to have every connection of the loop polled, which then says
//! what it does.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use brigade_runtime::task::{self, TaskId};

/// One connection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Activity {
    /// The connection's task.
    pub task: TaskId,
    /// The address of its peer.
    pub peer: SocketAddr,
    /// What it does.
    pub state: ConnectionState,
    /// The route of the request that is answered, if one is and it matched any.
    pub route: Option<String>,
    /// For how long it has been waiting like this.
    pub lasted: Duration,
}

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It waits for the next request.
    Idle,
    /// Part of a request's head has come.
    ReadingHead,
    /// Its handler waits for more of the request's body.
    ReadingBody,
    /// Its handler is at work.
    Handling,
    /// The body of the answer is on its way.
    Sending,
    /// It waits for the peer to take what was written.
    Writing,
    /// The last answer is out.
    Closing,
    /// Another protocol has taken it over.
    Upgraded,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::ReadingHead => "reading a head",
            Self::ReadingBody => "reading a body",
            Self::Handling => "handling",
            Self::Sending => "sending",
            Self::Writing => "writing",
            Self::Closing => "closing",
            Self::Upgraded => "upgraded",
        })
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, peer, state, lasted, .. } = self;
        write!(f, "task {task} for {peer}: {state}")?;
        if let Some(route) = &self.route {
            write!(f, " {route}")?;
        }
        write!(f, " for {lasted:.1?}")
    }
}

/// Connections named one by one in a report; of more only the number is told.
pub(crate) const NAMED_MAX: usize = 20;

/// What this thread's loop is doing, in a few lines.
pub(crate) fn describe(mut activities: Vec<Activity>) -> String {
    let mut text = String::new();
    let mut tasks: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
    for info in task::all() {
        let name = info.label.name().unwrap_or("unnamed");
        let kind = format!("'{name}' (spawned at {})", info.label.site());
        let (count, oldest) = tasks.entry(kind).or_default();
        *count += 1;
        *oldest = info.age.max(*oldest);
    }
    for (kind, (count, oldest)) in tasks {
        let _ = write!(text, "\n  {count} x task {kind}, the oldest of {oldest:.1?}");
    }
    let mut states: BTreeMap<ConnectionState, usize> = BTreeMap::new();
    for activity in &activities {
        *states.entry(activity.state).or_default() += 1;
    }
    let _ = write!(text, "\n  {} connections", activities.len());
    for (state, count) in states {
        let _ = write!(text, ", {count} {state}");
    }
    activities.sort_by_key(|activity| std::cmp::Reverse(activity.lasted));
    let busy = activities.iter().filter(|activity| activity.state != ConnectionState::Idle);
    list(&mut text, busy);
    text
}

/// Adds the first of `activities`, a line each.
pub(crate) fn list<'a>(text: &mut String, activities: impl Iterator<Item = &'a Activity>) {
    for activity in activities.take(NAMED_MAX) {
        let _ = write!(text, "\n  {activity}");
    }
}
