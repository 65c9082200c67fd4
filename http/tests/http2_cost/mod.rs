//! What clients of HTTP/2 cost the loop that serves them: the CPU time of its thread, and how many
//! frames it reads of the connections that it ends.
#![allow(unreachable_pub, reason = "tests share it")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brigade_http::{Router, get};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span, subscriber};

use crate::http2_frames::{self, DATA, END_STREAM, Raw, WINDOW_UPDATE, frame};

/// The requests that a client may have open.
const BATCH: u32 = 100;

/// The frames of the connections that servers have ended.
static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Adds what [`cpu_time`] requests.
pub fn measured(router: Router) -> Router {
    // The first field is the time that the thread has run, in nanoseconds (proc_pid_schedstat(5)).
    let times = async || fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    router.route("/cpu", get(times))
}

/// Returns the CPU time of the thread that serves this connection.
pub fn cpu_time(server: SocketAddr) -> Duration {
    let mut client = Raw::plain(server);
    client.send(&http2_frames::get(1, "/cpu"));
    let times = String::from_utf8(client.until(DATA).payload).unwrap();
    let time = times.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(time.expect("the system counts the time of threads"))
}

/// Sends requests for `/` that a client which behaves could send, many at once, on one connection.
/// Returns the CPU time of the server's thread for all.
pub fn serve_honest(server: SocketAddr, requests: u32) -> Duration {
    let mut client = Raw::plain(server);
    // Room for all bodies.
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let before = cpu_time(server);
    for batch in 0..requests / BATCH {
        let id = |n| 2 * (batch * BATCH + n) + 1;
        client.send(&(0..BATCH).flat_map(|n| http2_frames::get(id(n), "/")).collect::<Vec<_>>());
        let mut complete = 0;
        while complete < BATCH {
            let frame = client.next().expect("the connection goes on");
            complete += u32::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
        }
    }
    cpu_time(server) - before
}

/// Counts frames from now on.
pub fn count_frames() {
    static SUBSCRIBED: Once = Once::new();
    SUBSCRIBED.call_once(|| subscriber::set_global_default(FrameCount).unwrap());
    take_frames();
}

/// Returns how many frames have arrived on the connections that servers have ended since the last
/// call.
pub fn take_frames() -> u64 {
    FRAMES.swap(0, Ordering::Relaxed)
}

/// A subscriber that adds up the frames of the connections that a server ends.
struct FrameCount;

impl Subscriber for FrameCount {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.fields().field("frames").is_some()
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Frames);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Frames;

impl Visit for Frames {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "frames" {
            FRAMES.fetch_add(value, Ordering::Relaxed);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
