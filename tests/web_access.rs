//! TLS and users of the ports: a real Prometheus and a real Collector get in with certificate and password, others do not.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, Client, Identity};
use support::authority::Authority;
use support::eventually;
use support::peer::{Peer, free_address};
use support::process::Forewarn;

const GENEROUS: Duration = Duration::from_secs(60);

/// `web` with TLS that asks for clients' certificates, and a user.
fn web() -> String {
    let hash = bcrypt::hash("let me in", 6).unwrap();
    format!(
        "tls_server_config: {{cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, \
         client_auth_type: RequireAndVerifyClientCert}}, basic_auth_users: {{sender: '{hash}'}}"
    )
}

/// Everything that both sides need, in one folder.
fn papers(authority: &Authority, dir: &Path) {
    authority.write(&dir.join("ca.pem"));
    authority.write_issued(dir, "server", "127.0.0.1");
    authority.write_issued(dir, "client", "a sender");
}

fn client(dir: &Path, shows_certificate: bool) -> Client {
    // The same as the program's; an error says that it is installed already.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    let trusted = Certificate::from_pem(&read("ca.pem")).unwrap();
    let builder = Client::builder().tls_certs_only([trusted]);
    if !shows_certificate {
        return builder.build().unwrap();
    }
    let pem = [read("client.pem"), read("client.key")].concat();
    builder.identity(Identity::from_pem(&pem).unwrap()).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_with_certificate_and_password_get_in() {
    let authority = Authority::new();
    let (grpc, http) = (free_address(), free_address());
    let sources = format!("sources: {{remote_write: {{}}, otlp: {{grpc_address: '{grpc}', http_address: '{http}'}}}}");
    let forewarn = Forewarn::start_secured(&sources, &web(), |dir| papers(&authority, dir)).await;
    let dir = forewarn.dir().display();
    let tls = format!("{{ca_file: {dir}/ca.pem, cert_file: {dir}/client.pem, key_file: {dir}/client.key}}");
    let basic = STANDARD.encode("sender:let me in");

    let prometheus = Peer::prometheus(
        &format!(
            "global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: self, static_configs: [{{targets: ['localhost:1']}}]}}]
remote_write:
  - url: https://{}/api/v1/write
    tls_config: {tls}
    basic_auth: {{username: sender, password: 'let me in'}}
",
            forewarn.address
        ),
        &[],
    )
    .await;
    let collector = Peer::collector(&format!(
        "receivers:
  hostmetrics: {{collection_interval: 1s, scrapers: {{load: {{}}}}}}
exporters:
  otlp: {{endpoint: '{grpc}', tls: {tls}, headers: {{authorization: 'Basic {basic}'}}}}
  otlphttp: {{endpoint: 'https://{http}', tls: {tls}, headers: {{authorization: 'Basic {basic}'}}}}
service:
  pipelines:
    metrics: {{receivers: [hostmetrics], exporters: [otlp, otlphttp]}}
"
    ))
    .await;

    let client = client(forewarn.dir(), true);
    let metric = async |series: &str| {
        let url = format!("https://{}/metrics", forewarn.address);
        let text = client.get(url).basic_auth("sender", Some("let me in")).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse::<f64>().ok());
        line.unwrap_or(0.0)
    };
    for (peer, source, answers) in [(&prometheus, "remote_write", 2.0), (&collector, "otlp", 4.0)] {
        if peer.is_none() {
            continue;
        }
        let code = if source == "otlp" { "200" } else { "204" };
        let series = format!("forewarn_source_requests_total{{code=\"{code}\",source=\"{source}\"}}");
        eventually(source, GENEROUS, async || (metric(&series).await >= answers).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not() {
    let authority = Authority::new();
    let http = free_address();
    let sources = format!("sources: {{remote_write: {{}}, otlp: {{grpc_address: '', http_address: '{http}'}}}}");
    let forewarn = Forewarn::start_secured(&sources, &web(), |dir| papers(&authority, dir)).await;
    let (known, unknown) = (client(forewarn.dir(), true), client(forewarn.dir(), false));
    for (address, path) in
        [(&forewarn.address, "/api/v1/write"), (&forewarn.address, "/-/healthy"), (&http, "/v1/metrics")]
    {
        let url = format!("https://{address}{path}");
        assert!(
            unknown.get(&url).basic_auth("sender", Some("let me in")).send().await.is_err(),
            "no certificate: {path}"
        );
        assert_eq!(support::http::get(address, path).await, None, "plain HTTP: {path}");
        for user in [None, Some(("sender", "guess")), Some(("other", "let me in"))] {
            let request = user.iter().fold(known.get(&url), |r, (name, password)| r.basic_auth(name, Some(password)));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 401, "{path} {user:?}");
            assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic realm"), "{path}");
        }
        let answer = known.get(&url).basic_auth("sender", Some("let me in")).send().await.unwrap();
        assert_ne!(answer.status(), 401, "{path}");
    }
    let metrics = known.get(format!("https://{}/metrics", forewarn.address)).basic_auth("sender", Some("let me in"));
    let shown = metrics.send().await.unwrap().text().await.unwrap();
    let refused = "forewarn_http_refused_total{reason=\"unauthorized\"} 9\n";
    assert!(shown.contains(refused), "three at each, whatever the port: {shown}");
    let stranger = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    papers(&stranger, dir.path());
    authority.write(&dir.path().join("ca.pem"));
    let url = format!("https://{}/-/healthy", forewarn.address);
    let forged = client(dir.path(), true).get(url).basic_auth("sender", Some("let me in")).send().await;
    assert!(forged.is_err(), "a certificate of another authority");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_needs_no_restart_and_a_broken_one_stops_nobody() {
    let (before, after) = (Authority::new(), Authority::new());
    let web = "tls_server_config: {cert_file: server.pem, key_file: server.key}";
    let forewarn = Forewarn::start_secured("", web, |dir| papers(&before, dir)).await;
    let dir = forewarn.dir();
    let healthy = async |client: &Client| {
        let answer = client.get(format!("https://{}/-/healthy", forewarn.address)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    };
    // Each question needs a connection of its own.
    let trusts_before = || client(dir, false);
    assert!(healthy(&trusts_before()).await);
    std::fs::write(dir.join("server.key"), "no key").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(healthy(&trusts_before()).await, "the former pair serves on");
    assert!(forewarn.stderr().contains("server.key") && !forewarn.stderr().contains("no key"), "{}", forewarn.stderr());
    papers(&after, dir);
    eventually("the renewed certificate", GENEROUS, async || healthy(&client(dir, false)).await.then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_gets_in_with_what_a_file_says() {
    let authority = Authority::new();
    let forewarn = Forewarn::start_secured("", &web(), |dir| papers(&authority, dir)).await;
    let settings = "tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}
basic_auth: {username: sender, password: let me in}";
    std::fs::write(forewarn.dir().join("client.yml"), settings).unwrap();
    let explain = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        let url = format!("https://{}", forewarn.address);
        command.args(["explain", "NoSuchRule", "--url", &url]).args(args).current_dir(forewarn.dir());
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let known = explain(&["--http.config.file", "client.yml"]);
    assert!(known.contains("NoSuchRule"), "the answer of the server: {known}");
    let stranger = explain(&[]);
    assert!(stranger.contains("certificate") && !stranger.contains("NoSuchRule"), "{stranger}");
}

#[test]
fn papers_that_do_not_hold_what_they_should_are_found_by_the_check() {
    let dir = tempfile::tempdir().unwrap();
    let config = "web: {tls_server_config: {cert_file: server.pem, key_file: server.key}}";
    std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
        let output = command.args(["check", "config", "forewarn.yml"]).current_dir(dir.path()).output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (passes, text) = check();
    assert!(passes && text.contains("does not start until this file can be read"), "they may come later: {text}");
    Authority::new().write_issued(dir.path(), "server", "127.0.0.1");
    assert!(check().0, "{}", check().1);
    Authority::new().write_issued(dir.path(), "other", "127.0.0.1");
    std::fs::rename(dir.path().join("other.key"), dir.path().join("server.key")).unwrap();
    let (passes, text) = check();
    assert!(!passes && text.contains("web.tls_server_config.key_file"), "another pair's key: {text}");
}

#[test]
fn papers_that_are_not_there_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = "web: {listen_address: '127.0.0.1:0', tls_server_config: {cert_file: gone.pem, key_file: gone.key}}";
    std::fs::write(dir.path().join("forewarn.yml"), config).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_forewarn"))
        .args(["run", "--config.file", "forewarn.yml"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success());
    assert!(said.contains("web.tls_server_config.cert_file") && said.contains("gone.pem"), "{said}");
}
