//! Requests URLs at the same time, and prints what became of each. Those of one server that speaks
//! HTTP/2 share a connection.
//!
//! ```text
//! cargo run --features tls,http2 --example fetch -- https://example.org/ https://example.org/
//! ```
//!
//! prints
//!
//! ```text
//! HTTP/2.0 200 OK, 559 bytes: https://example.org/
//! HTTP/2.0 200 OK, 559 bytes: https://example.org/
//! opened 1 connection
//! ```
//!
//! `--http1` offers only HTTP/1.1. `--upload FILE` sends a `PUT` with the file. `--body` prints the
//! bodies. `SSL_CERT_FILE` names the certificates that are trusted in place of the system's.

use std::error::Error;
use std::fs;

use brigade::http::{Bytes, Client, ClientError, Method};
use brigade::{run, try_gather};
use lexopt::{Arg, Parser, ValueExt};

#[derive(Default)]
struct Options {
    is_only_http1: bool,
    upload: Option<Bytes>,
    shows_bodies: bool,
    urls: Vec<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("http1") => options.is_only_http1 = true,
            Arg::Long("upload") => options.upload = Some(fs::read(parser.value()?)?.into()),
            Arg::Long("body") => options.shows_bodies = true,
            Arg::Value(url) => options.urls.push(url.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

async fn fetch(client: &Client, url: &str, options: &Options) -> Result<String, ClientError> {
    let request = match &options.upload {
        Some(file) => client.request(Method::PUT, url).body(file.clone()),
        None => client.get(url),
    };
    let mut response = request.send().await?;
    let (version, status) = (response.version(), response.status());
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await {
        body.extend(part?);
    }
    let line = format!("{version:?} {status}, {} bytes: {}", body.len(), response.url());
    match options.shows_bodies {
        true => Ok(format!("{line}\n{}", String::from_utf8_lossy(&body))),
        false => Ok(line),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    run(async move {
        let builder = Client::builder().redirects(5);
        let client = if options.is_only_http1 { builder.http1_only() } else { builder }.build();
        let requests = options.urls.iter().map(|url| fetch(&client, url, &options));
        for line in try_gather(requests.collect::<Vec<_>>()).await? {
            println!("{line}");
        }
        let opened = client.connections_opened();
        println!("opened {opened} connection{}", if opened == 1 { "" } else { "s" });
        Ok(())
    })
}
