//! A real OpenTelemetry Collector (`scripts/build-collector.sh`) with a configuration of the test's own.

use super::peer::{Peer, built};

impl Peer {
    /// A Collector; None where it has not been built. `{health}` in the configuration is where it says that it runs.
    pub async fn collector(config: &str) -> Option<Self> {
        let program = built("FOREWARN_COLLECTOR", "bin-collector/otelcol");
        let config = config.to_owned();
        let args = move |address: &str, dir: &std::path::Path| {
            let file = dir.join("collector.yml");
            // Its own metrics serve as the sign of life: there is no extension for health in this build.
            let (host, port) = address.split_once(':').unwrap();
            let telemetry = format!(
                "\n  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: {host}, port: {port}}}}}}}}}]}}}}\n"
            );
            std::fs::write(&file, format!("{}{telemetry}", config.trim_end())).unwrap();
            vec![format!("--config=file:{}", file.display())]
        };
        Self::start(&program, "/metrics", None, args).await
    }
}
