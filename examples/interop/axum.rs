//! An axum application on brigade's loops.
//!
//! ```text
//! cargo run --release -p brigade-examples --example axum
//! curl -d '{"title":"tea"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/todos
//! curl http://127.0.0.1:8080/todos 'http://127.0.0.1:8080/todos?done=false'
//! ```
//!
//! Extractors, state, middleware and errors are axum's; connections, timers and limits are
//! brigade's. axum's state is shared by all loops, so it is behind a lock. WebSockets are brigade's
//! route, since axum can take over only connections of hyper.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Form, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use brigade::bridge::send;
use brigade::http::{Peer, Server};
use brigade::time::sleep;
use lexopt::{Arg, ValueExt};
use serde::{Deserialize, Serialize};

#[derive(Clone, Default)]
struct App {
    todos: Arc<Mutex<BTreeMap<u64, Todo>>>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Todo {
    title: String,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
struct Filter {
    done: Option<bool>,
}

impl App {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Todo>) -> T) -> T {
        // Nothing panics while it holds the lock.
        work(&mut self.todos.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn list(State(app): State<App>, Query(filter): Query<Filter>) -> impl IntoResponse {
    let wanted = |todo: &Todo| filter.done.is_none_or(|done| done == todo.done);
    Json(app.with(|todos| {
        let found = todos.iter().filter(|(_, todo)| wanted(todo));
        found.map(|(id, todo)| (*id, todo.clone())).collect::<BTreeMap<_, _>>()
    }))
}

async fn create(State(app): State<App>, Json(todo): Json<Todo>) -> impl IntoResponse {
    let id = app.with(|todos| {
        let id = todos.keys().last().map_or(1, |last| last + 1);
        todos.insert(id, todo);
        id
    });
    (StatusCode::CREATED, [(header::LOCATION, format!("/todos/{id}"))], id.to_string())
}

async fn show(State(app): State<App>, Path(id): Path<u64>) -> Result<Json<Todo>, StatusCode> {
    app.with(|todos| todos.get(&id).cloned()).map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn replace(
    State(app): State<App>,
    Path(id): Path<u64>,
    Json(todo): Json<Todo>,
) -> Result<StatusCode, StatusCode> {
    let known = app.with(|todos| todos.get_mut(&id).map(|known| *known = todo));
    known.map(|()| StatusCode::NO_CONTENT).ok_or(StatusCode::NOT_FOUND)
}

async fn remove(State(app): State<App>, Path(id): Path<u64>) -> Result<StatusCode, StatusCode> {
    let removed = app.with(|todos| todos.remove(&id));
    removed.map(|_| StatusCode::NO_CONTENT).ok_or(StatusCode::NOT_FOUND)
}

async fn submit(State(app): State<App>, Form(todo): Form<Todo>) -> Redirect {
    app.with(|todos| {
        let id = todos.keys().last().map_or(1, |last| last + 1);
        todos.insert(id, todo)
    });
    Redirect::to("/todos")
}

/// Sleeps by brigade's timer, which is not `Send`; axum's handlers must be.
async fn delay(Path(milliseconds): Path<u64>) -> String {
    send(sleep(Duration::from_millis(milliseconds))).await;
    format!("waited {milliseconds} ms\n")
}

async fn who(ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    format!("{} with {}\n", peer.ip(), agent.unwrap_or("no name"))
}

/// Tells axum's extractors the address of the client.
async fn connect_info(mut request: Request, next: Next) -> Response {
    if let Some(&Peer(address)) = request.extensions().get() {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    next.run(request).await
}

fn app() -> Router {
    Router::new()
        .route("/", get(|| async { Html("<h1>Todos</h1><a href=/todos>all</a>\n") }))
        .route("/todos", get(list).post(create))
        .route("/todos/{id}", get(show).put(replace).delete(remove))
        .route("/form", post(submit))
        .route("/delay/{milliseconds}", get(delay))
        .route("/who", get(who))
        .nest("/admin", Router::new().route("/health", get(|| async { "well\n" })))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .layer(middleware::from_fn(connect_info))
        .with_state(App::default())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut listen, mut loops) = ("127.0.0.1:8080".to_owned(), 2);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("listen") => listen = arguments.value()?.string()?,
            Arg::Long("loops") => loops = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    // Shared by the loops, each of which has a clone.
    let axum = app();
    let server = Server::bind(listen)?.loops(loops);
    println!("listening on http://{}", server.local_addr()?);
    server.run(move || brigade::http::Router::new().fallback_service(axum.clone()))?;
    Ok(())
}
