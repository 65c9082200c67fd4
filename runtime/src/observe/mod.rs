//! What any thread can read about a loop: plain data that the loop publishes.
//!
//! Reading it needs nothing from the loop, so it also works while the loop is stuck.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `panic` | panics in code of users: messages, destructors that panic |
//! | `nesting` | destructors that run within each other, to any depth |
//! | `info` | a task: its id, name, site and state |
//! | `labels` | names, sites and notes, published as numbers |
//! | `vitals` | what the loop publishes as it turns: progress, current poll, load |
//! | `poll_times` | a histogram of how long polls take |
//! | `unhandled` | failures that no code awaits, and how they are reported |
//! | `shared` | all of this for one loop |
//! | `snapshot` | what a loop does at one moment |
//! | `watchdog`, `rest` | the thread that reports stalled loops, and its sleep while all wait |

pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod nesting;
pub(crate) mod panic;
pub(crate) mod poll_times;
pub(crate) mod rest;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod unhandled;
pub(crate) mod vitals;
pub(crate) mod watchdog;
