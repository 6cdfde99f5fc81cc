//! `sinks: log only` and `--dry-run`, over the whole process: nobody is told, what waits for receivers stays where it is, and
//! the next real run tells them of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;
use support::eventually;
use support::receiver::{Answer, Receiver};
use support::victim::Victim;

const SOON: Duration = Duration::from_secs(60);

/// These alerts fire from the first tick on, and a series is recorded.
fn rules(alerts: &[&str]) -> String {
    let rules: String = alerts.iter().map(|a| format!("      - {{alert: {a}, expr: 'vector(1) > 0'}}\n")).collect();
    format!("groups:\n  - name: g\n    rules:\n      - {{record: 'one:one', expr: 'vector(1)'}}\n{rules}")
}

/// Everything but the sinks. Without samples event time follows the clock.
fn config(alertmanager: &Receiver, sinks: &str) -> String {
    format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1s}}}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\nsinks: {sinks}",
        alertmanager.address
    )
}

/// Names of the alerts that the requests have told of.
fn told(receiver: &Receiver) -> BTreeSet<String> {
    let alerts = |body: Value| body.as_array().cloned().or_else(|| body["alerts"].as_array().cloned()).unwrap();
    receiver
        .bodies()
        .into_iter()
        .flat_map(alerts)
        .map(|a| a["labels"]["alertname"].as_str().unwrap().to_owned())
        .collect()
}

/// Names of the alerts whose firing a process has printed.
fn printed(victim: &Victim, life: usize) -> BTreeSet<String> {
    let lines = victim.lines_of(life);
    let fired = lines.iter().filter(|line| line["to"] == "firing");
    fired.map(|line| line["rule"]["alert"].as_str().unwrap().to_owned()).collect()
}

/// What waits on disk, by sink.
fn waiting(victim: &Victim) -> Vec<(String, u64)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forewarn"));
    let output = command.args(["state", "inspect", "--json"]).arg(victim.state()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sinks = report["outbox"]["sinks"].as_array().cloned().unwrap_or_default();
    sinks.iter().map(|s| (s["sink"].as_str().unwrap().to_owned(), s["entries"].as_u64().unwrap())).collect()
}

async fn runs(victim: &mut Victim, further: &[&str]) {
    victim.launch_with(further);
    victim.answers().await;
    victim.ready(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_and_what_waits_stays() {
    let back = Arc::new(AtomicBool::new(false));
    let answer = |back: &Arc<AtomicBool>| {
        let back = Arc::clone(back);
        move |_: usize, _: &_| Answer::Status(if back.load(Relaxed) { 200 } else { 503 })
    };
    let alertmanager = Receiver::answering(answer(&back)).await;
    let pager = Receiver::answering(answer(&back)).await;
    // Not a broker; who connects shows.
    let kafka = TcpListener::bind("127.0.0.1:0").unwrap();
    kafka.set_nonblocking(true).unwrap();
    let real = format!("[webhook: {{name: pager, url: 'http://{}/'}}]", pager.address);

    let mut victim =
        Victim::new(&config(&alertmanager, &real), &rules(&["Real"]), "dir: state, checkpoint_interval: 500ms");
    runs(&mut victim, &[]).await;
    let sinks = [format!("alertmanager/{}", alertmanager.address), "pager".to_owned()];
    eventually("attempts", SOON, async || {
        (told(&alertmanager).len() == 1 && told(&pager).len() == 1 && waiting(&victim).len() == 2).then_some(())
    })
    .await;
    victim.kill();
    let kept = waiting(&victim);
    assert_eq!(kept, sinks.clone().map(|name| (name, 1)));
    let attempts = (alertmanager.received().len(), pager.received().len());

    // Both ways to say it; the second with receivers, and a topic of recorded series, in the configuration.
    let address = kafka.local_addr().unwrap();
    let both = format!(
        "[webhook: {{name: pager, url: 'http://{}/'}}, kafka: {{brokers: ['{address}'], topic: t, \
         recorded: {{topic: r, format: json_lines}}}}]",
        pager.address
    );
    for (alert, sinks, further, shown) in
        [("LogOnly", "log only", &[][..], 1), ("DryRun", both.as_str(), &["--dry-run"], 3)]
    {
        std::fs::write(victim.dir().join("rules.yml"), rules(&["Real", alert])).unwrap();
        victim.configure(&config(&alertmanager, sinks));
        runs(&mut victim, further).await;
        let said = |log: &str| log.lines().filter(|l| l.contains("dry run: not sent") && l.contains(alert)).count();
        let life = victim.killer().life();
        eventually("what would be sent", SOON, async || (said(&victim.stderr_of(life)) >= shown).then_some(())).await;
        // Some more ticks, checkpoints, and the end.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let recorded = victim.metric("forewarn_outbox_accept_seconds_count").await;
        assert_eq!(recorded, Some(0.0), "the outbox was written");
        victim.end(SOON).await;
        assert_eq!(said(&victim.stderr_of(life)), shown);
        assert!(printed(&victim, life).contains(alert), "on standard output, too");
        assert_eq!(waiting(&victim), kept);
        assert_eq!((alertmanager.received().len(), pager.received().len()), attempts);
        assert!(kafka.accept().is_err(), "somebody has asked for a broker");
    }

    // The real run tells of what waited, and of what began in between and holds.
    back.store(true, Relaxed);
    victim.configure(&config(&alertmanager, &real));
    runs(&mut victim, &[]).await;
    eventually("an empty outbox", SOON, async || {
        let mut left = 0.0;
        for name in &sinks {
            left += victim.metric(&format!("forewarn_outbox_entries{{sink=\"{name}\"}}")).await?;
        }
        (left == 0.0 && alertmanager.received().len() > attempts.0 && pager.received().len() > attempts.1).then_some(())
    })
    .await;
    for receiver in [&alertmanager, &pager] {
        assert!(told(receiver).contains("Real"));
        assert!(!told(receiver).contains("LogOnly"), "its rule is gone");
    }
    victim.end(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_log_is_as_quiet_as_on_a_terminal_standard_output_shows_what_would_be_told() {
    let (alertmanager, pager) = (Receiver::start().await, Receiver::start().await);
    let sinks = format!("[webhook: {{name: pager, url: 'http://{}/'}}]", pager.address);
    let mut victim = Victim::new(&config(&alertmanager, &sinks), &rules(&["Quiet"]), "");
    runs(&mut victim, &["--dry-run", "--log.level", "warn"]).await;
    eventually("a line", SOON, async || printed(&victim, 0).contains("Quiet").then_some(())).await;
    victim.end(SOON).await;
    assert_eq!(victim.lines_of(0).len(), 1, "told once");
    assert!(!victim.stderr_of(0).contains("Quiet"), "{}", victim.stderr_of(0));
    assert_eq!((alertmanager.received().len(), pager.received().len()), (0, 0));
}
