//! GET and POST by hand, so that a test does not ask forewarn's own client whether forewarn's client works.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Status and body of `http://<address><path>`; None where nobody answers. HTTP/1.0, so that nothing comes in chunks.
pub async fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    tokio::time::timeout(Duration::from_secs(10), exchange(address, request.as_bytes())).await.ok()?
}

/// Status and body of a POST with these header lines.
pub async fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<(u16, String)> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!("POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n");
    let request = [head.as_bytes(), body].concat();
    tokio::time::timeout(Duration::from_secs(60), exchange(address, &request)).await.ok()?
}

/// The body of a 200 as JSON.
pub async fn get_json(address: &str, path: &str) -> Option<serde_json::Value> {
    let (status, body) = get(address, path).await?;
    assert_eq!(status, 200, "{path}: {body}");
    Some(serde_json::from_str(&body).unwrap())
}

async fn exchange(address: &str, request: &[u8]) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
