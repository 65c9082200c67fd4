//! tokio-postgres over brigade's streams.

use std::io;

use brigade::net::TcpStream;
use peer_postgres_service::{Error, serve};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

fn main() -> io::Result<()> {
    serve(connect)
}

async fn connect(config: &Config) -> Result<Client, Error> {
    let (Some(Host::Tcp(host)), Some(&port)) =
        (config.get_hosts().first(), config.get_ports().first())
    else {
        return Err("PEER_DATABASE names a host and a port".into());
    };
    let stream = TcpStream::connect((host.clone(), port)).await?;
    stream.set_nodelay(true)?;
    let (client, connection) = config.connect_raw(stream, NoTls).await?;
    brigade::spawn(connection).detach();
    Ok(client)
}
