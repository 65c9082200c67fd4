//! What handlers read from a request, and the errors that they return.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use brigade_http::{HandlerError, ParamError, Request, Router, get as on_get, post};
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use sockets::{TestResponse, TestServer, get};

/// Sends a request on a new connection and returns the response.
fn send(server: &TestServer, request: impl AsRef<[u8]>) -> TestResponse {
    let mut client = server.connect();
    client.send(request);
    client.response()
}

#[test]
fn path_parameters_are_decoded_and_parsed() {
    async fn number(request: Request) -> Result<String, ParamError> {
        Ok(format!("{}", request.param_as::<u8>("n")?))
    }
    async fn text(request: Request) -> Result<String, ParamError> {
        Ok(format!("[{}]", request.param_decoded("text")?))
    }
    let server = TestServer::start(|| {
        let missing = async |request: Request| request.param_as::<u8>("m").map(|_| ());
        Router::new()
            .route("/number/{n}", on_get(number))
            .route("/text/{text}", on_get(text))
            .route("/missing/{n}", on_get(missing))
    });
    for (path, status, text) in [
        ("/number/200", 200, "200"),
        ("/number/%32%30", 200, "20"),
        (
            "/number/256",
            400,
            "400 Bad Request: invalid value \"256\" of the parameter 'n': \
             number too large to fit in target type\n",
        ),
        (
            "/number/a%0Ab",
            400,
            "400 Bad Request: invalid value \"a\\nb\" of the parameter 'n': \
             invalid digit found in string\n",
        ),
        ("/text/a%20b+c%2Fd%25", 200, "[a b+c/d%]"),
        ("/text/gr%C3%BC%C3%9Fe", 200, "[grüße]"),
        ("/text/100%", 200, "[100%]"),
        ("/text/%FF", 400, "400 Bad Request: the parameter 'text' is not valid UTF-8\n"),
        ("/missing/1", 500, "500 Internal Server Error: the route has no parameter 'm'\n"),
    ] {
        let response = send(&server, get(path));
        assert_eq!((response.status, response.text()), (status, text), "{path}");
    }
}

#[test]
fn queries_are_decoded_in_order() {
    let server = TestServer::start(|| {
        let pairs = async |request: Request| {
            let pairs = request.query_pairs().map(|(name, value)| format!("{name}={value};"));
            pairs.collect::<String>()
        };
        async fn typed(request: Request) -> Result<String, ParamError> {
            Ok(format!("{:?}", request.query_value_as::<i16>("n")?))
        }
        Router::new().route("/pairs", on_get(pairs)).route("/typed", on_get(typed))
    });
    for (path, status, text) in [
        ("/pairs", 200, ""),
        ("/pairs?", 200, ""),
        ("/pairs?a=1&a=2&b", 200, "a=1;a=2;b=;"),
        ("/pairs?a+b=%26%3D&&=x&%C3%A9=%FF", 200, "a b=&=;=x;é=\u{fffd};"),
        ("/pairs?a=?/b=c", 200, "a=?/b=c;"),
        ("/typed?m=1", 200, "None"),
        ("/typed?n=-7&n=8", 200, "Some(-7)"),
        (
            "/typed?n=",
            400,
            "400 Bad Request: invalid value \"\" of the parameter 'n': \
             cannot parse integer from empty string\n",
        ),
    ] {
        let response = send(&server, get(path));
        assert_eq!((response.status, response.text()), (status, text), "{path}");
    }
}

#[test]
fn cookies_are_returned_unchanged_and_in_order() {
    let server = TestServer::start(|| {
        Router::new().route(
            "/",
            on_get(async |request: Request| {
                let all = request.cookies().map(|(name, value)| format!("{name}:{value}|"));
                format!("{} a={:?}", all.collect::<String>(), request.cookie("a"))
            }),
        )
    });
    for (lines, text) in [
        ("", " a=None"),
        ("Cookie: a=1\r\n", "a:1| a=Some(\"1\")"),
        ("Cookie: b=2; a=1; a=0\r\n", "b:2|a:1|a:0| a=Some(\"1\")"),
        ("Cookie: A=1;a = x=y ;; c; =d; e=\"q;\"\r\n", "A:1|a:x=y|e:\"q| a=Some(\"x=y\")"),
        ("cookie: a=\r\nX: c=1\r\nCOOKIE: b=2\r\n", "a:|b:2| a=Some(\"\")"),
    ] {
        let response = send(&server, format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(response.text(), text, "{lines}");
    }
}

#[test]
fn any_error_becomes_a_response() {
    async fn fail(request: Request) -> Result<&'static str, HandlerError> {
        match request.param("how") {
            Some("io") => std::fs::read("/does/not/exist").map(|_| "read").map_err(Into::into),
            Some("param") => Ok(request.param_as::<u8>("how").map(|_| "parsed")?),
            Some("busy") => {
                let cause = std::io::Error::other("the pool is exhausted");
                let error = HandlerError::new(StatusCode::SERVICE_UNAVAILABLE, "come back later");
                Err(error.with_cause(cause))
            }
            Some("parse") => "x".parse::<u8>().map(|_| "parsed").map_err(HandlerError::internal),
            _ => Ok("well"),
        }
    }
    let server = TestServer::start(|| Router::new().route("/{how}", on_get(fail)));
    for (path, status, text) in [
        ("/io", 500, "500 Internal Server Error\n"),
        (
            "/param",
            400,
            "400 Bad Request: invalid value \"param\" of the parameter 'how': \
             invalid digit found in string\n",
        ),
        ("/busy", 503, "503 Service Unavailable: come back later\n"),
        ("/parse", 500, "500 Internal Server Error\n"),
        ("/ok", 200, "well"),
    ] {
        let response = send(&server, get(path));
        assert_eq!((response.status, response.text()), (status, text), "{path}");
    }
}

#[test]
fn the_text_of_an_error_includes_its_causes() {
    let cause = std::io::Error::other(BadGateway(std::io::Error::other("no route")));
    let error = HandlerError::new(StatusCode::BAD_GATEWAY, "no response").with_cause(cause);
    assert_eq!(error.to_string(), "502 Bad Gateway: no response: the upstream: no route");

    #[derive(Debug)]
    struct BadGateway(std::io::Error);
    impl std::fmt::Display for BadGateway {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("the upstream")
        }
    }
    impl std::error::Error for BadGateway {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
}

#[test]
fn routes_of_a_loop_share_state_without_a_lock() {
    #[derive(Default)]
    struct Store(RefCell<HashMap<String, u32>>);

    async fn count(store: Rc<Store>, request: Request) -> Result<String, HandlerError> {
        let name = request.param_decoded("name")?.into_owned();
        let mut counts = store.0.borrow_mut();
        let count = counts.entry(name).or_default();
        *count += 1;
        Ok(count.to_string())
    }
    let server = TestServer::start(|| {
        let store = Rc::new(Store::default());
        let of_store = store.clone();
        Router::new()
            .route("/count/{name}", on_get(move |request| count(store.clone(), request)))
            .route(
                "/names",
                post(move || std::future::ready(of_store.0.borrow().len().to_string())),
            )
    });
    let mut client = server.connect();
    client.send([get("/count/a"), get("/count/a"), get("/count/b")].concat());
    client.send("POST /names HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let seen: Vec<_> = (0..4).map(|_| client.response().text().to_owned()).collect();
    assert_eq!(seen, ["1", "2", "1", "2"]);
}

#[cfg(feature = "json")]
mod json {
    use super::*;
    use brigade_http::{Json, JsonError};
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, Serialize)]
    struct Point {
        x: f64,
        y: f64,
    }

    async fn mirror(mut request: Request) -> Result<Json<Point>, JsonError> {
        let Point { x, y } = request.json(64).await?;
        Ok(Json(Point { x: y, y: x }))
    }

    fn json(media_type: &str, body: &str) -> String {
        let length = body.len();
        let head = format!("Host: a\r\n{media_type}Content-Length: {length}\r\n\r\n");
        format!("POST / HTTP/1.1\r\n{head}{body}")
    }

    #[test]
    fn a_json_body_is_read_and_a_json_response_sent() {
        let server = TestServer::start(|| Router::new().route("/", post(mirror)));
        let point = r#"{"x": 1.5, "y": 2}"#;
        for media_type in
            ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"]
        {
            let response = send(&server, json(&format!("Content-Type: {media_type}\r\n"), point));
            assert_eq!((response.status, response.text()), (200, r#"{"x":2.0,"y":1.5}"#));
            assert_eq!(response.header("content-type"), Some("application/json"));
        }
    }

    #[test]
    fn other_bodies_are_refused_with_the_reason() {
        let server = TestServer::start(|| Router::new().route("/", post(mirror)));
        let typed = "Content-Type: application/json\r\n";
        let long = " ".repeat(65);
        for (media_type, body, status, text) in [
            ("", "{}", 415, "the Content-Type must be application/json"),
            ("Content-Type: text/plain\r\n", "{}", 415, "must be application/json"),
            ("Content-Type: application/jsonp\r\n", "{}", 415, "Content-Type must be"),
            (typed, "{", 400, "EOF while parsing an object at line 1 column 1"),
            (typed, "", 400, "EOF while parsing a value"),
            (typed, r#"{"x":1}"#, 422, "missing field `y`"),
            (typed, r#"{"x":1,"y":2} x"#, 400, "trailing characters"),
            (typed, &long, 413, "413"),
        ] {
            let response = send(&server, json(media_type, body));
            assert_eq!(response.status, status, "{body}");
            assert!(response.text().contains(text), "{}", response.text());
        }
    }

    #[test]
    fn the_response_is_500_if_a_value_cannot_be_serialized() {
        let server = TestServer::start(|| {
            let map = async || Json(HashMap::from([((1, 2), 3)]));
            Router::new().route("/", on_get(map))
        });
        assert_eq!(send(&server, get("/")).status, 500);
    }
}

#[cfg(feature = "query")]
mod forms {
    use super::*;
    use brigade_http::FormError;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Search {
        q: String,
        #[serde(default)]
        tag: Vec<String>,
        page: Option<u32>,
    }

    async fn query(request: Request) -> Result<String, FormError> {
        let Search { q, tag, page } = request.query_as()?;
        Ok(format!("{q} {tag:?} {page:?}"))
    }

    async fn form(mut request: Request) -> Result<String, HandlerError> {
        let Search { q, tag, page } = request.form(32).await?;
        Ok(format!("{q} {tag:?} {page:?}"))
    }

    #[test]
    fn queries_are_deserialized() {
        let server = TestServer::start(|| Router::new().route("/", on_get(query)));
        for (path, status, text) in [
            ("/?q=a%20b+c", 200, "a b c [] None"),
            ("/?tag=1&q=x&tag=2&page=3&other=1", 200, r#"x ["1", "2"] Some(3)"#),
            ("/", 400, "missing field `q`"),
            ("/?q=x&page=y", 400, "invalid digit"),
        ] {
            let response = send(&server, get(path));
            assert_eq!(response.status, status, "{path}");
            assert!(response.text().contains(text), "{path}: {}", response.text());
        }
    }

    #[test]
    fn forms_are_deserialized() {
        let server = TestServer::start(|| Router::new().route("/", post(form)));
        let long = "q=".to_owned() + &"x".repeat(40);
        for (media_type, body, status, text) in [
            ("application/x-www-form-urlencoded", "q=a+b&tag=c", 200, r#"a b ["c"] None"#),
            ("application/x-www-form-urlencoded;charset=UTF-8", "q=", 200, " [] None"),
            ("application/x-www-form-urlencoded", "", 422, "missing field `q`"),
            ("application/x-www-form-urlencoded", &long, 413, "413"),
            ("multipart/form-data; boundary=x", "q=a", 415, "x-www-form-urlencoded"),
        ] {
            let head = format!("Content-Type: {media_type}\r\nContent-Length: {}", body.len());
            let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}");
            let response = send(&server, request);
            assert_eq!(response.status, status, "{body}");
            assert!(response.text().contains(text), "{body}: {}", response.text());
        }
    }
}

#[test]
fn all_values_of_a_name_in_a_map_are_sent() {
    let server = TestServer::start(|| {
        let handler = async |_: Request| {
            let mut headers = HeaderMap::new();
            for cookie in ["a=1", "b=2", "c=3"] {
                headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
            }
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/css"));
            (StatusCode::ACCEPTED, headers, "body")
        };
        Router::new().route("/", on_get(handler))
    });
    let response = send(&server, get("/"));
    assert_eq!((response.status, response.text()), (202, "body"));
    let lines = |name: &str| {
        let lines = response.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(known, _)| *known == name).map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(lines("set-cookie"), ["a=1", "b=2", "c=3"]);
    assert_eq!(lines("content-type"), ["text/css"]);
}

#[cfg(feature = "query")]
#[test]
fn the_number_of_pairs_in_a_form_or_a_query_is_limited() {
    use brigade_http::FormError;
    use brigade_http::limits::{BODY_BYTES_MAX, FORM_PAIRS_MAX};

    type Pairs = Vec<(String, String)>;
    const LIMIT: usize = BODY_BYTES_MAX as usize;
    async fn form(mut request: Request) -> Result<String, FormError> {
        Ok(request.form::<Pairs>(LIMIT).await?.len().to_string())
    }
    async fn large(mut request: Request) -> Result<String, FormError> {
        Ok(request.form_with_pairs::<Pairs>(LIMIT, 5000).await?.len().to_string())
    }
    async fn query(request: Request) -> Result<String, FormError> {
        Ok(request.query_as::<Pairs>()?.len().to_string())
    }
    let server = TestServer::start(|| {
        Router::new()
            .route("/form", post(form))
            .route("/large", post(large))
            .route("/query", on_get(query))
    });
    let many = |count: usize| "&a".repeat(count);
    let at_most = |max: usize| {
        (400, format!("400 Bad Request: there are more than {max} names and values\n"))
    };
    let post_to = |path: &str, body: &str| {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{kind}\r\nContent-Length: {length}");
        let response = send(&server, format!("{head}\r\n\r\n{body}"));
        (response.status, response.text().to_owned())
    };
    assert_eq!(post_to("/form", &many(FORM_PAIRS_MAX)), (200, FORM_PAIRS_MAX.to_string()));
    assert_eq!(post_to("/form", &many(FORM_PAIRS_MAX + 1)), at_most(FORM_PAIRS_MAX));
    assert_eq!(post_to("/form", &many(LIMIT / 2)), at_most(FORM_PAIRS_MAX));
    assert_eq!(post_to("/large", &many(5000)), (200, "5000".to_owned()));
    assert_eq!(post_to("/large", &many(5001)), at_most(5000));
    for (count, status) in [(FORM_PAIRS_MAX, 200), (FORM_PAIRS_MAX + 1, 400)] {
        let response = send(&server, get(&format!("/query?{}", many(count))));
        assert_eq!(response.status, status, "{count}");
    }
}
