//! A test server whose answers take their time: a drop-in for go-httpbin where delays are tested.
//!
//! ```text
//! cargo run --release --example httpbin_delay
//! curl -i http://127.0.0.1:8080/delay/1
//! ```
//!
//! | module | |
//! | --- | --- |
//! | `options` | the command line |
//! | `go_duration`, `query`, `byte_range` | values in requests |
//! | `failure`, `cors`, `endpoint` | what all answers have in common |
//! | `params`, `pace`, `timing` | parameters, answers in pieces, the time that they took |
//! | `origin`, `posted`, `answer` | requests told back |
//! | `delay`, `drip`, `events`, `range`, `chaos` | endpoints that take their time |
//! | `status`, `unstable`, `lines`, `random_bytes` | endpoints that do not |
//! | `index`, `app` | what there is, for people and for the router |
#![forbid(unsafe_code)]

mod answer;
mod app;
mod byte_range;
mod chaos;
mod cors;
mod delay;
mod drip;
mod endpoint;
mod events;
mod failure;
mod go_duration;
mod index;
mod lines;
mod options;
mod origin;
mod pace;
mod params;
mod posted;
mod query;
mod random_bytes;
mod range;
mod status;
mod timing;
mod unstable;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use brigade::EventLoop;
use brigade::http::{LoopReport, Server, Timeouts};
use brigade::signal::{SignalKind, Signals};
use rlimit::Resource;
use tracing_subscriber::filter::LevelFilter;

use crate::options::{Command, Options};

/// Descriptors below which a load test runs into the limit.
const DESCRIPTORS_FEW: u64 = 10_000;
/// What a shutdown grants to the longest answer beyond its delay.
const DRAIN_SLACK: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options = match options::parse(lexopt::Parser::from_env()) {
        Ok(Command::Serve(options)) => options,
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("httpbin_delay: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    start_log(options.debug);
    match serve(&options) {
        Ok(reports) => {
            for (number, report) in reports.iter().enumerate() {
                tracing::info!("event loop {number} served {report}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("httpbin_delay: {error}");
            ExitCode::from(1)
        }
    }
}

fn start_log(debug: bool) {
    tracing_subscriber::fmt()
        .with_max_level(if debug { LevelFilter::DEBUG } else { LevelFilter::INFO })
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}

/// Serves until a signal. Returns what each loop did.
fn serve(options: &Options) -> io::Result<Vec<LoopReport>> {
    let server = bind(options)?;
    raise_descriptor_limit();
    let started = format!(
        "listening on http://{} ({} event loops)\n",
        server.local_addr()?,
        server.loop_count()
    );
    let (max_delay, chaos) = (options.max_delay, options.chaos);
    let mut event_loop = EventLoop::builder().name("acceptor").debug(options.debug).build()?;
    event_loop.run_until_complete(async move {
        // Before anybody is told of the server, so that no signal comes too early.
        let signals = Signals::new([SignalKind::Interrupt, SignalKind::Terminate])?;
        io::stdout().write_all(started.as_bytes())?;
        io::stdout().flush()?;
        let signal = async || {
            let signal = signals.recv().await;
            tracing::info!(?signal, "shutting down");
        };
        let app = move || app::app(max_delay, chaos);
        server.serve_with_force(app, signal(), signal()).await
    })
}

fn bind(options: &Options) -> io::Result<Server> {
    // Nobody who waits for an answer loses it to a shutdown.
    let defaults = Timeouts::default();
    let drain = defaults.drain.max(options.max_delay.to_std().saturating_add(DRAIN_SLACK));
    let server = Server::bind(&*options.listen)?
        .per_loop(options.accepts_per_loop)
        .pin(options.pin)
        .server_timing(options.server_timing)
        .timeouts(Timeouts { drain, ..defaults })
        .event_loop(EventLoop::builder().debug(options.debug));
    Ok(match options.loops {
        Some(loops) => server.loops(loops),
        None => server,
    })
}

/// Each connection needs a descriptor; the limit that a shell sets is often 1,024.
fn raise_descriptor_limit() {
    let raised = Resource::NOFILE.get().and_then(|(_, hard)| {
        Resource::NOFILE.set(hard, hard)?;
        Ok(hard)
    });
    match raised {
        Ok(limit) if limit < DESCRIPTORS_FEW => tracing::warn!(
            "the limit of descriptors is {limit}, and each connection needs one: \
             raise it with ulimit -Hn for more"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit of descriptors could not be raised: {error}"),
    }
}
