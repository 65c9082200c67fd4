//! tokio-postgres over tokio's streams, on brigade's loops by async-compat: tokio's reactor runs on
//! a thread of its own.

use std::io;

use async_compat::Compat;
use peer_postgres_service::{Error, serve};
use tokio_postgres::{Client, Config, NoTls};

fn main() -> io::Result<()> {
    serve(connect)
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = Compat::new(config.connect(NoTls)).await?;
    brigade::spawn(Compat::new(connection)).detach();
    Ok(client)
}
