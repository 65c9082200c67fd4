//! Arguments of handlers, and one place for errors.
#![cfg(all(feature = "json", feature = "query"))]
#![forbid(unsafe_code)]

mod sockets;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use brigade_http::{
    BodyError, Bytes, Cookies, Extension, Form, FormError, FromRequest, FromRequestParts,
    HandlerError, HeaderMap, Html, Json, JsonError, Method, Next, Path, PathError, Peer, Query,
    Redirect, Request, RequestHead, Requirements, Response, ResultExt, Router, Service, State,
    StatusCode, Uri, get, header, post, put,
};
use brigade_runtime::run;
use serde::{Deserialize, Serialize};
use sockets::TestServer;

fn request(method: Method, target: &str) -> Request {
    Request::builder(method, target).build().unwrap()
}

/// Names and values.
type Headers = &'static [(&'static str, &'static str)];

/// Returns the status, the headers and the body of the response to `request`.
async fn answer(service: &Service, request: Request) -> (u16, HeaderMap, String) {
    let mut response = service.call(request).await;
    let headers = response.headers.iter();
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    let body = response.body.collect(1 << 20).await.unwrap();
    (response.status.as_u16(), headers, String::from_utf8(body.into()).unwrap())
}

/// Checks the status and the body of the responses to GET requests.
fn check(router: Router, cases: &[(&str, u16, &str)]) {
    let requests: Vec<_> = cases.iter().map(|(target, ..)| request(Method::GET, target)).collect();
    let answers = run(async move {
        let (service, mut answers) = (router.into_service(), Vec::new());
        for request in requests {
            answers.push(answer(&service, request).await);
        }
        answers
    });
    for ((target, status, text), (actual, _, body)) in cases.iter().zip(answers) {
        assert_eq!((actual, &*body), (*status, *text), "{target}");
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Item {
    name: String,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Color {
    Red,
    Green,
}

#[derive(Deserialize)]
struct Place {
    shelf: String,
    book: Option<u32>,
}

#[derive(Deserialize)]
struct Id(u64);

#[test]
fn a_path_is_one_value_or_a_tuple_or_a_struct() {
    let color = async |Path(color): Path<Color>| match color {
        Color::Red => "red",
        Color::Green => "green",
    };
    let tuple = async |Path((a, b)): Path<(String, i8)>| format!("{a} {b}");
    let place = async |Path(Place { shelf, book }): Path<Place>| format!("{shelf} {book:?}");
    let all = async |Path(all): Path<Vec<String>>| all.join("+");
    let pairs =
        async |Path(pairs): Path<std::collections::BTreeMap<String, String>>| format!("{pairs:?}");
    let router = Router::new()
        .route("/id/{id}", get(async |Path(Id(id)): Path<Id>| id.to_string()))
        .route("/text/{text}", get(async |Path(text): Path<String>| text))
        .route("/color/{color}", get(color))
        .route("/tuple/{a}/{b}", get(tuple))
        .route("/place/{book}/{shelf}", get(place))
        .route("/all/{a}/{b}/{c}", get(all))
        .route("/pairs/{a}/{b}", get(pairs))
        .route("/rest/{*rest}", get(async |Path(rest): Path<String>| rest))
        .route("/none", get(async |path: Option<Path<u8>>| path.is_none().to_string()))
        .route("/some/{a}", get(async |path: Option<Path<u8>>| path.is_none().to_string()))
        .route("/char/{a}", get(async |Path(a): Path<char>| a.to_string()))
        .route("/bool/{a}", get(async |Path(a): Path<bool>| a.to_string()))
        .route("/float/{a}", get(async |Path(a): Path<f64>| a.to_string()));
    check(
        router,
        &[
            ("/id/18446744073709551615", 200, "18446744073709551615"),
            ("/text/a%20b%2F%C3%BC", 200, "a b/ü"),
            ("/color/green", 200, "green"),
            ("/color/red", 200, "red"),
            ("/tuple/x/-128", 200, "x -128"),
            ("/place/7/top", 200, "top Some(7)"),
            ("/all/1/2/3", 200, "1+2+3"),
            ("/pairs/1/2", 200, "{\"a\": \"1\", \"b\": \"2\"}"),
            ("/rest/x/y", 200, "x/y"),
            ("/none", 200, "true"),
            ("/some/1", 200, "false"),
            ("/char/%C3%BC", 200, "ü"),
            ("/bool/true", 200, "true"),
            ("/float/-1.5", 200, "-1.5"),
        ],
    );
}

#[test]
fn a_malformed_path_is_a_400_that_names_the_parameter() {
    let router = Router::new()
        .route("/id/{id}", get(async |Path(_): Path<u8>| ()))
        .route("/tuple/{a}/{b}", get(async |Path(_): Path<(String, u8)>| ()))
        .route("/place/{shelf}/{book}", get(async |Path(_): Path<Place>| ()))
        .route("/some/{id}", get(async |_: Option<Path<u8>>| ()))
        .route("/color/{color}", get(async |Path(_): Path<Color>| ()));
    let digit = |name| format!("400 Bad Request: path: {name}: invalid digit found in string\n");
    check(
        router,
        &[
            ("/id/x", 400, &digit("id")),
            ("/id/256", 400, "400 Bad Request: path: id: number too large to fit in target type\n"),
            ("/id/%FF", 400, "400 Bad Request: path: id: the value is not UTF-8\n"),
            ("/tuple/a/b", 400, &digit("b")),
            ("/place/a/b", 400, &digit("book")),
            ("/some/x", 400, &digit("id")),
            (
                "/color/blue",
                400,
                "400 Bad Request: path: color: unknown variant `blue`, expected `red` or `green`\n",
            ),
        ],
    );
}

#[test]
fn a_path_type_that_does_not_fit_the_route_is_a_500_with_the_reason() {
    let reason = async |path: Result<Path<(u8, u8)>, PathError>| path.err().unwrap().to_string();
    let router = Router::new()
        .route("/one/{a}", get(reason))
        .route("/two/{a}/{b}", get(async |Path(_): Path<u8>| ()))
        .route("/name/{other}", get(async |Path(_): Path<Place>| ()));
    check(
        router,
        &[
            ("/one/1", 200, "path: the handler takes 2 parameters, and the route has 1"),
            (
                "/two/1/2",
                500,
                "500 Internal Server Error: path: the handler takes 1 parameters, and the route \
                 has 2\n",
            ),
            ("/name/1", 500, "500 Internal Server Error: path: missing field `shelf`\n"),
        ],
    );
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u8>,
    #[serde(default)]
    tag: Vec<u8>,
}

#[test]
fn a_query_is_deserialized_and_its_error_names_the_field() {
    let page = async |Query(page): Query<Page>| format!("{:?} {:?}", page.limit, page.tag);
    let optional = async |page: Option<Query<Page>>| page.is_some().to_string();
    let router = Router::new().route("/", get(page)).route("/optional", get(optional));
    check(
        router,
        &[
            ("/", 200, "None []"),
            ("/?limit=7&tag=1&tag=2", 200, "Some(7) [1, 2]"),
            ("/?limit=x", 400, "400 Bad Request: query: limit: invalid digit found in string\n"),
            (
                "/?limit=a%0Ab",
                400,
                "400 Bad Request: query: limit: invalid digit found in string\n",
            ),
            ("/optional", 200, "false"),
            ("/optional?", 200, "true"),
            (
                "/optional?limit=-1",
                400,
                "400 Bad Request: query: limit: invalid digit found in string\n",
            ),
        ],
    );
}

/// Sends `body` to `service`, with this media type unless it is empty.
async fn send(service: &Service, target: &str, media_type: &str, body: &str) -> (u16, String) {
    let mut builder = Request::builder(Method::POST, target).body(body.to_owned());
    if !media_type.is_empty() {
        builder = builder.header("content-type", media_type);
    }
    let (status, _, text) = answer(service, builder.build().unwrap()).await;
    (status, text)
}

#[test]
fn bodies_are_deserialized_and_their_errors_have_the_right_status() {
    let json = async |Json(item): Json<Item>| Json(item);
    let form = async |Form(page): Form<Page>| format!("{:?}", page.limit);
    let optional = async |item: Option<Json<Item>>| item.map_or("none".into(), |item| item.0.name);
    let result = async |item: Result<Json<Item>, JsonError>| match item {
        Ok(item) => item.0.name,
        Err(error) => format!("handled: {}", error.status()),
    };
    let bytes = async |bytes: Bytes| bytes.len().to_string();
    let router = Router::new()
        .route("/json", post(json))
        .route("/form", post(form))
        .route("/optional", post(optional))
        .route("/result", post(result))
        .route("/text", post(async |text: String| text))
        .route("/bytes", post(bytes).body_limit(5));
    let form = "application/x-www-form-urlencoded";
    let json = "application/json; charset=utf-8";
    let cases = [
        ("/json", json, r#"{"name":"a"}"#, 200, r#"{"name":"a","tags":[]}"#),
        ("/json", "", "{}", 415, "Unsupported Media Type: the Content-Type must be application/"),
        ("/json", json, "{", 400, "400 Bad Request: json: EOF while parsing an object at line 1"),
        ("/json", json, r#"{"name":"a"} x"#, 400, "400 Bad Request: json: trailing characters"),
        ("/json", json, r#"{"name":1}"#, 422, "json: name: invalid type: integer `1`, expected"),
        ("/json", json, r#"{"name":"a","tags":[1,256]}"#, 422, "json: tags[1]: invalid value"),
        ("/json", json, "{}", 422, "422 Unprocessable Entity: json: missing field `name`"),
        ("/form", form, "limit=3", 200, "Some(3)"),
        ("/form", form, "limit=x", 422, "form: limit: invalid digit found in string"),
        ("/form", json, "limit=3", 415, "application/x-www-form-urlencoded"),
        ("/optional", "", "", 200, "none"),
        ("/optional", json, r#"{"name":"a"}"#, 200, "a"),
        ("/optional", json, "{", 400, "json: EOF"),
        ("/result", json, r#"{"name":"a"}"#, 200, "a"),
        ("/result", json, "{", 200, "handled: 400"),
        ("/text", "", "plain ü", 200, "plain ü"),
        ("/bytes", "", "12345", 200, "5"),
        ("/bytes", "", "123456", 413, "413 Payload Too Large"),
    ];
    run(async move {
        let service = router.into_service();
        for (target, media_type, body, status, text) in cases {
            let (actual, actual_text) = send(&service, target, media_type, body).await;
            assert_eq!(actual, status, "{target} {body}: {actual_text}");
            assert!(actual_text.contains(text), "{target} {body}: {actual_text}");
        }
        let invalid = Request::builder(Method::POST, "/text").body(&b"\xff"[..]).build().unwrap();
        let (status, _, text) = answer(&service, invalid).await;
        assert_eq!((status, &*text), (400, "400 Bad Request: the body is not UTF-8\n"));
    });
}

#[test]
fn a_handler_has_up_to_eight_arguments_and_the_last_takes_the_body() {
    #[expect(clippy::too_many_arguments, reason = "that is what is tested")]
    async fn eight(
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        Peer(peer): Peer,
        cookies: Cookies,
        head: RequestHead,
        State(state): State<&'static str>,
        body: String,
    ) -> String {
        let cookies: Vec<_> = cookies.iter().map(|(name, _)| name.to_owned()).collect();
        let mark = headers["x-mark"].to_str().unwrap();
        format!("{method} {uri} {mark} {peer} {cookies:?} {} {state} {body}", head.path())
    }
    async fn none() -> &'static str {
        "none"
    }
    async fn whole(mut request: Request) -> Result<String, BodyError> {
        let body = request.body_mut().collect(100).await?;
        Ok(format!("{} {}", request.path(), body.len()))
    }
    let router = Router::new()
        .route("/eight", post(eight))
        .route("/none", post(none))
        .route("/whole", post(whole))
        .with_state("state");
    run(async {
        let service = router.into_service();
        let request = Request::builder(Method::POST, "/eight?q=1")
            .header("x-mark", "m")
            .header("cookie", "a=1; b=2")
            .peer_addr("10.0.0.1:80".parse::<SocketAddr>().unwrap())
            .body("body");
        let (status, _, text) = answer(&service, request.build().unwrap()).await;
        let expected = "POST /eight?q=1 m 10.0.0.1:80 [\"a\", \"b\"] /eight state body";
        assert_eq!((status, &*text), (200, expected));
        assert_eq!(send(&service, "/none", "", "x").await, (200, "none".into()));
        assert_eq!(send(&service, "/whole", "", "four").await, (200, "/whole 4".into()));
    });
}

#[test]
fn closures_may_borrow_what_they_capture() {
    let (visits, names) = (Cell::new(0), RefCell::new(Vec::new()));
    let visit = async move |Path(name): Path<String>| {
        visits.set(visits.get() + 1);
        names.borrow_mut().push(name);
        brigade_runtime::task::yield_now().await;
        format!("{} {}", visits.get(), names.borrow().join("+"))
    };
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    let layer = async move |request: Request, next: Next| {
        count.set(count.get() + 1);
        next.run(request).await
    };
    let router = Router::new().route("/{name}", get(visit)).layer(layer);
    check(router, &[("/a", 200, "1 a"), ("/b", 200, "2 a+b")]);
    assert_eq!(seen.get(), 2);
}

/// An argument of the application's own, which needs a state.
struct User(String);

impl FromRequestParts for User {
    type Rejection = HandlerError;

    async fn from_request_parts(request: &mut Request) -> Result<Self, HandlerError> {
        let State(known) = request.extract::<State<Rc<[&'static str]>>>().await?;
        let name = request.cookie("user").status(StatusCode::UNAUTHORIZED)?;
        match known.contains(&name) {
            true => Ok(Self(name.to_owned())),
            false => Err(HandlerError::new(StatusCode::FORBIDDEN, "unknown user")),
        }
    }

    fn is_missing(request: &Request) -> bool {
        request.cookie("user").is_none()
    }

    fn requirements(requirements: &mut Requirements) {
        requirements.state::<Rc<[&'static str]>>();
    }
}

/// A body of the application's own.
struct Checked(Bytes);

impl FromRequest for Checked {
    type Rejection = HandlerError;

    async fn from_request(mut request: Request) -> Result<Self, HandlerError> {
        let expected = request.header("x-length").map(<[u8]>::to_vec);
        let body = request.body_mut().collect(1024).await?;
        match expected == Some(body.len().to_string().into_bytes()) {
            true => Ok(Self(body)),
            false => Err(HandlerError::new(StatusCode::BAD_REQUEST, "wrong length")),
        }
    }
}

#[test]
fn an_application_has_arguments_of_its_own() {
    let name = async |User(name): User| name;
    let optional = async |user: Option<User>| user.map_or("nobody".into(), |user| user.0);
    let checked = async |Checked(body): Checked| body;
    let known: Rc<[&'static str]> = Rc::from(["ada"]);
    let router = Router::new()
        .route("/", get(name).post(checked))
        .route("/optional", get(optional))
        .with_state(known);
    run(async {
        let service = router.into_service();
        let mut results = Vec::new();
        for (target, cookie) in [
            ("/", "user=ada"),
            ("/", "user=eve"),
            ("/", "a=b"),
            ("/optional", "a=b"),
            ("/optional", "user=eve"),
        ] {
            let request = Request::builder(Method::GET, target).header("cookie", cookie);
            let (status, _, text) = answer(&service, request.build().unwrap()).await;
            results.push((status, text));
        }
        let forbidden = (403, "403 Forbidden: unknown user\n".to_owned());
        assert_eq!(
            results,
            [
                (200, "ada".into()),
                forbidden.clone(),
                (401, "401 Unauthorized\n".into()),
                (200, "nobody".into()),
                forbidden,
            ]
        );
        for (length, status) in [("3", 200), ("4", 400)] {
            let request =
                Request::builder(Method::POST, "/").header("x-length", length).body("abc");
            let (actual, ..) = answer(&service, request.build().unwrap()).await;
            assert_eq!(actual, status, "{length}");
        }
    });
}

#[test]
fn a_layer_passes_values_on_as_extensions() {
    #[derive(Clone)]
    struct Tenant(&'static str);
    async fn find(mut request: Request, next: Next) -> Response {
        request.extensions_mut().insert(Tenant("acme"));
        next.run(request).await
    }
    let name = async |Extension(Tenant(name)): Extension<Tenant>| name;
    let optional = async |tenant: Option<Extension<Tenant>>| tenant.is_some().to_string();
    let router = Router::new()
        .route("/with", get(name))
        .route("/optional/with", get(optional))
        .layer(find)
        .route("/without", get(name))
        .route("/optional/without", get(optional));
    check(
        router,
        &[
            ("/with", 200, "acme"),
            ("/without", 500, "500 Internal Server Error\n"),
            ("/optional/with", 200, "true"),
            ("/optional/without", 200, "false"),
        ],
    );
}

#[test]
fn a_state_is_found_by_its_type_in_routes_and_fallbacks_and_nested_routers() {
    async fn both(State(text): State<&'static str>, State(number): State<u8>) -> String {
        format!("{text} {number}")
    }
    let inner = Router::new().route("/x", get(both)).fallback(both).with_state("inner");
    let router = Router::new()
        .route("/", get(both))
        .nest("/nested", inner)
        .merge(Router::new().route("/merged", get(both)).with_state("merged"))
        .fallback(both)
        .with_state("outer")
        .with_state(1_u8)
        .with_state(2_u8);
    check(
        router,
        &[
            ("/", 200, "outer 2"),
            ("/nested/x", 200, "inner 2"),
            ("/nested/y", 200, "inner 2"),
            ("/merged", 200, "merged 2"),
            ("/other", 200, "outer 2"),
        ],
    );
}

#[test]
fn a_router_without_the_state_of_a_handler_is_refused_with_the_route() {
    let needs = async |_: Option<State<u8>>| ();
    let routers = [
        ("/items/{id}", Router::new().route("/items/{id}", get(needs))),
        ("the fallback", Router::new().fallback(needs)),
        ("/a", Router::new().route("/a", get(|| async {})).method_not_allowed_fallback(needs)),
        ("/user", Router::new().route("/user", get(async |_: Result<User, HandlerError>| ()))),
        (
            "/in/x",
            Router::new().nest("/in", Router::new().route("/x", put(needs)).with_state(1_u16)),
        ),
    ];
    for (name, router) in routers {
        let payload = catch_unwind(AssertUnwindSafe(|| router.into_service())).unwrap_err();
        let text = payload.downcast::<String>().unwrap();
        let expected = if name == "/user" { "Rc<[&str]>" } else { "u8" };
        assert!(text.contains(&format!("{name}' needs the state")), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_server_whose_router_lacks_a_state_ends_with_an_error_when_it_starts() {
    let server = brigade_http::Server::bind("127.0.0.1:0").unwrap().loops(1).pin(false);
    let app = || Router::new().route("/items", get(async |_: State<u8>| ()));
    let error = run(server.serve(app, std::future::pending::<()>())).unwrap_err();
    assert!(error.to_string().contains("'/items' needs the state u8"), "{error}");
}

#[test]
fn responses_are_made_of_tuples_and_types() {
    let tuple = async || {
        let map = HeaderMap::from_iter([(header::ETAG, "\"1\"".parse().unwrap())]);
        (StatusCode::CREATED, [("x-a", "1"), ("x-b", "2")], map, Some([("x-c", "3")]), "made")
    };
    let headers = async || ([(header::CONTENT_TYPE, "text/css")], "p {}");
    let foreign =
        async || http::Response::builder().status(202).header("x-a", "1").body("taken").unwrap();
    let invalid = async || ([("x-a", "1\n")], "");
    let failure = async || Err::<Infallible, _>(HandlerError::new(StatusCode::GONE, "gone"));
    let router = Router::new()
        .route("/tuple", get(tuple))
        .route("/headers", get(headers))
        .route("/foreign", get(foreign))
        .route("/html", get(async || Html("<p>")))
        .route("/to", get(async || Redirect::to("/x")))
        .route("/temporary", get(async || Redirect::temporary("/x")))
        .route("/permanent", get(async || Redirect::permanent("/x")))
        .route("/nowhere", get(async || Redirect::to("/\r\nx: y")))
        .route("/invalid", get(invalid))
        .route("/failure", get(failure));
    run(async {
        let service = router.into_service();
        let cases: [(&str, u16, Headers, &str); 10] = [
            ("/tuple", 201, &[("x-a", "1"), ("x-b", "2"), ("x-c", "3"), ("etag", "\"1\"")], "made"),
            ("/headers", 200, &[("content-type", "text/css")], "p {}"),
            ("/foreign", 202, &[("x-a", "1")], "taken"),
            ("/html", 200, &[("content-type", "text/html; charset=utf-8")], "<p>"),
            ("/to", 303, &[("location", "/x")], ""),
            ("/temporary", 307, &[("location", "/x")], ""),
            ("/permanent", 308, &[("location", "/x")], ""),
            ("/nowhere", 500, &[], "500 Internal Server Error\n"),
            ("/invalid", 500, &[], "500 Internal Server Error\n"),
            ("/failure", 410, &[], "410 Gone: gone\n"),
        ];
        for (target, status, expected, text) in cases {
            let (actual, headers, body) = answer(&service, request(Method::GET, target)).await;
            assert_eq!((actual, &*body), (status, text), "{target}");
            for (name, value) in expected {
                assert_eq!(headers[*name], value, "{target}");
            }
        }
    });
}

#[derive(Debug)]
struct Outer(std::num::ParseIntError);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("outer")
    }
}

impl std::error::Error for Outer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn any_error_becomes_a_handler_error_and_can_be_made_more_precise() {
    let outer = || "x".parse::<u8>().map_err(Outer);
    let converted = |result: Result<u8, Outer>| -> HandlerError {
        let convert = || -> Result<u8, HandlerError> { Ok(result?) };
        convert().unwrap_err()
    };
    let plain = converted(outer());
    let text = "500 Internal Server Error: outer: invalid digit found in string";
    assert_eq!(
        (plain.status().as_u16(), plain.to_string(), plain.message()),
        (500, text.into(), "")
    );
    assert!(plain.downcast_ref::<std::num::ParseIntError>().is_some());
    assert!(plain.downcast_ref::<BodyError>().is_none());

    let text = "404 Not Found: reading: outer: invalid digit found in string";
    let precise = outer().context("reading").status(StatusCode::NOT_FOUND).unwrap_err();
    assert_eq!((precise.to_string(), precise.message()), (text.to_owned(), ""));
    let shown = precise.with_message("no such item");
    assert!(shown.to_string().starts_with("404 Not Found: no such item: reading: outer"));

    let none: Option<u8> = None;
    assert_eq!(none.status(StatusCode::GONE).unwrap_err().to_string(), "410 Gone");
    let text = "500 Internal Server Error: reading";
    assert_eq!(none.context("reading").unwrap_err().to_string(), text);
    assert_eq!(Some(1).status(StatusCode::GONE).unwrap(), 1);
    assert_eq!(Some(1).context("reading").unwrap(), 1);

    // A rejection keeps its status, and its text once.
    let rejection = HandlerError::from(JsonError::MediaType);
    let text = "415 Unsupported Media Type: the Content-Type must be application/json";
    assert_eq!(rejection.to_string(), text);
    assert!(matches!(rejection.downcast_ref(), Some(JsonError::MediaType)));
    let text = "400 Bad Request: there are more than 2 names and values";
    assert_eq!(HandlerError::from(FormError::TooManyPairs(2)).to_string(), text);
}

/// A router with one route for each kind of error.
fn failing() -> Router {
    let silent = async || std::future::pending::<()>().await;
    Router::new()
        .route("/ok", get(async || "fine").post(async |_: String| ()).body_limit(3))
        .route("/query", get(async |Query(_): Query<Page>| ()))
        .route(
            "/handler",
            get(async || Err::<(), _>(HandlerError::from(std::io::Error::other("secret")))),
        )
        .route("/slow", get(silent).timeout(Duration::from_millis(1)))
        .route("/panic", get(async || -> () { panic!("on purpose") }))
        .route("/own", get(async || (StatusCode::CONFLICT, "of the handler")))
}

#[test]
fn errors_are_shaped_in_one_place() {
    async fn mark(request: Request, next: Next) -> Response {
        next.run(request).await.with_header(header::SERVER, "mark".parse().unwrap())
    }
    async fn deny(request: Request, next: Next) -> Result<Response, HandlerError> {
        match request.header("x-deny") {
            Some(_) => Err(HandlerError::new(StatusCode::FORBIDDEN, "denied")),
            None => Ok(next.run(request).await),
        }
    }
    let shape = |error: &HandlerError, request: &RequestHead| {
        let text = format!("{} at {}", error.message(), request.path());
        (error.status(), [("x-shaped", "1")], Html(text))
    };
    let app = move || failing().layer(mark).layer(deny).on_error(shape);
    let server = TestServer::start(app);
    let cases = [
        ("GET /ok", "", 200, "fine"),
        ("GET /none", "", 404, " at /none"),
        ("PUT /ok", "", 405, " at /ok"),
        ("POST /ok", "1234", 413, "the body is too large at /ok"),
        ("GET /query?limit=x", "", 400, "query: limit: invalid digit found in string at /query"),
        ("GET /handler", "", 500, " at /handler"),
        ("GET /slow", "", 503, "the handler took too long at /slow"),
        ("GET /panic", "", 500, " at /panic"),
        ("GET /own", "", 409, "of the handler"),
        ("GET /deny", "", 403, "denied at /deny"),
    ];
    let mut client = server.connect();
    for (line, body, status, text) in cases {
        let deny = if line.ends_with("deny") { "x-deny: 1\r\n" } else { "" };
        let length = body.len();
        client.send(format!(
            "{line} HTTP/1.1\r\nhost: a\r\n{deny}content-length: {length}\r\n\r\n{body}"
        ));
        let response = client.response();
        assert_eq!((response.status, response.text()), (status, text), "{line}");
        let is_shaped = response.head.contains("x-shaped: 1");
        assert_eq!(is_shaped, !matches!(status, 200 | 409), "{line}");
        // The layer does not see a response that it, or a panic, prevents.
        let is_marked = status != 403 && line != "GET /panic";
        assert_eq!(response.head.contains("server: mark"), is_marked, "{line}");
        let allows = response.head.contains("allow: get, post, head");
        assert_eq!(allows, status == 405, "{line}: {}", response.head);
        if status == 413 {
            client = server.connect();
        }
    }
}

#[test]
fn json_errors_are_problem_details() {
    run(async {
        let service = failing().json_errors().into_service();
        let cases = [
            ("/none", r#"{"status":404,"title":"Not Found"}"#),
            (
                "/query?limit=x",
                concat!(
                    r#"{"status":400,"title":"Bad Request","#,
                    r#""detail":"query: limit: invalid digit found in string"}"#
                ),
            ),
            ("/handler", r#"{"status":500,"title":"Internal Server Error"}"#),
        ];
        for (target, text) in cases {
            let (_, headers, body) = answer(&service, request(Method::GET, target)).await;
            assert_eq!(body, text, "{target}");
            assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        }
        let (_, headers, body) = answer(&service, request(Method::GET, "/ok")).await;
        assert_eq!(
            (&*body, &headers[header::CONTENT_TYPE]),
            ("fine", &"text/plain; charset=utf-8".parse().unwrap())
        );
    });
}

#[test]
fn a_nested_router_shapes_its_own_errors() {
    let shape =
        |name: &'static str| move |error: &HandlerError, _: &RequestHead| (error.status(), name);
    let inner = Router::new().route("/x", get(async || ())).fallback(async || None::<()>);
    let router = Router::new().nest("/in", inner.on_error(shape("inner"))).on_error(shape("outer"));
    check(router, &[("/in/x", 200, ""), ("/in/y", 404, "inner"), ("/y", 404, "outer")]);
}
