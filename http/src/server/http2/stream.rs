//! The streams of a connection: each calls a handler and sends its response.
//!
//! The task of the connection polls a stream first. A stream that is not done then is spawned as a
//! task.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use brigade_runtime::panic_message;
use brigade_runtime::task::{self, JoinHandle};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Method, Request as Http2Request, StatusCode};
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
use crate::server::http2::incoming::{BodyLimits, BodyLink};
use crate::server::http2::request::{self, Converted};
use crate::server::http2::response;
use crate::server::http2::sending::{Sending, complete};
use crate::server::http2::shared::{Connection, Open, Stream};

/// The name of the tasks of streams.
const TASK_NAME: &str = "http2 stream";

/// A request and its response. Dropping it resets the stream, unless the response is complete.
pub(super) struct Exchange {
    stream: Stream,
    respond: SendResponse<Bytes>,
    stage: Stage,
    is_head: bool,
    /// `None` if the request has no body.
    link: Option<Rc<BodyLink>>,
}

enum Stage {
    /// The handler has not been looked for.
    Received(Result<Converted, ProtocolError>),
    /// There is no handler.
    Refused(ProtocolError),
    /// Waiting for the handler.
    Handling(Running),
    /// Waiting for a handler that runs on after its client has gone, in a task of its own.
    Detached(JoinHandle<Handled>),
    /// Waiting for the response's body, or for the client.
    Sending(Box<Sending>),
    /// The response was sent, or given up.
    Done,
}

type Panic = Box<dyn Any + Send>;

/// What became of a handler.
type Handled = Result<Response, Panic>;

impl Exchange {
    pub(super) fn new(
        connection: &Rc<Connection>,
        request: Http2Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> Self {
        let is_head = *request.method() == Method::HEAD;
        let converted = request::convert(request, &connection.context.limits, connection.peer);
        let stream = Stream::new(connection.clone());
        Self { stream, respond, stage: Stage::Received(converted), is_head, link: None }
    }

    /// Polls the handler once, unless the task's budget is spent. Spawns a task for a request that
    /// is not done then.
    pub(super) fn begin(mut self, cx: &mut Context<'_>) {
        let task = task::Builder::new().name(TASK_NAME);
        if !task::has_budget_remaining() || task::poll_proceed(cx).is_pending() {
            return task.spawn(self).detach();
        }
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self).poll(cx))) {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => task.spawn(self).detach(),
            // A panic ends only its stream. It is reported like the panic of a task.
            Err(payload) => {
                drop_guarded(self);
                task.spawn(async { resume_unwind(payload) }).detach();
            }
        }
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stage {
            Stage::Sending(sending) => sending.poll(&self.stream, self.link.as_deref(), cx),
            Stage::Done => Poll::Ready(()),
            _ => match self.poll_handled(cx) {
                Poll::Ready(handled) => self.respond(handled, cx),
                Poll::Pending => self.poll_left(cx),
            },
        }
    }

    /// Ready when the client has reset the stream, or the connection has ended. Sends a 100 if one
    /// is due.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_left = self.respond.poll_reset(cx).is_ready();
        if !is_left && self.link.as_ref().is_some_and(|link| link.take_continue(cx)) {
            let mut go_on = http::Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            // Fails if the stream has ended, which the next poll shows.
            let _ = self.respond.send_informational(go_on);
        }
        if is_left { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Finds the handler and calls it.
    fn call(&mut self, received: Result<Converted, ProtocolError>) -> Result<Stage, Panic> {
        let connection = self.stream.connection().clone();
        let context = &connection.context;
        let Converted { mut request, link } = match received {
            Ok(converted) => converted,
            Err(error) => {
                let peer = connection.peer;
                tracing::debug!(target: "brigade::http", %peer, %error, "request refused");
                self.stream.outcome = Some(Outcome::NONE);
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
        self.stream.outcome = Some(Outcome::NONE);
        let options = route.as_ref().map(|route| route.options);
        let of_body = BodyLimits::new(&context.limits, &context.timeouts, options.as_ref());
        let is_too_large =
            matches!(request.framing(), Framing::Length(length) if length > of_body.bytes_max());
        if let Some(link) = &link {
            link.limits.replace(Some(of_body));
        }
        self.link = link;
        let is_detached = options.is_some_and(|options| options.detaches_on_disconnect);
        if is_detached {
            let pipe = Rc::new(Pipe::ended());
            request.parts.pipe = Some(pipe.clone());
            self.stream.pipe = Some(pipe);
        }
        self.stream.route = route;
        let call = || catch_unwind(AssertUnwindSafe(|| found.call(request, is_too_large)));
        let running = self.stream.within(call)?;
        Ok(match is_detached {
            true => Stage::Detached(self.detach(running)),
            false => Stage::Handling(running),
        })
    }

    /// Starts the span and the times of a request.
    fn begin_span(&mut self, request: &Request, route: Option<&Route>) {
        let span = debug_span!(
            target: "brigade::http",
            parent: &self.stream.connection().span,
            "request",
            http.request.method = request.method().as_str(),
            url.path = request.path(),
            http.route = route.map(|route| &*route.pattern),
            http.response.status_code = field::Empty,
        );
        self.stream.span = span;
        if let Some(timing) = &mut self.stream.timing {
            timing.begin_request();
        }
    }

    /// Spawns a handler that runs on after its client has gone. The connection waits for it.
    fn detach(&self, running: Running) -> JoinHandle<Handled> {
        let open = Open::new(self.stream.connection().clone());
        let (span, route) = (self.stream.span.clone(), self.stream.route.clone());
        let handler = DetachedHandler { running: Some(running), span, route, open };
        task::Builder::new().name(TASK_NAME).spawn(handler)
    }

    fn poll_handled(&mut self, cx: &mut Context<'_>) -> Poll<Handled> {
        if let Stage::Received(_) = &self.stage
            && let Stage::Received(received) = mem::replace(&mut self.stage, Stage::Done)
        {
            match self.call(received) {
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
            Stage::Received(_) | Stage::Sending(_) | Stage::Done => Poll::Pending,
        }
    }

    /// Sends the response. Ready when that is done.
    fn respond(&mut self, handled: Handled, cx: &mut Context<'_>) -> Poll<()> {
        let mut response = match handled {
            Ok(response) => response,
            Err(payload) => self.respond_to_panic(payload),
        };
        self.stage = Stage::Done;
        let link = self.link.as_deref();
        link.inspect(|link| link.settle());
        if let Some(error) = link.and_then(BodyLink::failure)
            && response.status.is_success()
        {
            response = error.into_response();
        }
        let stream = &mut self.stream;
        let response::Converted { head, body, observers } =
            response::convert(response, self.is_head, stream);
        let is_end = body.is_end();
        let outgoing = match self.respond.send_response(head, is_end) {
            Ok(outgoing) => outgoing,
            Err(error) => {
                let peer = stream.connection().peer;
                tracing::debug!(target: "brigade::http", %peer, %error, "response not sent");
                self.respond.send_reset(Reason::INTERNAL_ERROR);
                stream.within(|| {
                    observers.into_iter().for_each(|one| one.abandon(0));
                    drop(body);
                });
                return Poll::Ready(());
            }
        };
        if is_end {
            complete(observers, stream);
            return Poll::Ready(());
        }
        let mut sending = Sending::new(outgoing, body, observers);
        match catch_unwind(AssertUnwindSafe(|| sending.poll(stream, link, cx))) {
            Ok(Poll::Ready(())) => stream.within(|| drop(sending)),
            Ok(Poll::Pending) => {
                self.stage = Stage::Sending(Box::new(sending));
                return Poll::Pending;
            }
            // If the unwinding dropped the body, a panic of its destructor would abort the process.
            Err(payload) => {
                stream.within(|| drop_guarded(sending));
                resume_unwind(payload);
            }
        }
        Poll::Ready(())
    }

    /// Logs the panic of a handler, and returns a 500.
    #[cold]
    fn respond_to_panic(&mut self, payload: Panic) -> Response {
        let stage = mem::replace(&mut self.stage, Stage::Done);
        let route = self.stream.route.clone();
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
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.stream.context().renew_date();
        if let Some(timing) = &mut this.stream.timing {
            timing.begin_poll();
        }
        let polled = this.poll_done(cx);
        if let Some(timing) = &mut this.stream.timing {
            timing.end_poll();
        }
        polled
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
