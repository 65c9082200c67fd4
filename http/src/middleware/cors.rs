//! Access for web pages of other origins: the CORS protocol of the Fetch standard
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::message::request::Request;
use crate::message::response::Response;
use crate::protocol::headers::Headers;
use crate::routing::endpoint::Next;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// Browsers use two hours at most.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Returns a middleware that allows web pages of other origins to read the responses, according to
/// `options`. That includes error responses, which a page could not distinguish from a broken
/// connection otherwise.
///
/// The middleware responds to a preflight request (`OPTIONS` with `Origin` and
/// `Access-Control-Request-Method`) with a 204 and does not run the handler. All other requests
/// reach their handler, whatever their origin: CORS keeps a page from reading a response, not from
/// sending a request.
///
/// # Panics
/// If `options` allow credentials for all origins, which the standard forbids.
///
/// # Examples
/// ```
/// use brigade_http::middleware::{CorsOptions, cors};
/// use brigade_http::{Router, get};
///
/// let shop = CorsOptions::new().origins(["https://shop.example"]).credentials();
/// let router = Router::new().route("/cart", get(async || "empty")).layer(cors(shop));
/// ```
pub fn cors(options: CorsOptions) -> impl AsyncFn(Request, Next) -> Response {
    let is_open = options.credentials && options.origins.is_none();
    assert!(!is_open, "credentials need a list of origins; set one with `CorsOptions::origins`");
    async move |request: Request, next: Next| respond(&options, request, next).await
}

/// The origins that may read responses, and the requests that they may send; for [`cors`].
#[derive(Clone, Debug)]
#[must_use]
pub struct CorsOptions {
    /// `None` for all origins.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    /// `None` for all headers that a preflight names.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Default for CorsOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CorsOptions {
    /// Creates options that allow all origins, the methods GET, HEAD, POST, PUT, PATCH and DELETE,
    /// and all headers, but no credentials. Browsers may cache that for an hour.
    pub fn new() -> Self {
        Self {
            origins: None,
            methods: HeaderValue::from_static(METHODS),
            headers: None,
            exposed: None,
            credentials: false,
            max_age: HeaderValue::from(MAX_AGE.as_secs()),
        }
    }

    /// Allows only pages of these origins. An origin is a scheme, a host, and a port unless it is
    /// the default one, such as `https://shop.example` or `http://localhost:3000`.
    ///
    /// # Panics
    /// If an origin has no `://`, has a path, or is not a valid header value.
    pub fn origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        let origins = origins.into_iter().map(|origin| {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let is_origin = !host.is_empty() && !host.contains('/');
            assert!(is_origin, "the origin '{origin}' must be a scheme and a host without a path");
            header_value(origin)
        });
        self.origins = Some(origins.collect());
        self
    }

    /// Sets the methods that pages may use, in place of those of [`CorsOptions::new`].
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = list(methods.into_iter().map(|method| method.as_str().to_owned()));
        self
    }

    /// Sets the request headers that pages may send, in place of all.
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = Some(list(names.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// Sets the response headers that pages may read, in addition to those that they always may.
    pub fn expose(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed = Some(list(names.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// Allows requests with cookies and other credentials. Needs [`CorsOptions::origins`].
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// Sets how long a browser may cache the response to a preflight request, in whole seconds.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = HeaderValue::from(max_age.as_secs());
        self
    }

    /// Returns the value of `Access-Control-Allow-Origin` for `origin`, or `None` if it has no
    /// access.
    fn allowed(&self, origin: Option<&[u8]>) -> Option<HeaderValue> {
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => origins.iter().find(|known| Some(known.as_bytes()) == origin).cloned(),
        }
    }
}

/// # Panics
/// If `text` contains a control character.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| panic!("{text:?} is not a valid header value"))
}

/// Joins names with commas.
fn list(names: impl Iterator<Item = String>) -> HeaderValue {
    header_value(&names.collect::<Vec<_>>().join(", "))
}

async fn respond(options: &CorsOptions, request: Request, next: Next) -> Response {
    let origin = request.header("origin");
    let allowed = options.allowed(origin);
    let is_preflight = request.method() == Method::OPTIONS
        && origin.is_some()
        && request.header("access-control-request-method").is_some();
    let mut response = match is_preflight {
        true => preflight(options, &request, allowed.is_some()),
        false => {
            let mut response = next.run(request).await;
            let exposed = options.exposed.clone().filter(|_| allowed.is_some());
            set(&mut response.headers, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            response
        }
    };
    if options.origins.is_some() {
        response.headers.append(VARY, HeaderValue::from_static("origin"));
    }
    let credentials = (options.credentials && allowed.is_some()).then_some("true");
    let credentials = credentials.map(HeaderValue::from_static);
    set(&mut response.headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
    set(&mut response.headers, ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    response
}

fn preflight(options: &CorsOptions, request: &Request, is_allowed: bool) -> Response {
    let mut response = Response::empty(StatusCode::NO_CONTENT);
    let requested = request.header("access-control-request-headers");
    let requested = requested.and_then(|names| HeaderValue::from_bytes(names).ok());
    if options.headers.is_none() {
        let name = HeaderValue::from_static("access-control-request-headers");
        response.headers.append(VARY, name);
    }
    if is_allowed {
        let headers = options.headers.clone().or(requested);
        set(&mut response.headers, ACCESS_CONTROL_ALLOW_METHODS, Some(options.methods.clone()));
        set(&mut response.headers, ACCESS_CONTROL_ALLOW_HEADERS, headers);
        set(&mut response.headers, ACCESS_CONTROL_MAX_AGE, Some(options.max_age.clone()));
    }
    response
}

fn set(headers: &mut Headers, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}
