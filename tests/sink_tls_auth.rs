//! TLS with a private certificate authority, credentials from files that change and proxies.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::time::Duration;

use support::alerts::{Sinks, firing, now};
use support::authority::Authority;
use support::eventually;
use support::receiver::{Answer, Receiver};

const SOON: Duration = Duration::from_secs(10);

fn https(address: &str, tls: &str) -> String {
    format!(
        "- alertmanager: {{scheme: https, timeout: 2s, tls_config: {tls}, static_configs: [{{targets: ['{address}']}}]}}\n"
    )
}

async fn delivered(sinks: &Sinks) {
    eventually("delivery", SOON, async || {
        (sinks.metric("forewarn_sink_notifications_total", &[]) == 1.0).then_some(())
    })
    .await;
}

async fn failed(sinks: &Sinks, reason: &str) {
    eventually(reason, SOON, async || (sinks.metric("forewarn_sink_errors_total", &[reason]) >= 1.0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, ca) = (Authority::new(), dir.path().join("ca.pem"));
    authority.write(&ca);
    let ca = ca.display();
    let server = Receiver::tls(authority.acceptor("127.0.0.1", false), |_, _| Answer::Status(200)).await;
    let other_name = Receiver::tls(authority.acceptor("am.internal", false), |_, _| Answer::Status(200)).await;
    for (address, tls, trusted) in [
        (&server.address, format!("{{ca_file: '{ca}'}}"), true),
        (&server.address, "{insecure_skip_verify: true}".to_owned(), true),
        (&server.address, "{}".to_owned(), false),
        (&other_name.address, format!("{{ca_file: '{ca}'}}"), false),
        (&other_name.address, format!("{{ca_file: '{ca}', server_name: am.internal}}"), true),
        (&server.address, format!("{{ca_file: '{ca}', server_name: am.internal}}"), false),
    ] {
        let sinks = Sinks::start(&https(address, &tls));
        sinks.send([firing("A", now())]);
        if trusted {
            delivered(&sinks).await;
        } else {
            // "client_setup" on a machine that has no certificate authorities at all.
            eventually("an error", SOON, async || {
                let errors = sinks.metric("forewarn_sink_errors_total", &[]);
                let named = sinks.metric("forewarn_sink_errors_total", &["connect"])
                    + sinks.metric("forewarn_sink_errors_total", &["client_setup"]);
                (errors >= 1.0 && errors == named).then_some(())
            })
            .await;
            assert_eq!(sinks.metric("forewarn_sink_notifications_total", &[]), 0.0, "{tls}");
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_taken_up_when_it_is_put_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let authority = Authority::new();
    authority.write(&file("ca.pem"));
    let server = Receiver::tls(authority.acceptor("127.0.0.1", true), |_, _| Answer::Status(200)).await;
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|n| file(n).display().to_string());
    let tls = format!("{{ca_file: '{ca}', cert_file: '{cert}', key_file: '{key}'}}");
    let sinks = Sinks::start(&https(&server.address, &tls));
    sinks.send([firing("A", now())]);
    failed(&sinks, "client_setup").await;
    // A stranger's certificate is refused.
    let (stranger, stranger_key) = Authority::new().issue("forewarn");
    std::fs::write(file("key.pem"), stranger_key.serialize_pem()).unwrap();
    std::fs::write(file("cert.pem"), stranger.pem()).unwrap();
    eventually("a refused handshake", SOON, async || {
        let errors = |reason| sinks.metric("forewarn_sink_errors_total", &[reason]);
        (errors("connect") + errors("connection_lost") >= 1.0).then_some(())
    })
    .await;
    let (own, own_key) = authority.issue("forewarn");
    std::fs::write(file("key.pem"), own_key.serialize_pem()).unwrap();
    std::fs::write(file("cert.pem"), own.pem()).unwrap();
    delivered(&sinks).await;
}

#[tokio::test]
async fn credentials_are_sent_and_read_anew_at_every_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let path = file.display();
    let cases = [
        // Basic: "me:first", "me:second" in base64.
        (
            format!("basic_auth: {{username: me, password_file: '{path}'}}"),
            ["Basic bWU6Zmlyc3Q=", "Basic bWU6c2Vjb25k"],
        ),
        (format!("bearer_token_file: '{path}'"), ["Bearer first", "Bearer second"]),
        (format!("authorization: {{type: Token, credentials_file: '{path}'}}"), ["Token first", "Token second"]),
    ];
    for (setting, headers) in cases {
        std::fs::write(&file, "first\n").unwrap();
        let server = Receiver::answering(move |_, request| {
            let sent = request.headers.get("authorization").map(|h| h.to_str().unwrap().to_owned());
            // As Prometheus' peers do while a secret is rotated: the old one is refused, with patience.
            Answer::Status(if sent.as_deref() == Some(headers[1]) { 200 } else { 503 })
        })
        .await;
        let yaml = format!("- alertmanager: {{{setting}, static_configs: [{{targets: ['{}']}}]}}\n", server.address);
        let sinks = Sinks::start(&yaml);
        sinks.send([firing("A", now())]);
        failed(&sinks, "server_error").await;
        assert_eq!(server.received()[0].headers["authorization"], headers[0]);
        std::fs::remove_file(&file).unwrap();
        failed(&sinks, "client_setup").await;
        std::fs::write(&file, "second\n").unwrap();
        delivered(&sinks).await;
    }
}

#[tokio::test]
async fn a_proxy_is_used_where_it_is_named() {
    let proxy = Receiver::start().await;
    let sinks = Sinks::start(&format!(
        "- alertmanager: {{proxy_url: 'http://{}', static_configs: [{{targets: ['alertmanager.invalid:9093']}}]}}\n",
        proxy.address
    ));
    sinks.send([firing("A", now())]);
    delivered(&sinks).await;
    let request = &proxy.received()[0];
    assert_eq!(request.headers["host"], "alertmanager.invalid:9093");
    assert_eq!(request.path, "/api/v2/alerts");
}
