//! Collects log messages.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::fmt::Debug;
use std::sync::mpsc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Sends on the messages of one target at level INFO and above.
pub struct Collector {
    target: &'static str,
    messages: mpsc::Sender<(Level, String)>,
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == self.target && *metadata.level() <= Level::INFO
    }

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        // Once the test is over nobody receives.
        let _ = self.messages.send((*event.metadata().level(), message.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Collects the messages of `target` in this process, from now on.
pub fn collect(target: &'static str) -> mpsc::Receiver<(Level, String)> {
    let (messages, collected) = mpsc::channel();
    tracing::subscriber::set_global_default(Collector { target, messages }).unwrap();
    collected
}
