//! The files with secrets and certificates that a configuration names, so that one that is missing is found before the first
//! alert needs it. Pure; whether they are there is asked elsewhere.

use crate::http_client::NamedFile;

use super::config::Config;

/// All of them, each with its setting.
#[must_use]
pub fn named_files(config: &Config) -> Vec<NamedFile> {
    let mut all = Vec::new();
    let mut add = |block: &str, files: Vec<NamedFile>| all.extend(files.into_iter().map(|file| file.within(block)));
    for (i, alertmanager) in config.alerting.alertmanagers.iter().enumerate() {
        add(&format!("alerting.alertmanagers[{i}]"), alertmanager.http().files());
    }
    for (i, receiver) in config.remote_write.iter().enumerate() {
        add(&format!("remote_write[{i}]"), receiver.http().files());
    }
    for scrape in &config.scrape_configs {
        add(&format!("scrape_configs[{:?}]", scrape.job_name), scrape.http().files());
    }
    for kafka in &config.sources.kafka {
        add(&format!("sources.kafka[{:?}]", kafka.name), kafka.connection().files());
    }
    if let Some(prometheus) = &config.warm_up.prometheus {
        add("warm_up.prometheus.http_config", prometheus.http_config.files());
    }
    for (i, sink) in config.sinks.iter().enumerate() {
        add(&format!("sinks[{i}]"), sink.files());
    }
    add("tracing.http_config", config.tracing.http_config.files());
    add("web", config.web.files());
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_named_with_its_setting() {
        let yaml = "
alerting: {alertmanagers: [{static_configs: [{targets: ['a:9093']}], basic_auth: {username: u, password_file: f1}}]}
scrape_configs: [{job_name: j, bearer_token_file: f2}]
sources:
  kafka:
    - {name: k, brokers: ['k:1'], topics: [{name: t, decoder: remote_write}], tls: {ca_file: f3},
       sasl: {mechanism: PLAIN, username: u, password_file: f4}}
warm_up: {prometheus: {url: 'http://p', http_config: {tls_config: {ca_file: f5}}}}
remote_write: [{url: 'http://r', authorization: {credentials_file: f13}}]
tracing: {http_config: {authorization: {credentials_file: f6}}}
web: {tls_server_config: {cert_file: f14, key_file: f15, client_ca_file: f16, client_auth_type: RequireAndVerifyClientCert}}
sinks:
  - stdout: {}
  - webhook: {url_file: f7, http_config: {tls_config: {cert_file: f8, key_file: f9}}}
  - grafana: {url: 'http://g', http_config: {authorization: {credentials_file: f10}}}
  - kafka: {brokers: ['k:1'], topic: a, tls: {ca_file: f11}, sasl: {mechanism: PLAIN, username: u, password_file: f12}}";
        let config = Config::parse(yaml, Path::new("/etc")).unwrap();
        let mut got: Vec<(String, String)> =
            named_files(&config).into_iter().map(|f| (f.setting, f.path.display().to_string())).collect();
        got.sort_by_key(|(_, path)| path["/etc/f".len()..].parse::<u32>().unwrap());
        let want = [
            "alerting.alertmanagers[0].basic_auth.password_file",
            "scrape_configs[\"j\"].bearer_token_file",
            "sources.kafka[\"k\"].tls.ca_file",
            "sources.kafka[\"k\"].sasl.password_file",
            "warm_up.prometheus.http_config.tls_config.ca_file",
            "tracing.http_config.authorization.credentials_file",
            "sinks[1].webhook.url_file",
            "sinks[1].webhook.http_config.tls_config.cert_file",
            "sinks[1].webhook.http_config.tls_config.key_file",
            "sinks[2].grafana.http_config.authorization.credentials_file",
            "sinks[3].kafka.tls.ca_file",
            "sinks[3].kafka.sasl.password_file",
            "remote_write[0].authorization.credentials_file",
            "web.tls_server_config.cert_file",
            "web.tls_server_config.key_file",
            "web.tls_server_config.client_ca_file",
        ];
        assert_eq!(got.iter().map(|(setting, _)| setting.as_str()).collect::<Vec<_>>(), want);
    }
}
