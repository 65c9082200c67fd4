//! How routers are put together: merged, nested, and wrapped into layers.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use brigade_http::{
    HeaderValue, Method, Next, Request, Response, Router, StatusCode, any, get, header, post, put,
};
use brigade_runtime::run;

/// Returns the status and the body of the response, the names of the layers that have seen it, and
/// its `Allow`.
fn ask(router: Router, method: Method, target: &str) -> String {
    let request = Request::builder(method, target).build().unwrap();
    run(async move {
        let mut response = router.into_service().call(request).await;
        let layers: Vec<_> =
            response.headers.iter().filter(|(name, _)| *name == "x-layer").collect();
        let layers: String = layers.iter().map(|(_, value)| value.to_str().unwrap()).collect();
        let allow = response.headers.value(&header::ALLOW).cloned();
        let status = response.status.as_u16();
        let body = response.body.collect(1024).await.unwrap();
        let body = String::from_utf8_lossy(&body).lines().next().unwrap_or("").to_owned();
        let allow = allow.map(|allow| format!(" allow: {}", allow.to_str().unwrap()));
        format!("{status} {body} [{layers}]{}", allow.unwrap_or_default())
    })
}

fn check(router: impl Fn() -> Router, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        let (method, target) = line.split_once(' ').unwrap();
        assert_eq!(ask(router(), method.parse().unwrap(), target), *expected, "{line}");
    }
}

/// Returns a layer that adds its name to the response.
fn named(name: &'static str) -> impl AsyncFn(Request, Next) -> Response {
    async move |request: Request, next: Next| {
        let mut response = next.run(request).await;
        response.headers.append("x-layer".parse().unwrap(), HeaderValue::from_static(name));
        response
    }
}

fn refused(build: impl FnOnce() -> Router) -> String {
    let payload = catch_unwind(AssertUnwindSafe(|| build().into_service())).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn a_layer_wraps_what_the_router_holds_so_far() {
    let router = || {
        Router::new()
            .route("/before", get(async || "before"))
            .layer(named("a"))
            .route("/after", get(async || "after"))
            .layer(named("b"))
            .route("/last", get(async || "last"))
            .fallback(async || "fallback")
    };
    check(
        router,
        &[
            ("GET /before", "200 before [ab]"),
            ("GET /after", "200 after [b]"),
            ("GET /last", "200 last []"),
            ("GET /other", "200 fallback []"),
            ("PUT /before", "405 405 Method Not Allowed [ab] allow: GET, HEAD, OPTIONS"),
            ("OPTIONS /after", "204  [b] allow: GET, HEAD, OPTIONS"),
            ("OPTIONS *", "204  [ab]"),
        ],
    );
    let router = || Router::new().fallback(async || "fallback").layer(named("a"));
    check(router, &[("GET /other", "200 fallback [a]")]);
    let router = || Router::new().layer(named("a"));
    check(router, &[("GET /other", "404 404 Not Found [a]")]);
}

#[test]
fn a_route_layer_wraps_only_handlers() {
    let router = || {
        Router::new()
            .route("/", get(async || "home"))
            .route_layer(named("a"))
            .route("/after", get(async || "after"))
    };
    check(
        router,
        &[
            ("GET /", "200 home [a]"),
            ("HEAD /", "200 home [a]"),
            ("PUT /", "405 405 Method Not Allowed [] allow: GET, HEAD, OPTIONS"),
            ("GET /after", "200 after []"),
            ("GET /other", "404 404 Not Found []"),
        ],
    );
    assert!(refused(|| Router::new().route_layer(named("a"))).contains("add the routes before"));
}

#[test]
fn a_layer_of_one_route_wraps_its_handlers_so_far_and_its_other_responses() {
    let methods = || get(async || "get").layer(named("a")).post(async || "post").layer(named("b"));
    let router = move || Router::new().route("/", methods()).route("/x", get(async || "x"));
    check(
        router,
        &[
            ("GET /", "200 get [ab]"),
            ("POST /", "200 post [b]"),
            ("PUT /", "405 405 Method Not Allowed [ab] allow: GET, POST, HEAD, OPTIONS"),
            ("GET /x", "200 x []"),
        ],
    );
}

#[test]
fn a_path_that_is_given_twice_has_the_methods_of_both_with_their_options() {
    let slow = async || std::future::pending::<()>().await;
    let router = move || {
        Router::new()
            .route("/a", get(slow).timeout(Duration::from_millis(1)).layer(named("a")))
            .route("/a", post(async |body: String| body).body_limit(2))
            .route("/a", any(async || "any"))
            .route("/b", get(async || "get"))
            .merge(Router::new().route("/b", put(async || "put")).layer(named("m")))
    };
    check(
        router,
        &[
            ("GET /a", "503 503 Service Unavailable: the handler took too long [a]"),
            ("POST /a", "200  []"),
            ("DELETE /a", "200 any []"),
            ("GET /b", "200 get []"),
            ("PUT /b", "200 put [m]"),
            ("POST /b", "405 405 Method Not Allowed [m] allow: GET, PUT, HEAD, OPTIONS"),
        ],
    );
    run(async move {
        let request = Request::builder(Method::POST, "/a").body("123").build().unwrap();
        let response = router().into_service().call(request).await;
        assert_eq!(response.status, StatusCode::PAYLOAD_TOO_LARGE);
    });
    let twice = || Router::new().route("/", get(async || ())).route("/", get(async || ()));
    assert!(refused(twice).contains("GET has a handler already"));
    let twice = || Router::new().route("/", any(async || ()).any(async || ()));
    assert!(refused(twice).contains("every method has a handler already"));
    let alike = || Router::new().route("/%61", get(async || ())).route("/a", post(async || ()));
    assert!(refused(alike).contains("are the same path"));
}

#[test]
fn merged_routers_keep_their_layers_and_one_fallback() {
    let other = || {
        Router::new().route("/b", get(async || "b")).fallback(async || "fallback").layer(named("o"))
    };
    let router = move || {
        Router::new()
            .route("/a", get(async || "a"))
            .layer(named("a"))
            .merge(other())
            .layer(named("z"))
    };
    check(
        router,
        &[("GET /a", "200 a [az]"), ("GET /b", "200 b [oz]"), ("GET /c", "200 fallback [oz]")],
    );
    assert!(refused(|| other().merge(other().fallback(async || ()))).contains("already"));
    let fallbacks =
        || Router::new().fallback(async || ()).merge(Router::new().fallback(async || ()));
    assert!(refused(fallbacks).contains("both routers have a fallback"));
}

#[test]
fn a_nested_router_keeps_its_fallback() {
    let router = || {
        let deep = Router::new().route("/x", get(async || "deep x")).fallback(async || "deep");
        let api = Router::new()
            .route("/", get(async || "root"))
            .route("/{id}", get(async || "id"))
            .nest("/deep", deep)
            .fallback(async || "api")
            .layer(named("n"));
        let plain = Router::new().route("/x", get(async || "x"));
        Router::new()
            .nest("/api", api)
            .nest("/plain", plain)
            .fallback(async || "outer")
            .layer(named("o"))
    };
    check(
        router,
        &[
            ("GET /api", "200 root [no]"),
            ("GET /api/", "200 root [no]"),
            ("GET /api/7", "200 id [no]"),
            ("GET /api/7/8", "200 api [no]"),
            ("GET /api/deep/x", "200 deep x [no]"),
            ("GET /api/deep/y", "200 deep [no]"),
            ("GET /api/deep/", "200 deep [no]"),
            ("GET /apis", "200 outer [o]"),
            ("GET /plain/x", "200 x [o]"),
            ("GET /plain/y", "200 outer [o]"),
            ("GET /", "200 outer [o]"),
        ],
    );
}

#[test]
fn a_router_can_be_nested_at_the_root() {
    let router = || {
        let inner = Router::new().route("/x", get(async || "x")).fallback(async || "inner");
        Router::new().route("/a", get(async || "a")).nest("/", inner)
    };
    check(
        router,
        &[
            ("GET /x", "200 x []"),
            ("GET /a", "200 a []"),
            ("GET /y", "200 inner []"),
            ("GET /", "200 inner []"),
            ("OPTIONS *", "204  []"),
        ],
    );
    assert!(refused(|| Router::new().nest("/a/", Router::new())).contains("must begin with"));
    assert!(refused(|| Router::new().nest("a", Router::new())).contains("must begin with"));
}

#[test]
fn methods_without_a_handler_have_a_fallback() {
    let router = || {
        Router::new()
            .route("/a", get(async || "a"))
            .route("/any", any(async || "any"))
            .method_not_allowed_fallback(async |method: Method| match method == Method::PUT {
                true => (StatusCode::METHOD_NOT_ALLOWED, "no PUT"),
                false => (StatusCode::OK, "other"),
            })
            .route("/after", get(async || "after"))
    };
    check(
        router,
        &[
            ("GET /a", "200 a []"),
            ("PUT /a", "405 no PUT [] allow: GET, HEAD, OPTIONS"),
            ("POST /a", "200 other []"),
            ("OPTIONS /a", "204  [] allow: GET, HEAD, OPTIONS"),
            ("PUT /any", "200 any []"),
            ("PUT /after", "405 405 Method Not Allowed [] allow: GET, HEAD, OPTIONS"),
        ],
    );
}
