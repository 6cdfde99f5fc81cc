//! A single sample by remote write.

use std::time::Duration;

use forewarn::base::encode::{compress, encode_write_request};
use forewarn::base::{BatchBuilder, Limits, Millis};

use super::{eventually, http};

const SOON: Duration = Duration::from_secs(30);

/// One of the series of this name without labels, until it is taken.
pub async fn write(address: &str, name: &str, t: Millis, value: f64) {
    let mut builder = BatchBuilder::new(&Limits::default());
    builder.label("__name__", name);
    builder.end_labels().unwrap();
    builder.sample(t, value);
    let body = compress(&encode_write_request(&builder.finish()));
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    // A machine under load may ask to come again: its disk is waited for.
    eventually("a sample taken", SOON, async || {
        let (status, answer) = http::post(address, "/api/v1/write", &headers, &body).await?;
        assert!(status / 100 == 2 || status == 503, "{status}: {answer}");
        (status / 100 == 2).then_some(())
    })
    .await;
}
