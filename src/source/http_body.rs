//! Bodies of requests, within bounds. Knows no format.

use std::io::Read;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, HeaderName};
use flate2::read::MultiGzDecoder;

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// Larger than the bound.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The sender broke off, or sent what is no HTTP.
    #[error("the body could not be read: {0}")]
    Broken(axum::Error),
    /// Not what its content encoding says.
    #[error("the body is not gzip: {0}")]
    Gzip(std::io::Error),
}

/// A header's value, if it is there; of bytes that are no text a question mark, which is no valid value.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|v| v.to_str().unwrap_or("?"))
}

/// Reads a body of at most `bound` bytes; one whose length is announced to be more is not read at all.
pub(super) async fn read(headers: &HeaderMap, body: Body, bound: usize) -> Result<Bytes, BodyError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|n| n > bound) {
        return Err(BodyError::TooLarge(bound));
    }
    to_bytes(body, bound).await.map_err(|e| {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
        while let Some(error) = cause {
            if error.to_string().contains("length limit exceeded") {
                return BodyError::TooLarge(bound);
            }
            cause = error.source();
        }
        BodyError::Broken(e)
    })
}

/// Unpacks gzip, up to `bound` bytes.
pub(super) fn gunzip(packed: &[u8], bound: usize) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::with_capacity(bound.min(packed.len().saturating_mul(4)));
    let limit = u64::try_from(bound).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(packed).take(limit).read_to_end(&mut bytes).map_err(BodyError::Gzip)?;
    if bytes.len() > bound {
        return Err(BodyError::TooLarge(bound));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_bomb_ends_at_the_bound() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(gunzip(&packed, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(gunzip(&packed, (1 << 20) - 1), Err(BodyError::TooLarge(_))));
        assert!(matches!(gunzip(&packed[..20], 1 << 20), Err(BodyError::Gzip(_))));
        assert!(matches!(gunzip(b"no gzip", 100), Err(BodyError::Gzip(_))));
    }
}
