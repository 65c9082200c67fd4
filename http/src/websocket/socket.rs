//! A WebSocket as its handler sees it, and its halves.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use brigade_runtime::task;
use futures_core::Stream;
use futures_sink::Sink;

use crate::websocket::close_code;
use crate::websocket::error::WsError;
use crate::websocket::message::{CloseFrame, Message};
use crate::websocket::shared::{Handle, ReceivingHandle};

/// A WebSocket, which [`WebSocketUpgrade::on_upgrade`](crate::WebSocketUpgrade::on_upgrade) passes
/// to its handler.
///
/// Messages that are sent while the handler does not have to wait are written together, when it
/// waits or ends. Pings are responded to, and the peer is sent pings, without the handler.
///
/// The WebSocket is closed when it is dropped, or all of its halves are: the peer is sent the code
/// 1000, or 1011 after a panic of the handler, and is given some time to respond. When the server
/// drains, the peer is sent the code 1001; the handler still receives what the peer had sent before
/// its own close frame.
///
/// It is also a [`Stream`] and a [`Sink`] of messages.
///
/// # Examples
/// ```
/// use brigade_http::websocket::{Message, WebSocket};
///
/// async fn echo(mut socket: WebSocket) {
///     while let Some(Ok(message)) = socket.recv().await {
///         if let Message::Text(_) | Message::Binary(_) = message {
///             if socket.send(message).await.is_err() {
///                 break;
///             }
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct WebSocket {
    handle: ReceivingHandle,
}

/// The receiving half of a [`WebSocket`].
#[derive(Debug)]
pub struct WebSocketReceiver {
    handle: ReceivingHandle,
}

/// The sending half of a [`WebSocket`]. Clones send to the same peer.
#[derive(Clone, Debug)]
pub struct WebSocketSender {
    handle: Handle,
}

impl WebSocket {
    pub(super) fn new(handle: ReceivingHandle) -> Self {
        Self { handle }
    }

    /// Splits the WebSocket into halves, for two tasks of this loop. When the receiving half is
    /// dropped, what the peer still sends is discarded.
    #[must_use]
    pub fn split(self) -> (WebSocketSender, WebSocketReceiver) {
        let Self { handle } = self;
        (WebSocketSender { handle: handle.to_handle() }, WebSocketReceiver { handle })
    }

    /// Closes the WebSocket: sends a close frame, unless one was sent, and waits for that of the
    /// peer, for [`CLOSE_TIMEOUT`](crate::websocket::CLOSE_TIMEOUT) at most. The messages before it
    /// are discarded.
    ///
    /// # Errors
    /// If `frame` cannot be sent, or the connection fails before the peer has sent its close frame.
    ///
    /// # Cancel safety
    /// If the future is dropped, the close frame is sent nevertheless, and the peer is waited for
    /// in the background.
    pub async fn close(mut self, frame: Option<CloseFrame>) -> Result<(), WsError> {
        match self.send(Message::Close(frame)).await {
            Ok(()) | Err(WsError::Closed) => {}
            Err(error) => return Err(error),
        }
        while let Some(message) = self.recv().await {
            message?;
        }
        Ok(())
    }
}

macro_rules! receiving {
    ($Socket:ident) => {
        impl $Socket {
            /// Waits for the next message. Returns `None` after the peer's close frame, and after
            /// an error.
            ///
            /// The pong to a ping, and the response to a close frame, are sent before the ping or
            /// the close frame is returned.
            ///
            /// # Errors
            /// If the peer violates the protocol or a limit, is silent for too long, or disconnects
            /// without a close frame. A peer that is to blame is sent the code of the error, see
            /// [`WsError::close_code`].
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, no message is lost.
            pub async fn recv(&mut self) -> Option<Result<Message, WsError>> {
                poll_fn(|cx| self.poll_recv(cx)).await
            }

            /// Polls for the next message, like [`recv`](Self::recv).
            pub fn poll_recv(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Result<Message, WsError>>> {
                self.handle.with(|connection| connection.poll_recv(cx))
            }
        }

        /// Yields what `recv` returns.
        impl Stream for $Socket {
            type Item = Result<Message, WsError>;

            fn poll_next(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<Option<Self::Item>> {
                self.poll_recv(cx)
            }
        }
    };
}

macro_rules! sending {
    ($Socket:ident) => {
        impl $Socket {
            /// Sends a message. Waits while more bytes wait for the peer than the
            /// [limit](crate::WebSocketUpgrade::max_write_buffer_size).
            ///
            /// The message is written when the handler waits or ends. Call [`flush`](Self::flush)
            /// to know that the system has accepted it.
            ///
            /// # Errors
            /// [`WsError::Invalid`] if it cannot be sent, [`WsError::Closed`] if a close frame was
            /// sent before, and the error with which the connection has failed, unless that was
            /// returned before.
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, the message is not sent.
            pub async fn send(&self, message: Message) -> Result<(), WsError> {
                let mut message = Some(message);
                poll_fn(|cx| {
                    ready!(task::poll_proceed(cx));
                    self.handle.with(|connection| {
                        ready!(connection.poll_ready(cx));
                        Poll::Ready(message.take().map(|message| connection.start_send(message)))
                    })
                })
                .await
                .unwrap_or(Ok(()))
            }

            /// Sends a message if that is possible without waiting. There is always room for a
            /// close frame.
            ///
            /// # Errors
            /// [`WsError::Full`] if too many bytes wait for the peer, and those of
            /// [`send`](Self::send).
            pub fn try_send(&self, message: Message) -> Result<(), WsError> {
                self.handle.with(|connection| {
                    match matches!(message, Message::Close(_)) || connection.has_room() {
                        true => connection.start_send(message),
                        false => Err(WsError::Full),
                    }
                })
            }

            /// Waits until the system has accepted all messages. The peer may not have received
            /// them yet.
            ///
            /// # Errors
            /// If the connection has failed.
            ///
            /// # Cancel safety
            /// If the future is dropped before it is ready, the messages are still written.
            pub async fn flush(&self) -> Result<(), WsError> {
                poll_fn(|cx| self.handle.with(|connection| connection.poll_flush(cx))).await
            }
        }

        /// Sends messages; `close` sends a close frame with the code 1000.
        impl Sink<Message> for $Socket {
            type Error = WsError;

            fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
                ready!(task::poll_proceed(cx));
                self.handle.with(|connection| connection.poll_ready(cx)).map(Ok)
            }

            fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), WsError> {
                self.handle.with(|connection| connection.start_send(message))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
                self.handle.with(|connection| connection.poll_flush(cx))
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), WsError>> {
                self.handle.with(|connection| {
                    connection.start_close(close_code::NORMAL);
                    connection.poll_flush(cx)
                })
            }
        }
    };
}

receiving!(WebSocket);
receiving!(WebSocketReceiver);
sending!(WebSocket);
sending!(WebSocketSender);
