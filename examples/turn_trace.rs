//! Prints the six steps of each turn of the loop: TRACE events of the target `brigade::turn`.
//!
//! ```text
//! cargo run --example turn_trace
//! ```
//!
//! prints
//!
//! ```text
//! TRACE brigade::turn: handled messages step=1 messages=0
//! -- the task begins
//! TRACE brigade::turn: ran tasks step=2 polls=1
//! TRACE brigade::turn: expired timers step=3 timers=0
//! TRACE brigade::turn: polled the selector step=4 timeout=Some(49.900241ms)
//! TRACE brigade::turn: woke tasks for I/O step=5 sources=0
//! TRACE brigade::turn: reported what went wrong step=6 reports=0
//! TRACE brigade::turn: handled messages step=1 messages=0
//! TRACE brigade::turn: ran tasks step=2 polls=0
//! TRACE brigade::turn: expired timers step=3 timers=1
//! TRACE brigade::turn: polled the selector step=4 timeout=Some(0ns)
//! TRACE brigade::turn: woke tasks for I/O step=5 sources=0
//! TRACE brigade::turn: reported what went wrong step=6 reports=0
//! TRACE brigade::turn: handled messages step=1 messages=0
//! -- the task ends
//! TRACE brigade::turn: ran tasks step=2 polls=1
//! TRACE brigade::turn: expired timers step=3 timers=0
//! TRACE brigade::turn: polled the selector step=4 timeout=Some(0ns)
//! TRACE brigade::turn: woke tasks for I/O step=5 sources=0
//! TRACE brigade::turn: reported what went wrong step=6 reports=0
//! ```
//!
//! In the first turn the task runs until it sleeps, and the loop waits in step 4. In the second the
//! timer is due in step 3. In the third the task runs to its end.

use std::time::Duration;

use brigade::run;
use brigade::time::sleep;

fn main() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .without_time()
        .with_ansi(false)
        .init();
    run(async {
        println!("-- the task begins");
        sleep(Duration::from_millis(50)).await;
        println!("-- the task ends");
    });
}
