//! Which web pages of other origins may read the answers: the CORS protocol of the Fetch
//! standard (<https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::rc::Rc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::message::request::Request;
use crate::message::response::Response;
use crate::middleware::Answering;
use crate::protocol::headers::Headers;
use crate::routing::handler::Next;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// Browsers ask again after two hours at the latest.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Tells browsers that pages of other origins may read the answers, as far as `options` say, on
/// every answer below: errors included, which a page could not tell from a broken connection
/// otherwise.
///
/// A preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) is answered here
/// with 204 and gets no further. Other requests go on whatever their origin: CORS withholds an
/// answer from a page, it does not keep a request out.
///
/// # Panics
/// If `options` allow credentials to all origins, which the standard forbids.
///
/// # Examples
/// ```
/// use brigade_http::middleware::{CorsOptions, cors};
/// use brigade_http::{Router, get};
///
/// let shop = CorsOptions::new().origins(["https://shop.example"]).credentials();
/// let router = Router::new().route("/cart", get(async |_| "empty")).layer(cors(shop));
/// ```
pub fn cors(options: CorsOptions) -> impl Fn(Request, Next) -> Answering {
    let is_open = options.credentials && options.origins.is_none();
    assert!(!is_open, "credentials are only for origins that are named: see `origins`");
    let options = Rc::new(options);
    move |request, next| Box::pin(answer(options.clone(), request, next))
}

/// Which pages may read the answers, and how they may ask.
#[derive(Clone, Debug)]
#[must_use]
pub struct CorsOptions {
    /// Absent if all may.
    origins: Option<Vec<HeaderValue>>,
    methods: HeaderValue,
    /// Absent if whatever is asked for is allowed.
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
    /// Pages of all origins may ask with GET, HEAD, POST, PUT, PATCH and DELETE, with any
    /// headers, but without credentials; and may remember so for an hour.
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

    /// Only pages of these origins: scheme, host and port if it is not the usual one, as a
    /// browser sends them, such as `https://shop.example` or `http://localhost:3000`.
    ///
    /// # Panics
    /// If one is no origin: without `://`, or with a path.
    pub fn origins<'a>(mut self, origins: impl IntoIterator<Item = &'a str>) -> Self {
        let origins = origins.into_iter().map(|origin| {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let is_origin = !host.is_empty() && !host.contains('/');
            assert!(is_origin, "an origin is a scheme and a host, without a path: '{origin}'");
            header_value(origin)
        });
        self.origins = Some(origins.collect());
        self
    }

    /// The methods that pages may use, in place of those of [`CorsOptions::new`].
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = list(methods.into_iter().map(|method| method.as_str().to_owned()));
        self
    }

    /// The request headers that pages may set, in place of any.
    pub fn headers(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.headers = Some(list(names.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// The headers of answers that pages may read, besides those that they always may.
    pub fn expose(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.exposed = Some(list(names.into_iter().map(|name| name.as_str().to_owned())));
        self
    }

    /// Lets pages send cookies and other credentials, and read the answers to that. Only
    /// together with [`CorsOptions::origins`].
    pub fn credentials(mut self) -> Self {
        self.credentials = true;
        self
    }

    /// How long a browser may remember the answer to a preflight, to the second.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = HeaderValue::from(max_age.as_secs());
        self
    }

    /// What `Access-Control-Allow-Origin` says to a page of `origin`, if it may read the answer.
    fn allowed(&self, origin: Option<&[u8]>) -> Option<HeaderValue> {
        match &self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => origins.iter().find(|known| Some(known.as_bytes()) == origin).cloned(),
        }
    }
}

/// # Panics
/// If a line break or the like is in `text`.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| panic!("no value of a header: {text:?}"))
}

fn list(names: impl Iterator<Item = String>) -> HeaderValue {
    header_value(&names.collect::<Vec<_>>().join(", "))
}

async fn answer(options: Rc<CorsOptions>, request: Request, next: Next) -> Response {
    let origin = request.header("origin");
    let allowed = options.allowed(origin);
    let asked = request.header("access-control-request-method");
    let is_preflight = request.method() == Method::OPTIONS && origin.is_some() && asked.is_some();
    let mut response = match is_preflight {
        true => preflight(&options, &request, allowed.is_some()),
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
    let asked = request.header("access-control-request-headers");
    let asked = asked.and_then(|names| HeaderValue::from_bytes(names).ok());
    if options.headers.is_none() {
        let name = HeaderValue::from_static("access-control-request-headers");
        response.headers.append(VARY, name);
    }
    if is_allowed {
        let headers = options.headers.clone().or(asked);
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
