//! Users in PostgreSQL, by a pool on each of brigade's loops, as in `examples/interop/postgres.rs`.
//!
//! How a connection is made is left to the caller, so that streams can be compared.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use brigade::http::{Path, Response, Router, Server, State, StatusCode, get};
use brigade::local::Semaphore;
use brigade::time::timeout;
use peer_common::{CONNECTIONS, FIND, HELLO, Options, TEXT, WAIT_MAX};
use tokio_postgres::{Client, Config, Statement};

/// What connecting, or a query, may fail with.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

struct Pool<C> {
    config: Config,
    connect: C,
    idle: RefCell<Vec<(Client, Statement)>>,
    permits: Semaphore,
}

/// Serves `/users/{id}` with connections by `connect`, which also runs them.
///
/// # Errors
/// If the configuration of the database is malformed, or the server cannot listen.
pub fn serve<C>(connect: C) -> io::Result<()>
where
    C: AsyncFn(&Config) -> Result<Client, Error> + Clone + Send + 'static,
{
    let options = Options::from_args();
    let config: Config = peer_common::database().parse().map_err(io::Error::other)?;
    let server = Server::bind(options.listen)?.loops(options.loops).pin(false);
    println!("listening on http://{} (epoll)", options.listen);
    let router = move || {
        let (config, connect) = (config.clone(), connect.clone());
        let permits = Semaphore::new(CONNECTIONS);
        let pool = Rc::new(Pool { config, connect, idle: RefCell::default(), permits });
        Router::new()
            .route("/", get(async || Response::typed(TEXT, HELLO)))
            .route("/users/{id}", get(show::<C>))
            .with_state(pool)
    };
    server.run(router).map(drop)
}

async fn show<C>(
    State(pool): State<Rc<Pool<C>>>,
    Path(id): Path<i32>,
) -> Result<Option<Response>, StatusCode>
where
    C: AsyncFn(&Config) -> Result<Client, Error> + 'static,
{
    let name = pool.find(id).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(name.map(|name| Response::typed(TEXT, name)))
}

impl<C: AsyncFn(&Config) -> Result<Client, Error>> Pool<C> {
    async fn find(&self, id: i32) -> Result<Option<String>, Error> {
        let connection = timeout(WAIT_MAX, async {
            let permit = self.permits.acquire().await;
            let idle = self.idle.borrow_mut().pop().filter(|(client, _)| !client.is_closed());
            Ok::<_, Error>((permit, if let Some(idle) = idle { idle } else { self.open().await? }))
        });
        let (_permit, connection) = connection.await??;
        let (client, find) = &connection;
        let row = timeout(WAIT_MAX, client.query_opt(find, &[&id])).await??;
        // A connection whose query did not end is not used again.
        self.idle.borrow_mut().push(connection);
        Ok(row.map(|row| row.get(0)))
    }

    async fn open(&self) -> Result<(Client, Statement), Error> {
        let client = (self.connect)(&self.config).await?;
        let find = client.prepare(FIND).await?;
        Ok((client, find))
    }
}
