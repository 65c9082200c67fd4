//! An application that shows what axum's extractors make of a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::extract::rejection::JsonRejection;
use axum::extract::{
    ConnectInfo, DefaultBodyLimit, Form, FromRef, FromRequestParts, Multipart, Path, Query,
    RawForm, RawPathParams, RawQuery, Request, State,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, Version, header};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

#[derive(Clone)]
struct App {
    name: &'static str,
}

/// A part of the state.
#[derive(Clone)]
struct Name(&'static str);

impl FromRef<App> for Name {
    fn from_ref(app: &App) -> Self {
        Self(app.name)
    }
}

/// An extractor of a user, which refuses requests.
struct Token(String);

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let token = parts.headers.get("x-token").and_then(|token| token.to_str().ok());
        token.map(|token| Self(token.to_owned())).ok_or((StatusCode::UNAUTHORIZED, "no token"))
    }
}

#[derive(Clone)]
struct Known(u32);

#[derive(Debug, Deserialize)]
struct Page {
    limit: u32,
    #[serde(default)]
    after: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    name: String,
    count: u8,
}

async fn head_of(method: Method, uri: Uri, version: Version, headers: HeaderMap) -> String {
    let values = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    let accepted = values(header::ACCEPT).collect::<Vec<_>>();
    let host = values(header::HOST).collect::<Vec<_>>();
    format!("{method} {uri} {version:?} {accepted:?} {host:?}")
}

async fn whole(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let (names, length) = (parts.headers.len(), http_body::Body::size_hint(&body).exact());
    let body = axum::body::to_bytes(body, 1000).await.map(|bytes| bytes.len());
    format!("{} {} with {names} headers, {length:?}, {body:?}", parts.method, parts.uri)
}

async fn parts_of_form(mut form: Multipart) -> Result<String, (StatusCode, String)> {
    let mut found = String::new();
    let failed =
        |error: axum::extract::multipart::MultipartError| (error.status(), error.body_text());
    while let Some(field) = form.next_field().await.map_err(failed)? {
        let (name, file) = (field.name().map(str::to_owned), field.file_name().map(str::to_owned));
        let text = field.text().await.map_err(failed)?;
        found += &format!("{name:?} {file:?} {text:?}\n");
    }
    Ok(found)
}

/// Counts the bytes of a body while they arrive.
async fn count(request: Request) -> String {
    let mut parts = request.into_body().into_data_stream();
    let (mut bytes, mut sum) = (0_usize, 0_u64);
    while let Some(Ok(part)) = parts.next().await {
        bytes += part.len();
        sum += part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    format!("{bytes} bytes, {sum} in all")
}

/// What is made from the head.
fn parts() -> Router<App> {
    Router::new()
        .route("/head", get(head_of))
        .route(
            "/pair/{a}/{b}",
            get(|Path((a, b)): Path<(u8, String)>| async move { format!("{a} {b}") }),
        )
        .route(
            "/map/{a}/{b}",
            get(|Path(map): Path<BTreeMap<String, String>>| async move { format!("{map:?}") }),
        )
        .route("/struct/{limit}", get(|Path(page): Path<Page>| async move { format!("{page:?}") }))
        .route(
            "/raw/{a}/{*rest}",
            get(|params: RawPathParams| async move {
                params.iter().map(|(key, value)| format!("{key}={value};")).collect::<String>()
            }),
        )
        .route("/wrong/{a}", get(|Path((a, _)): Path<(u8, u8)>| async move { a.to_string() }))
        .route("/query", get(|Query(page): Query<Page>| async move { format!("{page:?}") }))
        .route(
            "/pairs",
            get(|Query(pairs): Query<Vec<(String, String)>>| async move { format!("{pairs:?}") }),
        )
        .route("/raw-query", get(|RawQuery(query): RawQuery| async move { format!("{query:?}") }))
        .route("/state", get(|State(app): State<App>| async move { app.name }))
        .route("/sub-state", get(|State(name): State<Name>| async move { name.0 }))
        .route("/token", get(|Token(token): Token| async move { token }))
        .route(
            "/extension",
            get(|Extension(known): Extension<Known>| async move { known.0.to_string() }),
        )
        .layer(Extension(Known(7)))
        .route(
            "/no-extension",
            get(|Extension(known): Extension<Known>| async move { known.0.to_string() }),
        )
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
        )
}

/// What is made from the body.
fn bodies() -> Router<App> {
    let small = DefaultBodyLimit::max(100);
    Router::new()
        .route("/json", post(|Json(item): Json<Item>| async move { Json(item) }))
        .route(
            "/own-json",
            post(|item: Result<Json<Item>, JsonRejection>| async move {
                item.map(|item| item.0.name).map_err(|error| format!("refused: {error}"))
            }),
        )
        .route("/form", get(form).post(form))
        .route("/raw-form", post(|RawForm(form): RawForm| async move { form }))
        .route("/bytes", post(|body: axum::body::Bytes| async move { body }))
        .route("/string", post(|body: String| async move { body }))
        .route("/whole", get(whole).post(whole))
        .layer(small)
        .route("/multipart", post(parts_of_form).layer(DefaultBodyLimit::max(200)))
        .route("/count", post(count))
        .route("/echo", post(|body: axum::body::Body| async move { body }))
        .route("/default-limit", post(|body: String| async move { body.len().to_string() }))
        .route(
            "/no-limit",
            post(|body: String| async move { body.len().to_string() })
                .layer(DefaultBodyLimit::disable()),
        )
}

async fn form(Form(page): Form<Page>) -> String {
    format!("{} {:?}", page.limit, page.after)
}

pub(crate) fn extractors() -> Router {
    parts().merge(bodies()).with_state(App { name: "shared" })
}
