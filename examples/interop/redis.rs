//! Counters and channels in Redis, over one connection of each loop.
//!
//! ```text
//! cargo run -p brigade-examples --example redis -- --redis 127.0.0.1:6379
//! curl -X POST http://127.0.0.1:8080/counters/visits
//! curl -N http://127.0.0.1:8080/channels/news &
//! curl -d hello http://127.0.0.1:8080/channels/news
//! ```
//!
//! The crate `redis` speaks the protocol, over a stream of brigade; no runtime of tokio is started.
//! The commands of all requests share the connection, and so do subscriptions (RESP3). If it is
//! lost, it is made again, and so are the subscriptions. Until then the response is a 503.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use brigade::bridge::SendIo;
use brigade::http::{
    Event, HandlerError, IntoResponse, Path, Router, Server, Sse, State, StatusCode, get, post,
};
use brigade::local::broadcast;
use brigade::net::TcpStream;
use brigade::time::{sleep, timeout};
use futures_util::stream;
use lexopt::{Arg, ValueExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands, AsyncConnectionConfig, FromRedisValue, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, RedisError,
};

/// How long connecting, or a command, may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The pause after a connection was lost or could not be made.
const RETRY: Duration = Duration::from_millis(200);
/// How many messages a subscriber may be behind. It misses those that are older.
const BEHIND_MAX: usize = 64;

/// What the requests of one loop share.
struct Redis {
    address: String,
    /// `None` while there is no connection.
    connection: RefCell<Option<MultiplexedConnection>>,
    /// The subscribers of each channel.
    channels: RefCell<HashMap<String, broadcast::Sender<String>>>,
}

type Shared = State<Rc<Redis>>;

impl Redis {
    /// Starts a task that keeps a connection.
    fn start(address: String) -> Rc<Self> {
        let (connection, channels) = (RefCell::default(), RefCell::default());
        let this = Rc::new(Self { address, connection, channels });
        let keeping = this.clone();
        brigade::spawn(async move {
            loop {
                let Err(error) = keeping.keep_connection().await else { continue };
                keeping.connection.take();
                tracing::warn!(%error, "not connected to Redis");
                sleep(RETRY).await;
            }
        })
        .detach();
        this
    }

    /// Connects, and delivers messages until the connection is lost.
    async fn keep_connection(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let (pushes, pushed) = async_channel::unbounded();
        let settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        // The crate's own timeouts need a runtime of tokio.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let config = config.set_push_sender(move |push: PushInfo| pushes.try_send(push));
        let connect = async {
            let stream = TcpStream::connect(self.address.clone()).await?;
            stream.set_nodelay(true)?;
            // The crate wants its stream to be `Send`.
            let stream = SendIo::new(stream);
            MultiplexedConnection::new_with_config(&settings, stream, config).await
        };
        let (mut connection, driver) = timeout(TIMEOUT, connect).await??;
        // Aborted when this function ends.
        let _driver = brigade::spawn(driver);
        let channels: Vec<_> = self.channels.borrow().keys().cloned().collect();
        if !channels.is_empty() {
            timeout(TIMEOUT, connection.subscribe(&channels)).await??;
        }
        self.connection.replace(Some(connection));
        tracing::info!("connected to Redis");
        while let Ok(push) = pushed.recv().await {
            match push.kind {
                PushKind::Message => self.deliver(push).await,
                PushKind::Disconnection => break,
                _ => {}
            }
        }
        Err("the connection was lost".into())
    }

    /// Passes a message on to the subscribers of its channel, and leaves a channel that has none.
    async fn deliver(&self, push: PushInfo) {
        let Ok([channel, text]) = <[String; 2]>::try_from(
            push.data
                .into_iter()
                .filter_map(|value| String::from_redis_value(value).ok())
                .collect::<Vec<_>>(),
        ) else {
            return;
        };
        let heard = self.channels.borrow().get(&channel).map(|sender| sender.send(text));
        if !matches!(heard, Some(Ok(_))) {
            self.channels.borrow_mut().remove(&channel);
            self.leave(&[channel]).await;
        }
    }

    async fn leave(&self, channels: &[String]) {
        if let Err(error) = self.command(async |redis| redis.unsubscribe(channels).await).await {
            tracing::warn!(%error, ?channels, "could not leave channels");
        }
    }

    /// Runs a command. The response is a 503 if there is no connection, and a 504 if it takes too
    /// long.
    async fn command<T>(
        &self,
        command: impl AsyncFnOnce(&mut MultiplexedConnection) -> Result<T, RedisError>,
    ) -> Result<T, HandlerError> {
        let unavailable = HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, "Redis is away");
        let mut connection = self.connection.borrow().clone().ok_or(unavailable)?;
        match timeout(TIMEOUT, command(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.is_connection_dropped() => {
                let message = "Redis is away";
                Err(HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, message).with_cause(error))
            }
            Ok(Err(error)) => Err(HandlerError::internal(error)),
            Err(late) => {
                let message = "Redis is too slow";
                Err(HandlerError::new(StatusCode::GATEWAY_TIMEOUT, message).with_cause(late))
            }
        }
    }

    async fn subscribe(
        &self,
        channel: String,
    ) -> Result<broadcast::Receiver<String>, HandlerError> {
        self.leave_silent_channels().await;
        let known = self.channels.borrow().get(&channel).map(broadcast::Sender::subscribe);
        if let Some(receiver) = known {
            return Ok(receiver);
        }
        // Known before Redis is asked, since the first message may come with the answer.
        let (sender, receiver) = broadcast::channel(BEHIND_MAX);
        self.channels.borrow_mut().insert(channel.clone(), sender);
        let subscribed = self.command(async |redis| redis.subscribe(&channel).await).await;
        if let Err(error) = subscribed {
            self.channels.borrow_mut().remove(&channel);
            return Err(error);
        }
        Ok(receiver)
    }

    /// Leaves the channels that nobody listens to. One is also left when a message finds nobody.
    async fn leave_silent_channels(&self) {
        let mut silent = Vec::new();
        self.channels.borrow_mut().retain(|channel, sender| {
            let is_heard = sender.receiver_count() > 0;
            if !is_heard {
                silent.push(channel.clone());
            }
            is_heard
        });
        if !silent.is_empty() {
            self.leave(&silent).await;
        }
    }
}

async fn count(State(redis): Shared, Path(name): Path<String>) -> Result<String, HandlerError> {
    let value: i64 = redis.command(async |redis| redis.incr(&name, 1).await).await?;
    Ok(format!("{value}\n"))
}

async fn publish(
    State(redis): Shared,
    Path(channel): Path<String>,
    text: String,
) -> Result<String, HandlerError> {
    let heard: u32 = redis.command(async |redis| redis.publish(&channel, &text).await).await?;
    Ok(format!("{heard} loops\n"))
}

async fn listen(
    State(redis): Shared,
    Path(channel): Path<String>,
) -> Result<impl IntoResponse, HandlerError> {
    let receiver = redis.subscribe(channel).await?;
    let messages = stream::unfold(receiver, async |mut receiver| {
        loop {
            match receiver.recv().await {
                Ok(text) => {
                    return Some((Ok::<_, Infallible>(Event::new().data(text)), receiver));
                }
                Err(broadcast::RecvError::Lagged(_)) => {}
                Err(broadcast::RecvError::Closed) => return None,
            }
        }
    });
    Ok(Sse::new(messages).until_draining())
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let (mut listen_on, mut address) = ("127.0.0.1:8080".to_owned(), "127.0.0.1:6379".to_owned());
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => listen_on = arguments.value()?.string()?,
            Arg::Long("redis") => address = arguments.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let server = Server::bind(listen_on)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run(move || {
        Router::new()
            .route("/counters/{name}", post(count))
            .route("/channels/{channel}", get(listen).post(publish))
            .with_state(Redis::start(address.clone()))
    })?;
    Ok(())
}
