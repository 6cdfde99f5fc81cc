//! `google.rpc.Status`, in which OTLP tells what went wrong, with `google.rpc.RetryInfo`, which says when to come again.
//!
//! <https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto>, `error_details.proto`. Knows no transport.

use prost::Message;
use tonic::Code;

use super::{BodyError, OtlpError, RETRY_AFTER, Refusal};

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Duration {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

impl RpcStatus {
    /// What a refusal is told as.
    pub(super) fn of(refusal: &Refusal) -> Self {
        let code = code(refusal);
        let mut details = Vec::new();
        if code == Code::Unavailable {
            let seconds = i64::try_from(RETRY_AFTER.as_secs()).unwrap_or(i64::MAX);
            let value = RetryInfo { retry_delay: Some(Duration { seconds }) }.encode_to_vec();
            details.push(Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value });
        }
        Self { code: code as i32, message: refusal.to_string(), details }
    }

    /// The same in JSON. OTLP leaves the details out of what HTTP clients must understand; they have `Retry-After`.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({"code": self.code, "message": self.message})
    }
}

/// The gRPC code; of those that occur here only `UNAVAILABLE` makes a sender come again.
pub(super) fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::ComeAgain(_) => Code::Unavailable,
        Refusal::Body(BodyError::TooLarge(_)) | Refusal::Malformed(OtlpError::TooLarge { .. }) => {
            Code::ResourceExhausted
        }
        Refusal::ContentType(_) | Refusal::Encoding(_) | Refusal::Body(_) | Refusal::Malformed(_) => {
            Code::InvalidArgument
        }
        Refusal::Decoder => Code::Internal,
    }
}
