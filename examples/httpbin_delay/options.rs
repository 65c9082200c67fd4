//! The command line.

use std::error::Error;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::go_duration::GoDuration;

/// The text of `--help`.
pub(crate) const HELP: &str = "\
A test server with delayed responses and the endpoints of go-httpbin.

Usage: httpbin_delay [OPTIONS]

Options:
  --listen ADDR        where to listen [default: 127.0.0.1:8080]; port 0 is any free port
  --unix PATH          listen at this Unix socket, too
  --tls-cert FILE      speak HTTPS, with this certificate (PEM); read again on SIGHUP
  --tls-key FILE       its key (PEM)
  --tls-client-ca FILE require certificates of clients that these authorities (PEM) have signed
  --tls-self-signed    speak HTTPS, with a certificate for localhost that nobody has signed
  --h2c                speak HTTP/2 without TLS, too, with clients that begin with it
  --loops N            event loops, each a thread [default: one per core]
  --accept MODE        shared: one acceptor for all loops; per-loop: each its own [default: shared]
  --no-pin             let the threads move from core to core
  --max-delay SECONDS  longest delay that a request may set [default: 10]
  --chaos              add /block/{milliseconds} and /panic: every web page that is open in a
                       browser on this machine can then block and crash handlers
  --server-timing      add a header to each response with the times of its request
  --debug              report tasks that block their loop, and log more
  --help               print this
  --version            print the version

GET / lists the endpoints. Pages of every site may send requests and read the responses, also
with credentials (CORS), so do not run the server where a browser reaches more than a test.

SIGTERM and SIGINT end the server after the responses to the requests
in flight. A second signal ends it at once.
";

/// What the command line selects.
pub(crate) enum Command {
    Serve(Options),
    Print(String),
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) listen: String,
    /// The path of a socket file.
    pub(crate) unix: Option<PathBuf>,
    /// The files of the certificate and its key.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// The file of the authorities that have signed the certificates of clients.
    pub(crate) tls_client_ca: Option<PathBuf>,
    pub(crate) tls_self_signed: bool,
    /// Whether HTTP/2 is spoken without TLS.
    pub(crate) h2c: bool,
    /// `None` for one per core.
    pub(crate) loops: Option<usize>,
    /// Whether each loop accepts for itself.
    pub(crate) accepts_per_loop: bool,
    pub(crate) pin: bool,
    pub(crate) max_delay: GoDuration,
    pub(crate) chaos: bool,
    pub(crate) server_timing: bool,
    pub(crate) debug: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            unix: None,
            tls: None,
            tls_client_ca: None,
            tls_self_signed: false,
            h2c: false,
            loops: None,
            accepts_per_loop: false,
            pin: true,
            max_delay: GoDuration::from_secs(10),
            chaos: false,
            server_timing: false,
            debug: false,
        }
    }
}

pub(crate) fn parse(mut arguments: Parser) -> Result<Command, Box<dyn Error>> {
    let mut options = Options::default();
    let (mut certificate, mut key) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => options.listen = parse_listen(arguments.value()?.string()?)?,
            Arg::Long("unix") => options.unix = Some(arguments.value()?.into()),
            Arg::Long("tls-cert") => certificate = Some(arguments.value()?.into()),
            Arg::Long("tls-key") => key = Some(arguments.value()?.into()),
            Arg::Long("tls-client-ca") => options.tls_client_ca = Some(arguments.value()?.into()),
            Arg::Long("tls-self-signed") => options.tls_self_signed = true,
            Arg::Long("h2c") => options.h2c = true,
            Arg::Long("loops") => options.loops = Some(parse_loops(&mut arguments)?),
            Arg::Long("accept") => {
                options.accepts_per_loop = match arguments.value()?.string()?.as_str() {
                    "shared" => false,
                    "per-loop" => true,
                    other => {
                        return Err(format!("--accept: {other:?} is not shared or per-loop").into());
                    }
                }
            }
            Arg::Long("no-pin") => options.pin = false,
            Arg::Long("max-delay") => {
                let text = arguments.value()?.string()?;
                let max = GoDuration::parse(&text).map_err(|error| format!("--max-delay: {error}"));
                options.max_delay = max?;
                if options.max_delay < GoDuration::ZERO {
                    return Err(format!("--max-delay: {text} is negative").into());
                }
            }
            Arg::Long("chaos") => options.chaos = true,
            Arg::Long("server-timing") => options.server_timing = true,
            Arg::Long("debug") => options.debug = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Print(HELP.to_owned())),
            Arg::Long("version") | Arg::Short('V') => {
                let version = concat!("httpbin_delay ", env!("CARGO_PKG_VERSION"), "\n");
                return Ok(Command::Print(version.to_owned()));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    options.tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("--tls-cert and --tls-key belong together".into()),
    };
    if options.tls_client_ca.is_some() && options.tls.is_none() {
        return Err("--tls-client-ca needs --tls-cert".into());
    }
    if options.tls_self_signed && options.tls.is_some() {
        return Err("--tls-self-signed makes a certificate, and --tls-cert names one".into());
    }
    Ok(Command::Serve(options))
}

fn parse_listen(text: String) -> Result<String, String> {
    let is_address = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match is_address {
        true => Ok(text),
        false => Err(format!("--listen: {text:?} is no host and port, like 127.0.0.1:8080")),
    }
}

fn parse_loops(arguments: &mut Parser) -> Result<usize, Box<dyn Error>> {
    let text = arguments.value()?.string()?;
    match text.parse() {
        Ok(loops @ 1..=1024) => Ok(loops),
        _ => Err(format!("--loops: {text:?} is no number in range [1, 1024]").into()),
    }
}
