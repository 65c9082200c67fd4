//! A REST API over SQLite: the books of a library.
//!
//! ```text
//! cargo run --release -p brigade-examples --example rest -- 127.0.0.1:8080 books.db
//! curl --json '{"isbn": "9780141439587", "title": "Emma", "year": 1815}' localhost:8080/api/books
//! curl 'localhost:8080/api/books?limit=20'
//! ```
//!
//! A query blocks its thread, so none runs on an event loop: [`Database::run`] runs it on the pool
//! of threads for blocking work, and the loop serves other requests meanwhile.

use std::sync::{Arc, Mutex, PoisonError};

use brigade::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, LOCATION};
use brigade::http::{
    FromRequest, HandlerError, HeaderMap, HeaderValue, IntoResponse, Json, Next, Path, Query,
    Request, Response, ResultExt, Router, Server, State, StatusCode, get, middleware,
};
use brigade::local::Semaphore;
use rusqlite::{Connection, OptionalExtension, Row, ffi, params};
use serde::{Deserialize, Serialize};
use serde_json::json;

type Result<T, E = HandlerError> = std::result::Result<T, E>;
/// How many books a page has, unless the request asks for fewer.
const PAGE_BOOKS_MAX: u32 = 100;
const SCHEMA: &str = "PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS books (id INTEGER PRIMARY KEY AUTOINCREMENT,
    isbn TEXT NOT NULL UNIQUE, title TEXT NOT NULL, year INTEGER NOT NULL,
    version INTEGER NOT NULL DEFAULT 1) STRICT;";

#[derive(Serialize)]
struct Book {
    id: i64,
    isbn: String,
    title: String,
    year: i32,
    version: i64,
}

impl Book {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (id, isbn, title) = (row.get("id")?, row.get("isbn")?, row.get("title")?);
        Ok(Self { id, isbn, title, year: row.get("year")?, version: row.get("version")? })
    }

    fn find(db: &Connection, id: i64) -> Result<Self> {
        let found = db.query_one("SELECT * FROM books WHERE id = ?", [id], Self::from_row);
        found.optional()?.status(StatusCode::NOT_FOUND)
    }
}

impl IntoResponse for Book {
    fn into_response(self) -> Response {
        let tag = HeaderValue::try_from(format!("\"{}\"", self.version));
        ([(ETAG, tag.expect("digits in quotes are valid"))], Json(self)).into_response()
    }
}

/// The body of a request. As the last argument of a handler it has been validated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBook {
    isbn: String,
    title: String,
    year: i32,
}

impl FromRequest for NewBook {
    type Rejection = HandlerError;

    async fn from_request(request: Request) -> Result<Self> {
        let Json(book): Json<Self> = Json::from_request(request).await?;
        let message = if book.isbn.len() != 13 || !book.isbn.bytes().all(|b| b.is_ascii_digit()) {
            "json: isbn: must have 13 digits"
        } else if !(1..=200).contains(&book.title.chars().count()) {
            "json: title: must have 1 to 200 characters"
        } else {
            return Ok(book);
        };
        Err(HandlerError::new(StatusCode::UNPROCESSABLE_ENTITY, message))
    }
}

/// The connection of one loop to the database.
#[derive(Clone)]
struct Database {
    connection: Arc<Mutex<Connection>>,
    /// Queries wait here for their turn, so that a waiting one holds no thread of the pool.
    turn: Semaphore,
}

impl Database {
    fn open(path: &str) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), turn: Semaphore::new(1) })
    }

    /// Runs `query` on the pool of threads for blocking work. If the client goes away meanwhile, it
    /// ends nevertheless.
    async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _turn = self.turn.acquire().await;
        let connection = self.connection.clone();
        let result = brigade::spawn_blocking(move || {
            query(&connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let is_duplicate = |it: &ffi::Error| it.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE;
        result.await?.map_err(|error| match error.downcast_ref().is_some_and(is_duplicate) {
            true => error.with_status(StatusCode::CONFLICT).with_message("the isbn is taken"),
            false => error,
        })
    }
}

#[derive(Deserialize)]
struct Page {
    /// The id of the last book of the previous page.
    after: Option<i64>,
    limit: Option<u32>,
}

async fn list(State(db): State<Database>, Query(page): Query<Page>) -> Result<impl IntoResponse> {
    let limit = page.limit.unwrap_or(PAGE_BOOKS_MAX).clamp(1, PAGE_BOOKS_MAX);
    let found = db.run(move |db| {
        let mut query = db.prepare("SELECT * FROM books WHERE id > ? ORDER BY id LIMIT ?")?;
        // One more shows whether another page follows.
        let books = query.query_map(params![page.after.unwrap_or(0), limit + 1], Book::from_row)?;
        Ok(books.collect::<Result<Vec<_>, _>>()?)
    });
    let mut books = found.await?;
    let has_next = books.len() > limit as usize;
    books.truncate(limit as usize);
    let last = books.last().filter(|_| has_next);
    let next = last.map(|book| format!("/api/books?after={}&limit={limit}", book.id));
    Ok(Json(json!({ "books": books, "next": next })))
}

async fn create(State(db): State<Database>, new: NewBook) -> Result<impl IntoResponse> {
    let insert = "INSERT INTO books (isbn, title, year) VALUES (?, ?, ?) RETURNING *";
    let values = (new.isbn, new.title, new.year);
    let book = db.run(|db| Ok(db.query_one(insert, values, Book::from_row)?)).await?;
    let location = HeaderValue::try_from(format!("/api/books/{}", book.id))?;
    Ok((StatusCode::CREATED, [(LOCATION, location)], book))
}

async fn show(State(db): State<Database>, Path(id): Path<i64>) -> Result<Book> {
    db.run(move |db| Book::find(db, id)).await
}

/// Replaces a book, unless it has another version than that in `If-Match`.
async fn update(
    State(db): State<Database>,
    Path(id): Path<i64>,
    headers: HeaderMap,
    new: NewBook,
) -> Result<Book> {
    let update = "UPDATE books SET isbn = ?, title = ?, year = ?, version = version + 1
        WHERE id = ? AND ? IN ('*', '\"' || version || '\"') RETURNING *";
    let tag = headers.get(IF_MATCH).map_or(&b"*"[..], HeaderValue::as_bytes);
    let values = (new.isbn, new.title, new.year, id, String::from_utf8_lossy(tag).into_owned());
    db.run(move |db| match db.query_one(update, values, Book::from_row).optional()? {
        Some(book) => Ok(book),
        // There is no such book, or it has another version.
        None => Book::find(db, id).and(None.status(StatusCode::PRECONDITION_FAILED)),
    })
    .await
}

async fn remove(State(db): State<Database>, Path(id): Path<i64>) -> Result<StatusCode> {
    let removed = db.run(move |db| Ok(db.execute("DELETE FROM books WHERE id = ?", [id])?)).await?;
    (removed > 0).then_some(StatusCode::NO_CONTENT).status(StatusCode::NOT_FOUND)
}

fn router(database: Database) -> Router {
    let no_cache = async |request: Request, next: Next| {
        next.run(request).await.with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache"))
    };
    let books = Router::new()
        .route("/books", get(list).post(create))
        .route("/books/{id}", get(show).put(update).delete(remove))
        .layer(no_cache)
        .with_state(database);
    let health = Router::new().route("/health", get(async || "ok\n"));
    health.nest("/api", books).layer(middleware::request_id).json_errors()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().ok_or("the first argument is the address to listen at")?;
    let path = arguments.next().ok_or("the second argument is the file of the database")?;
    Database::open(&path)?;
    let server = Server::bind(listen)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run(move || router(Database::open(&path).expect("main has opened it")))?;
    Ok(())
}
