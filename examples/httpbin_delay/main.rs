//! A test server with delayed responses: a drop-in for go-httpbin.
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
//! | `document`, `failure`, `cors`, `endpoint` | what all responses have in common |
//! | `params`, `pace`, `timing` | parameters, responses in pieces, the time that they took |
//! | `origin`, `posted`, `echo` | responses that describe the request |
//! | `delay`, `drip`, `events`, `range`, `chaos` | endpoints that take some time |
//! | `status`, `unstable`, `lines`, `random_bytes` | endpoints that respond at once |
//! | `tls`, `self_signed`, `http2` | with the features of these names; `no_…` without |
//! | `index`, `app` | the list of endpoints for people, and the routes |
#![forbid(unsafe_code)]

mod app;
mod byte_range;
mod chaos;
mod cors;
mod delay;
mod document;
mod drip;
mod echo;
mod endpoint;
mod events;
mod failure;
mod go_duration;
#[cfg(feature = "http2")]
mod http2;
#[cfg(not(feature = "http2"))]
#[path = "no_http2.rs"]
mod http2;
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
#[cfg(feature = "tls-self-signed")]
mod self_signed;
#[cfg(not(feature = "tls-self-signed"))]
#[path = "no_self_signed.rs"]
mod self_signed;
mod status;
mod timing;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod unstable;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use brigade::EventLoop;
use brigade::http::{LoopReport, Server, Timeouts};
use brigade::signal::{SignalKind, Signals};
use rlimit::Resource;
use tracing_subscriber::filter::LevelFilter;

use crate::options::{Command, Options};
use crate::tls::Tls;

/// With fewer descriptors than this a load test runs into the limit.
const DESCRIPTORS_FEW: u64 = 10_000;
/// How much longer than the longest delay a shutdown waits for responses.
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

/// Serves until a signal arrives, and returns what each loop did.
fn serve(options: &Options) -> Result<Vec<LoopReport>, Box<dyn Error>> {
    let (tls, certificate) = certificate(options)?;
    let server = bind(options, tls.as_ref())?;
    raise_descriptor_limit();
    let started = format!(
        "{certificate}listening on {}://{} ({} event loops)\n",
        if tls.is_some() { "https" } else { "http" },
        server.local_addr()?,
        server.loop_count()
    );
    let (max_delay, chaos) = (options.max_delay, options.chaos);
    let mut event_loop = EventLoop::builder().name("acceptor").debug(options.debug).build()?;
    let reports: io::Result<_> = event_loop.run_until_complete(async move {
        // Before the address is printed, so that no signal arrives too early.
        let signals = Signals::new([SignalKind::Interrupt, SignalKind::Terminate])?;
        if let Some(tls) = tls {
            tls.reload_on_hangup();
        }
        io::stdout().write_all(started.as_bytes())?;
        io::stdout().flush()?;
        let signal = async || {
            let signal = signals.recv().await;
            tracing::info!(?signal, "shutting down");
        };
        let app = move || app::app(max_delay, chaos);
        server.serve_with_force(app, signal(), signal()).await
    });
    Ok(reports?)
}

/// Returns the certificate to serve with, if there is one, and a line about it.
fn certificate(options: &Options) -> Result<(Option<Tls>, String), Box<dyn Error>> {
    if options.tls_self_signed {
        let (tls, line) = self_signed::make()?;
        return Ok((Some(tls), line));
    }
    let Some((certificate, key)) = &options.tls else { return Ok((None, String::new())) };
    let tls = Tls::from_files(certificate, key, options.tls_client_ca.as_deref())?;
    Ok((Some(tls), String::new()))
}

fn bind(options: &Options, tls: Option<&Tls>) -> Result<Server, Box<dyn Error>> {
    // A shutdown waits for the longest delay that a client may have requested.
    let defaults = Timeouts::default();
    let drain = defaults.drain.max(options.max_delay.to_std().saturating_add(DRAIN_SLACK));
    let server = Server::bind(&*options.listen)?
        .per_loop(options.accepts_per_loop)
        .pin(options.pin)
        .server_timing(options.server_timing)
        .timeouts(Timeouts { drain, ..defaults })
        .event_loop(EventLoop::builder().debug(options.debug));
    let server = match &options.unix {
        Some(path) => server.and_bind_unix(path)?,
        None => server,
    };
    let server = match tls {
        Some(tls) => tls.serve(server),
        None => server,
    };
    let server = if options.h2c { http2::allow(server)? } else { server };
    Ok(match options.loops {
        Some(loops) => server.loops(loops),
        None => server,
    })
}

/// Raises the limit of descriptors, which a shell often sets to 1,024: each connection needs one.
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
