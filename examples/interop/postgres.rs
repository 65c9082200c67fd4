//! Users in PostgreSQL, over a pool of connections on each loop.
//!
//! ```text
//! psql -h 127.0.0.1 -U postgres -c \
//!     'CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)'
//! cargo run -p brigade-examples --example postgres -- \
//!     --database 'host=127.0.0.1 user=postgres dbname=postgres'
//! curl -d Ada http://127.0.0.1:8080/users
//! curl http://127.0.0.1:8080/users/1 http://127.0.0.1:8080/summary http://127.0.0.1:8080/sleep/9
//! ```
//!
//! tokio-postgres speaks the protocol, over brigade's streams; no runtime of tokio is started. A
//! connection whose query did not end, because of a timeout or a client that went away, is not used
//! again, and the query is cancelled. If the database cannot be reached, the response is a 503.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use brigade::http::{HandlerError, Path, Router, Server, State, StatusCode, get, post};
use brigade::local::Semaphore;
use brigade::net::{TcpStream, UnixStream};
use brigade::time::timeout;
use lexopt::{Arg, ValueExt};
use tokio_postgres::config::Host;
use tokio_postgres::{CancelToken, Client, Config, NoTls, Statement};

/// How many connections each loop keeps. One runs many queries at once, so a few are enough.
const CONNECTIONS: usize = 4;
/// How long a request waits for a connection: for one to be free, and for one to be made.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// How long the queries of a request may take.
const QUERY_MAX: Duration = Duration::from_secs(3);
const PORT_DEFAULT: u16 = 5432;

/// The connections of one loop.
struct Pool {
    config: Config,
    idle: RefCell<Vec<Connection>>,
    permits: Semaphore,
}

struct Connection {
    client: Client,
    find: Statement,
}

impl Pool {
    fn new(config: Config) -> Rc<Self> {
        Rc::new(Self { config, idle: RefCell::default(), permits: Semaphore::new(CONNECTIONS) })
    }

    /// Runs `queries` on a connection that no other request uses.
    async fn run<T>(
        self: &Rc<Self>,
        queries: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, HandlerError> {
        let unavailable = |cause: Box<dyn Error + Send + Sync>| {
            let message = "the database cannot be reached";
            HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, message).with_cause(cause)
        };
        let connection = async {
            let permit = self.permits.acquire().await;
            let idle = self.idle.borrow_mut().pop().filter(|idle| !idle.client.is_closed());
            Ok((permit, if let Some(idle) = idle { idle } else { self.connect().await? }))
        };
        let connection = timeout(CONNECT_MAX, connection).await;
        let (_permit, connection) =
            connection.map_err(|late| unavailable(late.into()))?.map_err(unavailable)?;
        let mut busy = Busy { pool: self.clone(), connection: Some(connection) };
        let connection = busy.connection.as_ref().expect("it is there until the queries end");
        let result = timeout(QUERY_MAX, queries(connection)).await;
        let result = result.map_err(|late| {
            HandlerError::new(StatusCode::GATEWAY_TIMEOUT, "the query took too long")
                .with_cause(late)
        })?;
        // The queries have ended, so the connection is as it was.
        self.idle.borrow_mut().extend(busy.connection.take());
        Ok(result?)
    }

    async fn connect(&self) -> Result<Connection, Box<dyn Error + Send + Sync>> {
        let client = match self.host()? {
            (Host::Tcp(host), port) => {
                let stream = TcpStream::connect((host.clone(), port)).await?;
                stream.set_nodelay(true)?;
                let (client, connection) = self.config.connect_raw(stream, NoTls).await?;
                brigade::spawn(connection).detach();
                client
            }
            (Host::Unix(directory), port) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                let stream = UnixStream::connect(path).await?;
                let (client, connection) = self.config.connect_raw(stream, NoTls).await?;
                brigade::spawn(connection).detach();
                client
            }
        };
        let find = client.prepare("SELECT name FROM users WHERE id = $1").await?;
        Ok(Connection { client, find })
    }

    /// Cancels the query that a connection runs (PostgreSQL's protocol, "Canceling Requests in
    /// Progress"): by another connection.
    async fn cancel(&self, token: CancelToken) -> Result<(), Box<dyn Error + Send + Sync>> {
        match self.host()? {
            (Host::Tcp(host), port) => {
                let stream = TcpStream::connect((host.clone(), port)).await?;
                Ok(token.cancel_query_raw(stream, NoTls).await?)
            }
            (Host::Unix(directory), port) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                Ok(token.cancel_query_raw(UnixStream::connect(path).await?, NoTls).await?)
            }
        }
    }

    fn host(&self) -> Result<(&Host, u16), String> {
        let host = self.config.get_hosts().first().ok_or("name a host of the database")?;
        Ok((host, self.config.get_ports().first().copied().unwrap_or(PORT_DEFAULT)))
    }
}

/// A connection in use. If it is dropped before its queries have ended, they are cancelled, and the
/// connection is closed.
struct Busy {
    pool: Rc<Pool>,
    connection: Option<Connection>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let (pool, token) = (self.pool.clone(), connection.client.cancel_token());
        brigade::spawn(async move {
            match timeout(CONNECT_MAX, pool.cancel(token)).await {
                Ok(Ok(())) => tracing::info!("cancelled a query"),
                other => tracing::warn!(?other, "could not cancel a query"),
            }
        })
        .detach();
    }
}

type Users = State<Rc<Pool>>;

async fn create(State(pool): Users, name: String) -> Result<(StatusCode, String), HandlerError> {
    let insert = "INSERT INTO users (name) VALUES ($1) RETURNING id";
    let row = pool.run(async |db| db.client.query_one(insert, &[&name]).await).await?;
    Ok((StatusCode::CREATED, row.get::<_, i32>(0).to_string()))
}

async fn show(State(pool): Users, Path(id): Path<i32>) -> Result<Option<String>, HandlerError> {
    let row = pool.run(async |db| db.client.query_opt(&db.find, &[&id]).await).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Sends three queries before the first has a result.
async fn summary(State(pool): Users) -> Result<String, HandlerError> {
    let [users, first, last] = pool
        .run(async |db| {
            let one = |query| async move { db.client.query_one(query, &[]).await };
            let count = one("SELECT count(*)::text FROM users");
            let first = one("SELECT coalesce(min(name), '') FROM users");
            let last = one("SELECT coalesce(max(name), '') FROM users");
            let (count, first, last) = brigade::try_gather((count, first, last)).await?;
            Ok([count, first, last].map(|row| row.get::<_, String>(0)))
        })
        .await?;
    Ok(format!("{users} users, from {first} to {last}\n"))
}

async fn sleep(State(pool): Users, Path(seconds): Path<f64>) -> Result<&'static str, HandlerError> {
    let sleep = "SELECT 'slept' FROM (SELECT pg_sleep($1)) AS slept";
    pool.run(async |db| db.client.query_one(sleep, &[&seconds]).await).await?;
    Ok("slept\n")
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (mut listen, mut database) = ("127.0.0.1:8080".to_owned(), "host=127.0.0.1".to_owned());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => listen = arguments.value()?.string()?,
            Arg::Long("database") => database = arguments.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let config: Config = database.parse()?;
    let server = Server::bind(listen)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run(move || {
        Router::new()
            .route("/users", post(create))
            .route("/users/{id}", get(show))
            .route("/summary", get(summary))
            .route("/sleep/{seconds}", get(sleep))
            .with_state(Pool::new(config.clone()))
    })?;
    Ok(())
}
