//! The smallest HTTP server.
//!
//! ```text
//! cargo run --release --example hello -- --listen 127.0.0.1:8080 --loops 2
//! curl -i http://127.0.0.1:8080/
//! ```

use std::error::Error;

use brigade::http::{Router, Server, get};
use lexopt::ValueExt;

fn main() -> Result<(), Box<dyn Error>> {
    let (listen, loops) = options()?;
    let mut server = Server::bind(listen)?;
    if let Some(loops) = loops {
        server = server.loops(loops);
    }
    let (address, loops) = (server.local_addr()?, server.loop_count());
    println!("listening on http://{address} ({loops} event loops)");
    server.run(|| Router::new().route("/", get(async || "Hello, World!")))?;
    Ok(())
}

fn options() -> Result<(String, Option<usize>), lexopt::Error> {
    let (mut listen, mut loops) = ("127.0.0.1:8080".to_owned(), None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("listen") => listen = arguments.value()?.string()?,
            lexopt::Arg::Long("loops") => loops = Some(arguments.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((listen, loops))
}
