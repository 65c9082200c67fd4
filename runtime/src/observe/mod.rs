//! What any thread can read of a loop: plain data that the loop publishes.
//!
//! Reading it needs no help of the loop, so it also works while the loop is stuck.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `panic` | panics in code of users: messages, destructors that panic |
//! | `nesting` | destructors that run within each other, to any depth |
//! | `info` | a task: its id, name, site and state |
//! | `labels` | names, sites and notes, published as numbers |
//! | `vitals` | what the loop publishes as it turns: progress, current poll, load |
//! | `poll_times` | a histogram of how long polls take |
//! | `unhandled` | what goes wrong without code that awaits it, and its report |
//! | `shared` | all of this for one loop |
//! | `snapshot` | what a loop does at one moment |
//! | `watchdog` | the thread that reports stalled loops |

pub(crate) mod info;
pub(crate) mod labels;
pub(crate) mod nesting;
pub(crate) mod panic;
pub(crate) mod poll_times;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod unhandled;
pub(crate) mod vitals;
pub(crate) mod watchdog;
