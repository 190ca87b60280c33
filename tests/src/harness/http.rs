//! The one HTTP request that tests make of published ports and small servers.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);

/// `GET http://127.0.0.1:<port><path>` on a connection of its own: the status and the whole body.
pub async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    tokio::time::timeout(TIMEOUT, request(port, path))
        .await
        .with_context(|| format!("no answer from port {port} within {TIMEOUT:?}"))?
}

async fn request(port: u16, path: &str) -> Result<(u16, String)> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .context("connecting")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Its errors reach the sender as well; it ends with the sender.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("Host", "localhost")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("asking")?;
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .collect()
        .await
        .context("reading the answer")?
        .to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}
