//! Services without a server, compared with servers.
#![forbid(unsafe_code)]

mod sockets;

use std::cell::Cell;
use std::error::Error as _;
use std::future::pending;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use brigade_http::{
    Body, BodyError, BodyLength, BoxError, Bytes, EncodeError, HeaderMap, HeaderName, HeaderValue,
    Limits, Method, MethodRouter, Next, Part, ProtocolError, Request, RequestBuilder, Response,
    Router, Service, StatusCode, any, get, header, options, post,
};
use brigade_runtime::{EventLoop, run, task};
use futures_util::stream;
use sockets::TestServer;

/// Describes a request as its handler sees it.
async fn describe(mut request: Request) -> Result<String, BodyError> {
    let body = request.body_mut().collect(64).await?;
    Ok(format!(
        "{} {:?} {:?} {:?} {:?} {:?} {}",
        request.method(),
        request.route(),
        request.param("a"),
        request.param("b"),
        request.query(),
        request.header("x-mark").map(String::from_utf8_lossy),
        String::from_utf8_lossy(&body)
    ))
}

async fn mark(request: Request, next: Next) -> Response {
    let name = request.route().unwrap_or("none").to_owned();
    let value = HeaderValue::try_from(name).unwrap();
    next.run(request).await.with_header(header::SERVER, value)
}

fn app() -> Router {
    let inner = Router::new().route("/{b}/x", any(describe)).layer(mark);
    let silent = async |_: Request| pending::<()>().await;
    let parts = async |_: Request| {
        Body::stream(stream::iter(["a", "b"].map(|text| Ok::<_, BoxError>(text.into()))))
    };
    Router::new()
        .route("/", get(async || "home"))
        .route("/{a}/of/{b}", get(describe).post(describe))
        .route("/own", get(async || "get").head(async || "head").options(describe))
        .route("/options", options(async || StatusCode::ACCEPTED))
        .route("/small", post(describe).body_limit(3))
        .route("/silent", get(silent).timeout(Duration::from_millis(5)))
        .route("/parts", get(parts))
        .nest("/nested", inner)
}

fn full_app() -> Router {
    app().fallback(describe).layer(mark)
}

/// What is compared of a response: status, `Allow`, `Server`, `Content-Length`, body.
type Summary = (u16, Option<String>, Option<String>, Option<String>, String);

async fn send_to_service(
    service: &Service,
    method: &str,
    target: &str,
    body: &'static str,
) -> Summary {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let to_head = method == Method::HEAD;
    let request = Request::builder(method, target).header("X-Mark", "m").body(body);
    let mut response = service.call(request.build().unwrap()).await;
    let header = |name| {
        let value: Option<&HeaderValue> = response.headers.value(&name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let (status, allow, server) =
        (response.status.as_u16(), header(header::ALLOW), header(header::SERVER));
    let length = match response.body.length() {
        BodyLength::Empty if status == 204 => None,
        BodyLength::Empty => Some("0".to_owned()),
        BodyLength::Known(length) => Some(length.to_string()),
        BodyLength::Unknown => None,
    };
    let body = response.body.collect(1024).await.unwrap();
    let body = if to_head { "" } else { str::from_utf8(&body).unwrap() };
    (status, allow, server, length, body.to_owned())
}

fn send_to_server(server: &TestServer, method: &str, target: &str, body: &str) -> Summary {
    let mut client = server.connect();
    let length = match body.len() {
        0 => String::new(),
        length => format!("content-length: {length}\r\n"),
    };
    let head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nx-mark: m\r\n{length}");
    client.send(format!("{head}\r\n{body}"));
    let response = if method == "HEAD" {
        client.finish_sending();
        let text = client.rest();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        sockets::TestResponse { status, head: head.to_owned(), body: body.into() }
    } else {
        client.response()
    };
    let header = |name| {
        let mut lines = response.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned())
    };
    let (allow, server) = (header("allow"), header("server"));
    (response.status, allow, server, header("content-length"), response.text().to_owned())
}

/// Returns the status of the response to a request, and its body: the route that handled it.
fn handled_by(routes: &[(&'static str, Method)], method: Method, path: &str) -> (u16, String) {
    let mut router = Router::new();
    for (route, method) in routes {
        router = router.route(route, naming(method.clone(), route));
    }
    let service = router.into_service();
    let request = Request::builder(method, path).build().unwrap();
    run(async move {
        let mut response = service.call(request).await;
        let status = response.status.as_u16();
        let text = response.body.collect(1024).await.unwrap();
        (status, String::from_utf8_lossy(&text).into_owned())
    })
}

/// Returns a handler whose response is its route.
fn naming(method: Method, route: &'static str) -> MethodRouter {
    MethodRouter::default().on(method, move || std::future::ready(route))
}

#[test]
fn literal_paths_win_over_parameters_in_any_order() {
    let routes = [
        ("/a", Method::GET),
        ("/{x}", Method::GET),
        ("/a/{*rest}", Method::GET),
        ("/a/b", Method::GET),
        ("/{x}/b", Method::GET),
        ("/b{{c", Method::GET),
        ("/posted", Method::POST),
    ];
    let reversed: Vec<_> = routes.iter().cloned().rev().collect();
    for routes in [&routes[..], &reversed] {
        for (path, route) in [
            ("/a", "/a"),
            ("/b", "/{x}"),
            ("/a/b", "/a/b"),
            ("/a/c", "/a/{*rest}"),
            ("/c/b", "/{x}/b"),
            ("/A", "/{x}"),
            ("/%61", "/a"),
            ("/b{c", "/b{{c"),
            ("/b{{c", "/{x}"),
        ] {
            assert_eq!(handled_by(routes, Method::GET, path), (200, route.to_owned()), "{path}");
        }
        // The path is chosen before the method.
        assert_eq!(handled_by(routes, Method::GET, "/posted").0, 405);
        for path in ["/c/d", "/a/", "/"] {
            assert_eq!(handled_by(routes, Method::GET, path).0, 404, "{path}");
        }
    }
    let [own, rest] = ["/own", "/{*rest}"];
    for routes in [[own, rest], [rest, own]] {
        let routes = routes.map(|route| (route, Method::GET));
        for (path, route) in [("/own", own), ("/own/", rest), ("/ow", rest), ("/own/x", rest)] {
            assert_eq!(handled_by(&routes, Method::GET, path), (200, route.to_owned()), "{path}");
        }
    }
}

#[test]
fn services_and_servers_respond_alike() {
    let requests = [
        ("GET", "/", ""),
        ("HEAD", "/", ""),
        ("POST", "/", "body"),
        ("OPTIONS", "/", ""),
        ("OPTIONS", "*", ""),
        ("GET", "/1/of/two%20?q=3", ""),
        ("HEAD", "/1/of/2", ""),
        ("POST", "/1/of/2", "body"),
        ("POST", "http://elsewhere:80/1/of/2?q", "body"),
        ("HEAD", "/own", ""),
        ("OPTIONS", "/own", ""),
        ("OPTIONS", "/options", ""),
        ("GET", "/options", ""),
        ("POST", "/small", "abc"),
        ("POST", "/small", "abcd"),
        ("GET", "/silent", ""),
        ("GET", "/parts", ""),
        ("PURGE", "/nested/1/x", ""),
        ("GET", "/nested/1/x/", "body"),
        ("GET", "http://elsewhere", ""),
    ];
    for app in [app, full_app] {
        let server = TestServer::start(app);
        run(async move {
            let service = app().into_service();
            for (method, target, body) in requests {
                let response = send_to_service(&service, method, target, body).await;
                let expected = send_to_server(&server, method, target, body);
                // The client of these tests converts headers to lower case.
                let response = format!("{response:?}").to_lowercase();
                assert_eq!(response, format!("{expected:?}").to_lowercase(), "{method} {target}");
            }
        });
    }
}

#[test]
fn a_service_passes_the_whole_request_to_the_handler() {
    run(async {
        let service = full_app().into_service();
        let response = send_to_service(&service, "POST", "/1/of/2?q=3", "body").await;
        let text = "POST Some(\"/{a}/of/{b}\") Some(\"1\") Some(\"2\") Some(\"q=3\") Some(\"m\") \
                    body";
        let server = Some("/{a}/of/{b}".to_owned());
        assert_eq!(response, (200, None, server, Some(text.len().to_string()), text.to_owned()));
        let (status, allow, ..) = send_to_service(&service, "DELETE", "/1/of/2", "").await;
        assert_eq!((status, allow.as_deref()), (405, Some("GET, POST, HEAD, OPTIONS")));
        assert_eq!(send_to_service(&service, "GET", "/silent", "").await.0, 503);
        assert_eq!(send_to_service(&service, "POST", "/small", "abcd").await.0, 413);
    });
}

#[test]
fn requests_that_a_server_would_refuse_cannot_be_built() {
    let build = |request: RequestBuilder| request.build().map(|request| request.path().to_owned());
    let of = |target: &str| Request::builder(Method::GET, target);
    for (request, error) in [
        (of("/a b"), ProtocolError::Target),
        (of("/ HTTP/1.1\r\nx: y\r\n\r\n"), ProtocolError::Target),
        (of("/é"), ProtocolError::Target),
        (of("/#fragment"), ProtocolError::Target),
        (of("*"), ProtocolError::Target),
        (of("a"), ProtocolError::Target),
        (of("ftp://host/"), ProtocolError::Target),
        (of("http://user@host/"), ProtocolError::Target),
        (of(&"/".repeat(9000)), ProtocolError::TargetTooLong),
        (Request::builder(Method::CONNECT, "/"), ProtocolError::MethodUnsupported),
        (of("/").header("host", ""), ProtocolError::HostInvalid),
        (of("/").header("host", "a").header("Host", "a"), ProtocolError::HostRepeated),
        (of("/").header("a b", "c").header("a", "\n"), ProtocolError::HeaderName),
        (of("/").header("a", "b\r\nc: d"), ProtocolError::HeaderValue),
        (of("/").header("expect", "more"), ProtocolError::Expectation),
        (of("/").header("x", "y".repeat(40_000)), ProtocolError::HeadTooLarge),
        (of("/").header("content-length", "x"), ProtocolError::ContentLength),
        (of("/").header("content-length", "1"), ProtocolError::UnexpectedEnd),
        (of("/").header("transfer-encoding", "chunked"), ProtocolError::UnexpectedEnd),
        (of("/").header("content-length", "1").body("1"), ProtocolError::ContentLengthRepeated),
    ] {
        let text = format!("{request:.200?}");
        assert_eq!(build(request), Err(error), "{text:.200}");
    }
    assert!(of("").build().is_err());
    assert_eq!(build(of("/").header("content-length", "0")).as_deref(), Ok("/"));
    assert_eq!(build(Request::builder(Method::OPTIONS, "*")).as_deref(), Ok("*"));
}

#[test]
fn a_built_request_has_the_given_parts() {
    let peer = SocketAddr::from(([192, 0, 2, 1], 7));
    let plain = Request::builder(Method::GET, "/").build().unwrap();
    assert_eq!(
        (plain.authority(), plain.peer_addr().to_string()),
        (Some("localhost"), "127.0.0.1:0".into())
    );
    let request = Request::builder(Method::PUT, "/a?b")
        .header("Host", "example.org:81")
        .header("Cookie", "a=1")
        .header("Cookie", HeaderValue::from_static("b=2"))
        .body(vec![0, 255])
        .peer_addr(peer);
    let mut request = request.build().unwrap();
    assert_eq!((request.method(), request.target()), (&Method::PUT, "/a?b"));
    assert_eq!((request.authority(), request.peer_addr()), (Some("example.org:81"), peer.into()));
    assert_eq!(request.headers().get_all(header::COOKIE).iter().count(), 2);
    assert_eq!(request.header("content-length"), Some(&b"2"[..]));
    assert!(!request.body_mut().is_end());
    run(async move {
        assert_eq!(request.body_mut().chunk().await.unwrap().unwrap(), [0, 255][..]);
        assert!(request.body_mut().chunk().await.is_none());
        assert!(request.body_mut().is_end());
    });
}

#[test]
fn bodies_are_collected_if_they_have_their_announced_length() {
    async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
        body.collect(limit).await
    }
    let of = |length| {
        let parts = ["ab", "c"].map(|text| Ok(Part::Data(text.into())));
        let end = [Ok(Part::Trailers(HeaderMap::new()))];
        Body::parts(stream::iter(parts.into_iter().chain(end)), length)
    };
    let is_too_large =
        |result| matches!(result, Err(BodyError::Protocol(ProtocolError::BodyTooLarge)));
    let broken = stream::iter([Ok("ab".into()), Err("broken")]);
    run(async move {
        assert_eq!(collect(Body::empty(), 0).await.unwrap(), "");
        assert_eq!(collect("abc".into(), 3).await.unwrap(), "abc");
        assert!(is_too_large(collect("abc".into(), 2).await));
        assert_eq!(collect(of(BodyLength::Unknown), 3).await.unwrap(), "abc");
        assert!(is_too_large(collect(of(BodyLength::Unknown), 2).await));
        assert_eq!(collect(of(BodyLength::Known(3)), 3).await.unwrap(), "abc");
        assert!(is_too_large(collect(of(BodyLength::Known(3)), 2).await));
        for (length, expected) in [
            (BodyLength::Known(5), EncodeError::BodyTooShort(2)),
            (BodyLength::Known(1), EncodeError::BodyTooLong(1)),
            (BodyLength::Empty, EncodeError::BodyTooLong(2)),
        ] {
            let error = collect(of(length), 9).await.unwrap_err();
            assert!(matches!(error, BodyError::Length(error) if error == expected), "{error:?}");
        }
        let error = collect(Body::stream(broken), 9).await.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "broken");
    });
}

#[test]
fn timeouts_use_the_clock_of_the_loop() {
    let mut event_loop = EventLoop::builder().manual_clock(true).build().unwrap();
    let limit = Duration::from_secs(3600);
    let silent = async |_: Request| pending::<()>().await;
    let service = Router::new().route("/", get(silent).timeout(limit)).into_service();
    let request = Request::builder(Method::GET, "/").build().unwrap();
    let response = event_loop.run_until_complete(service.call(request));
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Returns a service whose handler sets `gone` from another task when its client disconnects. With
/// a query it never responds.
fn recording_disconnects(gone: &Rc<Cell<bool>>) -> Service {
    let gone = gone.clone();
    let handler = move |request: Request| {
        let gone = gone.clone();
        async move {
            let disconnected = request.disconnected();
            brigade_runtime::spawn(async move {
                disconnected.await;
                gone.set(true);
            })
            .detach();
            if request.query().is_some() {
                pending::<()>().await;
            }
        }
    };
    Router::new().route("/", any(handler).detach_on_disconnect()).into_service()
}

#[test]
fn disconnected_completes_after_the_response_or_when_the_call_is_dropped() {
    for (target, body, is_ready) in [("/", "", true), ("/", "body", true), ("/?wait", "", false)] {
        let gone = Rc::new(Cell::new(false));
        let service = recording_disconnects(&gone);
        run(async move {
            let request = Request::builder(Method::POST, target).body(body).build().unwrap();
            let call = service.call(request);
            assert_eq!(futures_util::poll!(Box::pin(call)).is_ready(), is_ready, "{target}");
            assert!(!gone.get());
            // The task needs one turn to begin and one to be woken. More turns do no harm.
            for _ in 0..10 {
                task::yield_now().await;
            }
            assert!(gone.get(), "{target}");
        });
    }
}

#[test]
fn a_panic_of_a_handler_reaches_the_test() {
    async fn panics(_: Request) {
        panic!("on purpose");
    }
    let service = Router::new().route("/", get(panics)).into_service();
    let request = Request::builder(Method::GET, "/").build().unwrap();
    let result = catch_unwind(AssertUnwindSafe(|| run(async move { service.call(request).await })));
    assert_eq!(result.unwrap_err().downcast_ref(), Some(&"on purpose"));
}

#[cfg(all(feature = "json", feature = "query"))]
#[test]
fn bodies_are_read_as_forms_and_json() {
    use brigade_http::Json;

    #[derive(serde::Deserialize, serde::Serialize)]
    struct Named {
        name: String,
    }
    let app = Router::new()
        .route(
            "/json",
            post(async |mut request: Request| request.json::<Named>(64).await.map(Json)),
        )
        .route(
            "/form",
            post(async |mut request: Request| {
                request.form::<Named>(64).await.map(|named| named.name)
            }),
        );
    run(async move {
        let service = app.into_service();
        for (path, content_type, body, status, text) in [
            ("/json", "application/json", "{\"name\":\"Ada\"}", 200, "{\"name\":\"Ada\"}"),
            ("/form", "application/x-www-form-urlencoded", "name=Ada", 200, "Ada"),
        ] {
            let request = Request::builder(Method::POST, path).header("content-type", content_type);
            let mut response = service.call(request.body(body).build().unwrap()).await;
            assert_eq!(response.status.as_u16(), status);
            assert_eq!(response.body.collect(64).await.unwrap(), text);
        }
        let request = Request::builder(Method::POST, "/json").body("{}").build().unwrap();
        assert_eq!(service.call(request).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    });
}

#[test]
fn a_request_holds_nothing_of_the_one_before() {
    async fn describe_all(mut request: Request) -> String {
        let body = request.body_mut().collect(64).await.unwrap();
        let description = format!(
            "{:?} {:?} {:?} {:?} {:?} {body:?} {}",
            request.extensions().get::<u32>(),
            request.route(),
            request.param("a"),
            request.header("x-mark"),
            request.headers().get("x-mark"),
            request.peer_addr(),
        );
        request.extensions_mut().insert(7_u32);
        description
    }
    run(async {
        let service =
            Router::new().route("/{a}", any(describe_all)).fallback(describe_all).into_service();
        let plain = || Request::builder(Method::GET, "/no/route").build().unwrap();
        let first = service.call(plain()).await;
        let rich = Request::builder(Method::POST, "/value")
            .header(HeaderName::from_static("x-mark"), HeaderValue::from_static("1"))
            .body("a body")
            .peer_addr(SocketAddr::from(([192, 0, 2, 1], 1)));
        service.call(rich.build().unwrap()).await;
        let second = service.call(plain()).await;
        assert_eq!(first.body.as_bytes(), second.body.as_bytes());
    });
}

/// Returns the status and the body of the response to a GET.
async fn fetch(service: &Service, target: &str) -> (u16, String) {
    let (status, .., body) = send_to_service(service, "GET", target, "").await;
    (status, body)
}

#[test]
fn characters_that_are_not_reserved_match_encoded_or_not() {
    let answer = |text: &'static str| get(move || std::future::ready(text));
    run(async move {
        let service = Router::new()
            .route("/café", answer("café"))
            .route("/a-b~c", answer("unreserved"))
            .route("/%41%2D", answer("encoded in the route"))
            .route("/x y", answer("space"))
            .route("/{{x}}|", answer("braces"))
            .route("/a%2Fb", answer("slash"))
            .route("/100%", answer("percent"))
            .route("/é/{a}", answer("é"))
            .into_service();
        for (target, text) in [
            ("/caf%C3%A9", "café"),
            ("/c%61f%c3%a9", "café"),
            ("/a-b~c", "unreserved"),
            ("/a%2Db%7ec", "unreserved"),
            ("/%61%2d%62%7E%63", "unreserved"),
            ("/A-", "encoded in the route"),
            ("/x%20y", "space"),
            ("/{x}|", "braces"),
            ("/%7Bx%7D%7c", "braces"),
            ("/a%2fb", "slash"),
            ("/100%", "percent"),
            ("/100%25", "percent"),
            ("/%c3%A9/x", "é"),
        ] {
            assert_eq!(fetch(&service, target).await, (200, text.to_owned()), "{target}");
        }
        for target in ["/a/b", "/x+y", "/a%252Db~c", "/a%2Db~c%2F", "/cafe"] {
            assert_eq!(fetch(&service, target).await.0, 404, "{target}");
        }
    });
}

#[test]
fn parameters_are_passed_on_as_they_were_sent() {
    let echo =
        async |request: Request| format!("{:?} {:?}", request.param("a"), request.param("b"));
    run(async move {
        let service = Router::new().route("/x-{a}/to/{*b}", get(echo)).into_service();
        for (target, text) in [
            ("/x-1/to/2/3", "Some(\"1\") Some(\"2/3\")"),
            ("/%78%2D%31%2f/t%6F/%c3%a9/%zz", "Some(\"%31%2f\") Some(\"%c3%a9/%zz\")"),
            ("/x-%/to/%", "Some(\"%\") Some(\"%\")"),
        ] {
            assert_eq!(fetch(&service, target).await, (200, text.to_owned()), "{target}");
        }
    });
}

#[test]
fn routes_that_could_never_match_are_refused() {
    let route = |path: &'static str| {
        catch_unwind(AssertUnwindSafe(|| Router::new().route(path, get(async || "")))).is_err()
    };
    for path in ["/a?b", "/a#b", "a", ""] {
        assert!(route(path), "{path}");
    }
    let twice = |first: &'static str, second: &'static str| {
        let router = Router::new().route(first, get(async || ""));
        let second = move || router.route(second, get(async || ""));
        catch_unwind(AssertUnwindSafe(second)).is_err()
    };
    assert!(twice("/café", "/caf%c3%A9") && twice("/a-", "/a%2D") && !twice("/a/b", "/a%2Fb"));
}

#[test]
fn the_root_of_a_nested_router_is_found_with_and_without_a_slash() {
    run(async move {
        let inner = Router::new().route("/", get(async || "root")).layer(mark);
        let middle = Router::new().nest("/in", inner).route("/x", get(async || "x"));
        let service = Router::new().nest("/{a}", middle).into_service();
        for (target, status) in [
            ("/t/in", 200),
            ("/t/in/", 200),
            ("/t/x", 200),
            ("/t/x/", 404),
            ("/t", 404),
            ("/t/", 404),
            ("/t/in//", 404),
        ] {
            assert_eq!(fetch(&service, target).await.0, status, "{target}");
        }
    });
}

#[test]
fn a_body_that_is_too_large_by_its_length_is_refused_through_the_layers() {
    let routes = || {
        let inner = Router::new().route("/small", post(describe).body_limit(3)).layer(mark);
        Router::new().nest("/in", inner).route("/", post(async || "")).layer(second_mark)
    };
    async fn second_mark(request: Request, next: Next) -> Response {
        let name = HeaderName::from_static("x-outer");
        next.run(request).await.with_header(name, HeaderValue::from_static("1"))
    }
    let server = TestServer::start_with(
        |server| {
            let limits = Limits { body_bytes_max: 10, ..Limits::default() };
            server.loops(1).pin(false).limits(limits)
        },
        routes,
    );
    for (path, marked) in [("/in/small", Some("/in/small")), ("/", None), ("/none", None)] {
        let mut client = server.connect();
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 413, "{path}");
        assert_eq!(response.header("x-outer"), Some("1"), "{path}");
        assert_eq!(response.header("server"), marked, "{path}");
        assert_eq!(response.text(), "413 Payload Too Large: the body is too large\n");
    }
    run(async move {
        let service = routes().into_service();
        let (status, _, server, ..) = send_to_service(&service, "POST", "/in/small", "abcd").await;
        assert_eq!((status, server.as_deref()), (413, Some("/in/small")));
    });
}
