//! axum with tokio-postgres and a pool of deadpool, on tokio: the current-thread runtime for one
//! loop, the work-stealing one for more.

use std::error::Error;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use peer_common::{CONNECTIONS, FIND, HELLO, Options, TEXT, WAIT_MAX};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_postgres::NoTls;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::from_args();
    let mut builder = match options.loops {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(options.loops).enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(peer_common::listen(options.listen)?)?;
        let listener = listener.tap_io(|stream| {
            // A failure only affects the latency of a split response.
            let _ = stream.set_nodelay(true);
        });
        println!("listening on http://{} (tokio)", options.listen);
        let router = Router::new()
            .route("/", get(async || text(HELLO.to_owned())))
            .route("/users/{id}", get(show))
            .with_state(pool(CONNECTIONS * options.loops)?);
        Ok(axum::serve(listener, router).await?)
    })
}

fn pool(connections: usize) -> Result<Pool, Box<dyn Error>> {
    let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(peer_common::database().parse()?, NoTls, config);
    let pool = Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1);
    Ok(pool.wait_timeout(Some(WAIT_MAX)).create_timeout(Some(WAIT_MAX)).build()?)
}

async fn show(State(pool): State<Pool>, Path(id): Path<i32>) -> Result<Response, StatusCode> {
    let name = find(&pool, id).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    name.map(text).ok_or(StatusCode::NOT_FOUND)
}

async fn find(pool: &Pool, id: i32) -> Result<Option<String>, Box<dyn Error>> {
    let client = pool.get().await?;
    let query = async {
        let find = client.prepare_cached(FIND).await?;
        client.query_opt(&find, &[&id]).await
    };
    Ok(timeout(WAIT_MAX, query).await??.map(|row| row.get(0)))
}

fn text(body: String) -> Response {
    ([(CONTENT_TYPE, TEXT)], body).into_response()
}
