//! A reverse proxy: sends requests to its backends in turn.
//!
//! ```text
//! cargo run --release --example proxy -- --backend 127.0.0.1:9001 --backend 127.0.0.1:9002
//! ```
//!
//! Bodies are streamed in both directions. If nothing of a request could be sent to one backend, it
//! is sent to another. If all are down the response is a 502, and if one is too slow, a 504. On
//! SIGTERM the proxy finishes the requests in flight.

use std::cell::Cell;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use brigade::http::{
    Client, ClientError, HeaderName, HeaderValue, Limits, Request, Response, Router, Server,
    Version,
};
use lexopt::{Arg, ValueExt};

#[derive(Clone)]
struct Options {
    listen: String,
    /// The hosts and ports of the backends.
    backends: Vec<String>,
    /// How long a backend may take to accept a connection, and to respond.
    timeout: Duration,
}

/// What the requests of one loop share.
struct Proxy {
    client: Client,
    backends: Vec<String>,
    /// The backend of the next request.
    next: Cell<usize>,
}

impl Proxy {
    fn new(Options { backends, timeout, .. }: Options) -> Self {
        let client = Client::builder().connect_timeout(timeout).head_timeout(timeout).build();
        Self { client, backends, next: Cell::new(0) }
    }

    async fn forward(&self, request: Request) -> Result<Response, ClientError> {
        let path = request.uri().path_and_query().map_or("/".to_owned(), ToString::to_string);
        let count = self.backends.len();
        let first = self.next.replace((self.next.get() + 1) % count);
        let mut backends = self.backends.iter().cycle().skip(first).take(count);
        let mut url = || backends.next().map(|backend| format!("http://{backend}{path}"));
        let added = forwarding_headers(&request);
        let mut request = self.client.forward(request, url().unwrap_or_default());
        request.headers_mut().extend(added);
        loop {
            let mut error = match request.send().await {
                Ok(response) => return Ok(response.into()),
                Err(error) => error,
            };
            let Some(other) = url() else { return Err(error) };
            // It is there if nothing of it was sent.
            let Some(unsent) = error.take_request() else { return Err(error) };
            request = unsent.url(other);
        }
    }
}

/// Returns the headers that tell a backend about the client (RFC 7239) and the proxy (RFC 9110
/// section 7.6.3). They follow those of proxies before this one.
fn forwarding_headers(request: &Request) -> Vec<(HeaderName, HeaderValue)> {
    let client = request.peer_addr().ip();
    let mut forwarded = match client {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        // The client is connected over a Unix socket.
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = request.authority() {
        forwarded += &format!(";host=\"{host}\"");
    }
    let version = if request.version() == Version::HTTP_10 { "1.0" } else { "1.1" };
    let headers = [
        ("forwarded", forwarded + ";proto=http"),
        ("x-forwarded-for", client.map_or("unknown".to_owned(), |client| client.to_string())),
        ("via", format!("{version} brigade")),
    ];
    let header = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    };
    headers.into_iter().filter_map(header).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let server = Server::bind(&options.listen)?;
    println!("listening on http://{}", server.local_addr()?);
    // The backends limit the bodies.
    let limits = Limits { body_bytes_max: u64::MAX, ..Limits::default() };
    server.limits(limits).run(move || {
        let proxy = Proxy::new(options.clone());
        Router::new().fallback(async move |request: Request| proxy.forward(request).await)
    })?;
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let (mut listen, mut backends) = ("127.0.0.1:8080".to_owned(), Vec::new());
    let mut timeout = Duration::from_secs(30);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => listen = arguments.value()?.string()?,
            Arg::Long("backend") => backends.push(arguments.value()?.string()?),
            Arg::Long("timeout") => timeout = Duration::from_secs(arguments.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if backends.is_empty() {
        return Err("name a backend: --backend 127.0.0.1:9001".into());
    }
    Ok(Options { listen, backends, timeout })
}
