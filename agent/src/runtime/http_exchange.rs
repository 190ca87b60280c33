//! One HTTP/1 request over one connection, driven by the caller's own future: no pool, no task that
//! outlives it, a bounded answer.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends the request. The body is `None` if it broke off or is longer than `longest`.
pub(super) async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
    longest: usize,
) -> Result<Response<Option<Bytes>>, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let mut exchange = std::pin::pin!(async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, longest).collect().await.ok();
        Ok(Response::from_parts(
            head,
            body.map(http_body_util::Collected::to_bytes),
        ))
    });
    // Both are polled until the exchange is over; nothing is lost by either arm.
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        closed = connection => {
            // The answer may have come whole before the connection closed.
            let answer = exchange.await;
            match (closed, answer) {
                (Err(error), Err(_)) => Err(error), // the cause, not its echo
                (_, answer) => answer,
            }
        }
    }
}
