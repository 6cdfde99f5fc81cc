//! GET and POST by hand, so that a test does not ask forewarn's own client whether forewarn's client works.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of `http://<address><path>`; None where nobody answers. HTTP/1.0, so that nothing comes in chunks.
pub async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    tokio::time::timeout(Duration::from_secs(10), exchange("GET", address, path)).await.ok()?
}

/// As [`get`], an empty POST.
pub async fn post(address: &str, path: &str) -> Option<(u16, String)> {
    tokio::time::timeout(Duration::from_secs(60), exchange("POST", address, path)).await.ok()?
}

/// The body of a 200 as JSON.
pub async fn get_json(address: &str, path: &str) -> Option<serde_json::Value> {
    let (status, body) = get(address, path).await?;
    assert_eq!(status, 200, "{path}: {body}");
    Some(serde_json::from_str(&body).unwrap())
}

async fn exchange(method: &str, address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
