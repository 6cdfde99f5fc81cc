//! The queue of finished spans, bounded and counted: the SDK's own says neither how full it is nor what it drops.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};
use prometheus::{IntCounter, IntGauge};

/// Hands spans to the SDK's queue as long as that has room.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) spans: BatchSpanProcessor,
    /// Room of the SDK's queue.
    pub(super) capacity: i64,
    /// Spans in it. The exporter takes out what it gets.
    pub(super) waiting: IntGauge,
    /// Spans there was no room for.
    pub(super) overflow: IntCounter,
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.spans.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.get() >= self.capacity {
            return self.overflow.inc();
        }
        self.waiting.inc();
        self.spans.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.spans.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.spans.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.spans.set_resource(resource);
    }
}
