//! What an axum application responds by `axum::serve` on tokio, it responds on brigade, too: the
//! same requests over sockets to both, and the same statuses, headers and bodies.
#![forbid(unsafe_code)]

#[path = "axum/both.rs"]
mod both;
#[path = "axum/case.rs"]
mod case;
#[path = "../../../tests/common/mod.rs"]
mod common;
#[path = "axum/extractors.rs"]
mod extractors;
#[path = "axum/layers.rs"]
mod layers;
#[path = "axum/responses.rs"]
mod responses;
#[path = "axum/routes.rs"]
mod routes;

use std::future::pending;
use std::io::Write;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, middleware};
use both::Both;
use case::case;
use flate2::{Compression, write::GzEncoder};
use tower_http::timeout::TimeoutLayer;

#[test]
fn routes_are_found_as_on_tokio() {
    Both::start(&routes::routes()).assert_same(&[
        case("GET /"),
        case("HEAD /"),
        case("GET /?a=b"),
        case("GET http://test.example/"),
        case("GET /shared"),
        case("POST /shared").is(202),
        case("GET /merged"),
        case("GET /merged/").is(404),
        case("GET //").is(404),
        case("GET /files/a"),
        case("GET /files/a/b%2Fc.txt"),
        case("GET /files/a//b/"),
        case("GET /files/").is(404),
        case("GET /files").is(404),
        case("GET /%C3%A9").is(404),
        case("GET /nowhere?a=b").is(404),
        case("HEAD /nowhere").is(404),
        case("POST /nowhere").body("ignored").is(404),
        case("GET /service"),
        case("DELETE /service?x"),
        case("GET /static/a/b?x=%20"),
        case("GET /static/"),
        case("GET /static"),
        case("GET /users/me"),
        case("GET /users"),
        case("GET /users/").is(404),
        case("POST /users").is(201),
        case("GET /users/7"),
        case("DELETE /users/7").is(204),
        case("GET /users/seven").is(400),
        case("GET /users/-7").is(400),
        case("GET /users/7/posts/%C3%A9t%C3%A9"),
        case("GET /users/7/posts/%FF").is(400),
        case("GET /users/7/posts").is(404),
        case("GET /admin"),
        case("GET /admin/stats"),
        case("GET /admin/none").is(404),
        case("GET /adminx").is(404),
        case("GET /outer/a%20b/inner/leaf/7?x"),
    ]);
}

#[test]
fn methods_are_allowed_as_on_tokio() {
    Both::start(&routes::routes()).assert_same(&[
        case("POST /").is(405),
        case("OPTIONS /").is(405),
        case("PUT /shared").is(405),
        case("GET /post").is(405),
        case("HEAD /post").is(405),
        case("POST /post"),
        case("GET /head"),
        case("HEAD /head"),
        case("OPTIONS /options"),
        case("GET /any"),
        case("HEAD /any"),
        case("DELETE /any"),
        case("PURGE /any"),
        case("PUT /on"),
        case("PATCH /on"),
        case("GET /on").is(405),
        case("PURGE /on").is(405),
        case("PATCH /users/7").is(405),
        case("POST /admin/stats").is(405),
        case("get /").is(405),
    ]);
    Both::start(&routes::methods()).assert_same(&[
        case("POST /").is(405),
        case("POST /own").is(418),
        case("GET /nowhere").is(404),
    ]);
}

#[test]
fn heads_are_extracted_as_on_tokio() {
    Both::start(&extractors::extractors()).assert_same(&[
        case("GET /head?a=%C3%A9&b").with("Accept: text/html").with("Accept: */*"),
        case("GET /head").with("accept:   a,  b  "),
        case("GET /pair/7/x%20y"),
        case("GET /pair/256/x").is(400),
        case("GET /map/a/%2F"),
        case("GET /struct/9"),
        case("GET /struct/x").is(400),
        case("GET /raw/a%20b/c/d%20e"),
        case("GET /wrong/7").is(500),
        case("GET /query?limit=3&after=a+b%26"),
        case("GET /query?limit=3&unknown=1"),
        case("GET /query").is(400),
        case("GET /query?limit=many").is(400),
        case("GET /query?limit=1&limit=2").is(400),
        case("GET /pairs?a=1&b=2&a=3"),
        case("GET /pairs"),
        case("GET /raw-query?a=%20+&&"),
        case("GET /raw-query?"),
        case("GET /raw-query"),
        case("GET /state"),
        case("GET /sub-state"),
        case("GET /token").with("X-Token: t"),
        case("GET /token").is(401),
        case("GET /extension"),
        case("GET /no-extension").is(500),
        case("GET /peer"),
    ]);
}

#[test]
fn bodies_are_extracted_as_on_tokio() {
    let json = "application/json";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--x\r\n\
        Content-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\n\r\n--x--\r\n";
    let boundary = "Content-Type: multipart/form-data; boundary=x";
    Both::start(&extractors::extractors()).assert_same(&[
        case("POST /json").json(r#"{"name":"tea","count":3}"#),
        case("POST /json").with(&format!("Content-Type: {json}; charset=utf-8")).body("{").is(400),
        case("POST /json")
            .with("Content-Type: application/x+json")
            .chunks(3, r#"{"name":"tea","count":3}"#),
        case("POST /json").json(r#"{"name":"tea","count":300}"#).is(422),
        case("POST /json").json(r#"{"name":"tea"}"#).is(422),
        case("POST /json").json(r#"{"name":"tea","count":3} x"#).is(400),
        case("POST /json").json("").is(400),
        case("POST /json").body("{}").is(415),
        case("POST /json").with("Content-Type: text/plain").body("{}").is(415),
        case("POST /json").json(&format!("\"{}\"", "x".repeat(200))).is(413),
        case("POST /own-json").json("[]"),
        case("POST /own-json").json(r#"{"name":"tea","count":3}"#),
        case("GET /form?limit=3&after=x"),
        case("GET /form").is(400),
        case("POST /form").form("limit=3&after=a+b"),
        case("POST /form").form("after=a").is(422),
        case("POST /form").body("limit=3").is(415),
        case("POST /form").form(&"x".repeat(101)).is(413),
        case("POST /raw-form").form("a=%20&b"),
        case("POST /bytes").body(b"\0\xff\n"),
        case("POST /bytes"),
        case("POST /bytes").chunks(3, "in parts of three"),
        case("POST /bytes").body("x".repeat(100)),
        case("POST /bytes").body("x".repeat(101)).is(413),
        case("POST /bytes").chunks(3, &"x".repeat(101)).is(413),
        case("POST /string").body("é"),
        case("POST /string").body(b"\xff").is(400),
        case("POST /string").with("Expect: 100-continue").body("continued"),
        case("GET /whole"),
        case("POST /whole?x").body("0123456789"),
        case("POST /whole").chunks(3, "0123456789"),
        case("POST /multipart").with(boundary).body(multipart),
        case("POST /multipart").with(boundary).body("--x\r\nno end").is(400),
        case("POST /multipart").with(boundary).body(multipart.repeat(2)).is(413),
        case("POST /multipart").body(multipart).is(400),
    ]);
}

#[test]
fn large_bodies_are_limited_and_streamed_as_on_tokio() {
    const MEBIBYTE: usize = 1024 * 1024;
    let three = "0123456789abcdef".repeat(3 * MEBIBYTE / 16);
    let both = Both::start(&extractors::extractors());
    both.assert_same(&[
        case("POST /default-limit").body(&three[..2 * MEBIBYTE]),
        case("POST /no-limit").body(&*three),
        case("POST /count").body(&*three),
        case("POST /count").chunks(1000, &three[..MEBIBYTE / 4]),
        case("POST /echo").body("echoed"),
        case("POST /echo").chunks(3, "echoed in parts"),
        case("POST /echo").body(&three[..MEBIBYTE]),
        case("POST /echo").chunks(3, ""),
    ]);
}

#[test]
fn responses_are_sent_as_on_tokio() {
    Both::start(&responses::responses()).assert_same(&[
        case("GET /empty"),
        case("HEAD /empty"),
        case("GET /html"),
        case("GET /json"),
        case("HEAD /json"),
        case("GET /bytes"),
        case("GET /status").is(418),
        case("GET /unknown-status").is(299),
        case("GET /no-content").is(204),
        case("GET /not-modified").is(304),
        case("GET /see-other").is(303),
        case("GET /permanent").is(308),
        case("GET /temporary").is(307),
        case("POST /halve").body("8"),
        case("POST /halve").body("7").is(400),
        case("POST /halve").body("x").is(400),
        case("GET /streamed"),
        case("HEAD /streamed"),
        case("GET /events"),
        case("GET /cookies").is(201),
        case("GET /built").is(206),
        case("GET /large"),
        case("HEAD /large"),
        case("GET /length"),
        case("GET /close"),
        case("GET /html").with("Connection: close"),
    ]);
}

#[test]
fn middleware_of_axum_runs_as_on_tokio() {
    Both::start(&layers::layers()).assert_same(&[
        case("GET /authorized").is(401),
        case("GET /authorized").with("Authorization: Bearer key"),
        case("GET /mapped"),
        case("HEAD /mapped"),
        case("GET /failing"),
        case("GET /failing?fail").is(502),
        case("GET /ordered"),
        case("POST /ordered").is(405),
        case("GET /nowhere").is(404),
    ]);
}

#[test]
fn layers_of_tower_http_run_as_on_tokio() {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::default());
    zipped.write_all(b"compressed").unwrap();
    let zipped = zipped.finish().unwrap();
    let preflight = |line: &str| case(line).with("Access-Control-Request-Method: PUT");
    Both::start(&layers::layers()).assert_same(&[
        case("GET /traced"),
        case("GET /cors").with("Origin: https://one.example"),
        case("GET /cors").with("Origin: https://two.example"),
        preflight("OPTIONS /cors").with("Origin: https://one.example"),
        preflight("OPTIONS /cors").with("Origin: https://two.example"),
        case("GET /open-cors").with("Origin: https://two.example"),
        case("GET /compressed"),
        case("GET /compressed").with("Accept-Encoding: gzip"),
        case("HEAD /compressed").with("Accept-Encoding: gzip"),
        case("GET /compressed").with("Accept-Encoding: gzip;q=0"),
        case("POST /decompressed").with("Content-Encoding: gzip").body(zipped),
        case("POST /decompressed").body("plain"),
        case("POST /decompressed").with("Content-Encoding: x").body("odd").is(415),
        case("GET /set").with("X-Step: by the client"),
        case("GET /id"),
        case("GET /id").with("X-Trace: by the client"),
        case("GET /json-only").with("Accept: application/json"),
        case("GET /json-only").with("Accept: text/html").is(406),
        case("GET /hidden").with("Authorization: secret"),
        case("GET /propagated").with("X-Step: there and back"),
        case("GET /status").is(202),
        case("POST /limited").body("0123456789"),
        case("POST /limited").body("0123456789a").is(413),
        case("GET /caught").is(500),
    ]);
}

#[test]
fn a_time_limit_by_our_timer_responds_as_that_of_tower_http() {
    let app = || {
        let slow = get(|| async { pending::<&'static str>().await });
        Router::new().route("/slow", slow).route("/fast", get(|| async { "in time" }))
    };
    let limit = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, layers::TIME_LIMIT);
    let (theirs, ours) = (app().layer(limit), app().layer(middleware::from_fn(layers::time_limit)));
    Both::start_each(theirs, ours).assert_same(&[case("GET /slow").is(408), case("GET /fast")]);
}
