//! The streams of a connection: each is a task that calls a handler and sends its response.
//!
//! hyper calls the service for each request, and then spawns a future that polls the returned
//! [`Exchange`] and sends the response. The executor wraps that future in a [`StreamTask`].

use std::any::Any;
use std::convert::Infallible;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::task::{self, JoinHandle};
use brigade_runtime::{panic_message, spawn};
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tracing::{Span, debug_span, field};

use crate::message::escaped::Escaped;
use crate::message::guarded::drop_guarded;
use crate::message::log_limit::limited_log;
use crate::message::pipe::Pipe;
use crate::message::request::Request;
use crate::message::response::{IntoResponse, Response};
use crate::message::route::Route;
use crate::protocol::error::ProtocolError;
use crate::protocol::framing::Framing;
use crate::routing::endpoint::Running;
use crate::server::counters::Outcome;
use crate::server::http2::request::{self, BodyLimits, BodyLink, Converted};
use crate::server::http2::response::{self, OutgoingBody};
use crate::server::http2::shared::{BodyFailure, Connection, Open, Stream};
use crate::transport::deadline::Deadline;
use crate::transport::pace::Pace;

/// The name of the tasks of streams.
const TASK_NAME: &str = "http2 stream";

/// Responds to the requests of a connection.
pub(super) struct StreamService {
    connection: Rc<Connection>,
}

impl StreamService {
    pub(super) const fn new(connection: Rc<Connection>) -> Self {
        Self { connection }
    }
}

impl Service<http::Request<Incoming>> for StreamService {
    type Response = http::Response<OutgoingBody>;
    type Error = Infallible;
    type Future = Exchange;

    fn call(&self, request: http::Request<Incoming>) -> Exchange {
        let stream = Stream::new(self.connection.clone());
        self.connection.next.replace(Some(stream.clone()));
        let is_head = request.method() == Method::HEAD;
        let stage = Stage::Received(Box::new(request));
        Exchange { stream, stage, is_head, failure: None }
    }
}

/// Spawns the tasks of the streams of a connection.
#[derive(Clone)]
pub(super) struct StreamExecutor {
    connection: Rc<Connection>,
}

impl StreamExecutor {
    pub(super) const fn new(connection: Rc<Connection>) -> Self {
        Self { connection }
    }
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        match self.connection.next.take() {
            Some(stream) => {
                let task = StreamTask::new(stream, future);
                task::Builder::new().name(TASK_NAME).spawn(task).detach();
            }
            None => spawn(future).detach(),
        }
    }
}

pin_project! {
    /// The task of a stream. Gives the response up if the client does not take it.
    struct StreamTask<F> {
        // `None` once the response was given up.
        #[pin]
        future: Option<F>,
        stream: Rc<Stream>,
        // `true` while the client has to make room.
        deadline: Deadline<bool>,
        pace: Pace,
        // How much of the response was passed on at the last poll.
        sent: u64,
    }
}

impl<F> StreamTask<F> {
    fn new(stream: Rc<Stream>, future: F) -> Self {
        let (deadline, pace) = (Deadline::new(), Pace::default());
        Self { future: Some(future), stream, deadline, pace, sent: 0 }
    }

    /// Ready when the client has taken too little of the response.
    fn poll_given_up(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let timeouts = &this.stream.context().timeouts;
        let of_route =
            this.stream.route().and_then(|route| route.options.write_bytes_per_second_min);
        let rate = of_route.unwrap_or(timeouts.write_bytes_per_second_min);
        let bytes = this.stream.sending.bytes.get();
        if bytes != *this.sent || !this.stream.sending.is_waiting.get() {
            if this.deadline.waiting() {
                let newly = bytes.saturating_sub(*this.sent).try_into().unwrap_or(usize::MAX);
                this.pace.note(this.deadline.waited(), newly, rate);
                this.deadline.stop();
            }
            *this.sent = bytes;
        }
        if !this.stream.sending.is_waiting.get() {
            return Poll::Pending;
        }
        if !this.deadline.waiting() {
            this.pace.begin();
            this.deadline.start(true);
        }
        let latest = this.pace.latest(this.deadline.since(), rate);
        this.deadline.poll_passed(Some(timeouts.write), latest, cx)
    }
}

impl<F: Future<Output = ()>> Future for StreamTask<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let stream = self.stream.clone();
        stream.context().renew_date();
        if let Some(timing) = &mut *stream.timing.borrow_mut() {
            timing.begin_poll();
        }
        let Some(future) = self.as_mut().project().future.as_pin_mut() else {
            return Poll::Ready(());
        };
        let polled = future.poll(cx);
        if let Some(timing) = &mut *stream.timing.borrow_mut() {
            timing.end_poll();
        }
        if polled.is_pending() {
            ready!(self.as_mut().poll_given_up(cx));
            let peer = stream.connection().peer;
            tracing::debug!(target: "brigade::http", %peer, "gave up a response");
            // This resets the stream.
            self.project().future.set(None);
        }
        Poll::Ready(())
    }
}

/// A request and its response.
pub(super) struct Exchange {
    stream: Rc<Stream>,
    stage: Stage,
    is_head: bool,
    /// The error that ended the request's body.
    failure: Option<BodyFailure>,
}

enum Stage {
    /// The handler has not been looked for. That is done in the stream's task.
    Received(Box<http::Request<Incoming>>),
    /// There is no handler.
    Refused(ProtocolError),
    /// Waiting for the handler.
    Handling(Running),
    /// Waiting for a handler that runs on after its client has gone, in a task of its own.
    Detached(JoinHandle<Handled>),
    /// The response was returned.
    Done,
}

type Panic = Box<dyn Any + Send>;

/// What became of a handler.
type Handled = Result<Response, Panic>;

impl Exchange {
    /// Finds the handler and calls it.
    fn begin(&mut self, request: http::Request<Incoming>) -> Result<Stage, Panic> {
        let connection = self.stream.connection().clone();
        let (context, peer) = (&connection.context, connection.peer);
        let Converted { mut request, link } = match request::convert(request, &context.limits, peer)
        {
            Ok(converted) => converted,
            Err(error) => {
                tracing::debug!(target: "brigade::http", %peer, %error, "request refused");
                self.stream.outcome.set(Some(Outcome::NONE));
                context.counters.begin_refusal();
                return Ok(Stage::Refused(error));
            }
        };
        if let Some(description) = &connection.description {
            description.clone().describe(&mut request.parts.extensions);
        }
        let found = context.routes.find(&request);
        let route = found.route.cloned();
        self.begin_span(&request, route.as_deref());
        context.counters.begin_request();
        self.stream.outcome.set(Some(Outcome::NONE));
        let options = route.as_ref().map(|route| route.options);
        let of_body = BodyLimits::new(&context.limits, &context.timeouts, options.as_ref());
        let is_too_large =
            matches!(request.framing(), Framing::Length(length) if length > of_body.bytes_max());
        if let Some(BodyLink { limits, failure }) = link {
            limits.replace(Some(of_body));
            self.failure = Some(failure);
        }
        let is_detached = options.is_some_and(|options| options.detaches_on_disconnect);
        if is_detached {
            let pipe = Rc::new(Pipe::ended());
            request.parts.pipe = Some(pipe.clone());
            self.stream.pipe.replace(Some(pipe));
        }
        self.stream.route.replace(route);
        let call = || catch_unwind(AssertUnwindSafe(|| found.call(request, is_too_large)));
        let running = self.stream.within(call)?;
        Ok(match is_detached {
            true => Stage::Detached(self.detach(running)),
            false => Stage::Handling(running),
        })
    }

    /// Starts the span and the times of a request.
    fn begin_span(&self, request: &Request, route: Option<&Route>) {
        let span = debug_span!(
            target: "brigade::http",
            parent: &self.stream.connection().span,
            "request",
            http.request.method = request.method().as_str(),
            url.path = request.path(),
            http.route = route.map(|route| &*route.pattern),
            http.response.status_code = field::Empty,
        );
        self.stream.span.replace(span);
        if let Some(timing) = &mut *self.stream.timing.borrow_mut() {
            timing.begin_request();
        }
    }

    /// Spawns a handler that runs on after its client has gone. The connection waits for it.
    fn detach(&self, running: Running) -> JoinHandle<Handled> {
        let open = Open::new(self.stream.connection().clone());
        let (span, route) = (self.stream.span.borrow().clone(), self.stream.route());
        let handler = DetachedHandler { running: Some(running), span, route, open };
        task::Builder::new().name(TASK_NAME).spawn(handler)
    }

    fn poll_handled(&mut self, cx: &mut Context<'_>) -> Poll<Handled> {
        if let Stage::Received(_) = &self.stage
            && let Stage::Received(request) = mem::replace(&mut self.stage, Stage::Done)
        {
            match self.begin(*request) {
                Ok(stage) => self.stage = stage,
                Err(panic) => return Poll::Ready(Err(panic)),
            }
        }
        match &mut self.stage {
            Stage::Handling(running) => self.stream.within(|| poll_guarded(running, cx)),
            Stage::Detached(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(handled) => Poll::Ready(handled),
                // The loop ends, or the task was aborted.
                Err(_) => Poll::Ready(Ok(Response::empty(StatusCode::SERVICE_UNAVAILABLE))),
            },
            Stage::Refused(error) => Poll::Ready(Ok(error.into_response())),
            Stage::Received(_) | Stage::Done => Poll::Pending,
        }
    }

    /// Logs the panic of a handler, and returns a 500.
    #[cold]
    fn respond_to_panic(&mut self, payload: Panic) -> Response {
        let stage = mem::replace(&mut self.stage, Stage::Done);
        let route = self.stream.route();
        let pattern = route.as_deref().map_or("(no route)", |route| &route.pattern);
        let task = task::current().map_or_else(String::new, |task| task.label.to_string());
        let peer = self.stream.connection().peer;
        self.stream.within(|| {
            drop_guarded(stage);
            let panic = Escaped(panic_message(&*payload));
            limited_log!(
                error,
                { route = pattern },
                "the handler of {pattern} panicked in {task}, serving {peer}: {panic}"
            );
            drop_guarded(payload);
        });
        Response::plain(StatusCode::INTERNAL_SERVER_ERROR, "")
    }
}

/// Polls a handler. Catches its panic.
fn poll_guarded(running: &mut Running, cx: &mut Context<'_>) -> Poll<Handled> {
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let polled = Pin::new(&mut *running).poll(cx);
        if polled.is_ready() {
            running.end();
        }
        polled
    }));
    match polled {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

impl Future for Exchange {
    type Output = Result<http::Response<OutgoingBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut response = match ready!(this.poll_handled(cx)) {
            Ok(response) => response,
            Err(payload) => this.respond_to_panic(payload),
        };
        this.stage = Stage::Done;
        let failure = this.failure.as_ref();
        if let Some(error) = failure.and_then(|failure| failure.get())
            && response.status.is_success()
        {
            response = error.into_response();
        }
        Poll::Ready(Ok(response::convert(response, this.is_head, &this.stream, failure)))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let stage = mem::replace(&mut self.stage, Stage::Done);
        // A handler that is dropped may still log.
        self.stream.within(|| drop(stage));
    }
}

/// A handler that runs on after its client has gone.
struct DetachedHandler {
    /// `None` once it has ended.
    running: Option<Running>,
    span: Span,
    route: Option<Rc<Route>>,
    /// Keeps the connection's task.
    open: Open,
}

impl Future for DetachedHandler {
    type Output = Handled;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Handled> {
        let Self { running, span, route, open } = self.get_mut();
        open.0.context.notebook.set(route.as_ref().map(|route| route.note));
        let Some(handler) = running else { return Poll::Pending };
        let handled = ready!(span.in_scope(|| poll_guarded(handler, cx)));
        span.in_scope(|| drop_guarded(running.take()));
        Poll::Ready(handled)
    }
}
