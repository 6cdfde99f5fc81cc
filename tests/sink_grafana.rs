//! The Grafana sink against a strict fake of its annotations API: a region for every alert, never two, whatever fails.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forewarn::alert::Transition;
use forewarn::sink::outbox::Outbox;
use prometheus::Registry;
use support::alerts::{Sinks, firing, now, resent, resolved};
use support::eventually;
use support::grafana::{DASHBOARD, FORBIDDEN, Fault, Grafana, TOKEN};
use support::input::{Input, RULES};
use support::victim::Victim;

const SOON: Duration = Duration::from_secs(15);

fn sink_to(grafana: &Grafana, more: &str) -> String {
    format!(
        "- grafana: {{url: 'http://{}', timeout: 500ms, requests_per_second: 1000, \
         http_config: {{authorization: {{credentials: {TOKEN}}}}}{more}}}\n",
        grafana.address
    )
}

async fn until_delivered(sinks: &Sinks, alerts: f64) {
    let delivered = || sinks.metric("forewarn_sink_notifications_total", &["grafana"]);
    eventually("delivery", SOON, async || (delivered() >= alerts).then_some(())).await;
}

fn with_notes(transition: Transition, notes: &[(&str, &str)]) -> Transition {
    let annotations = notes.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
    Transition { annotations, ..transition }
}

#[tokio::test]
async fn an_alert_becomes_a_region() {
    let grafana = Grafana::start().await;
    grafana.want_org("3");
    let sinks = Sinks::start(&sink_to(&grafana, ", org_id: 3, tags: [forewarn, prod]"));
    let at = now() - 60_000;
    sinks.send([firing("Down", at)]);
    until_delivered(&sinks, 1.0).await;
    let kept = grafana.kept();
    assert_eq!((kept.len(), kept[0].time, kept[0].time_end), (1, at, at));
    assert_eq!(
        kept[0].tags[1..],
        ["forewarn", "prod", "alertname:Down", "severity:page", "cluster:test", "instance:a-9100"]
    );
    assert!(kept[0].text.contains("Down is down") && kept[0].text.contains("/graph?g0.expr=up"), "{}", kept[0].text);
    sinks.send([resolved("Down", at, at + 30_000)]);
    until_delivered(&sinks, 2.0).await;
    let closed = grafana.kept();
    assert_eq!((closed.len(), closed[0].time, closed[0].time_end), (1, at, at + 30_000));
    assert_eq!((&closed[0].text, &closed[0].tags), (&kept[0].text, &kept[0].tags), "nothing else has changed");
    // The next time is another annotation.
    sinks.send([firing("Down", at + 40_000), resolved("Down", at + 40_000, at + 50_000)]);
    until_delivered(&sinks, 4.0).await;
    let regions: Vec<_> = grafana.kept().iter().map(|k| (k.time - at, k.time_end - at)).collect();
    assert_eq!(regions, [(0, 30_000), (40_000, 50_000)]);
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}

/// Marks the instant that is written `time`.
fn marking(transition: Transition, time: &str) -> Transition {
    with_notes(transition, &[("summary", "Another level"), ("__point__", "true"), ("__time__", time)])
}

#[tokio::test]
async fn an_alert_that_marks_an_instant_becomes_a_point_and_stays_one() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() / 1000 * 1000 - 60_000;
    let began = at - 120_000;
    // As a template prints $value.
    let time = format!("{:e}", (began / 1000) as f64);
    sinks.send([Transition { value: (began / 1000) as f64, ..marking(firing("Changed", at), &time) }]);
    until_delivered(&sinks, 1.0).await;
    let kept = grafana.kept();
    assert_eq!((kept.len(), kept[0].time, kept[0].time_end), (1, began, began));
    assert!(kept[0].text.starts_with("<b>Changed</b><br>Another level<br><a href"), "{}", kept[0].text);
    // Neither repetition nor end touches it.
    sinks.send([
        marking(resent("Changed", at, at + 30_000), &time),
        marking(resolved("Changed", at, at + 40_000), &time),
        firing("Last", at),
    ]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(grafana.kept()[..1], kept);
    assert_eq!((grafana.count("POST"), grafana.count("PATCH"), grafana.count("DELETE")), (2, 0, 0));
    // Fires again for the same change: it is there.
    sinks.send([marking(firing("Changed", at + 50_000), &time)]);
    until_delivered(&sinks, 3.0).await;
    assert_eq!(grafana.kept().len(), 2);
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
}

#[tokio::test]
async fn another_instant_of_the_same_alert_is_another_point() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() / 1000 * 1000 - 600_000;
    let time = |t: i64| (t / 1000).to_string();
    let (first, second, third) = (at - 60_000, at + 100_000, at + 300_000);
    sinks.send([
        marking(firing("Changed", at), &time(first)),
        marking(resent("Changed", at, at + 60_000), &time(first)),
        marking(resent("Changed", at, at + 180_000), &time(second)),
        marking(resent("Changed", at, at + 240_000), &time(second)),
    ]);
    let points = async |wanted: usize| {
        eventually("points", SOON, async || (grafana.kept().len() == wanted).then_some(())).await;
        grafana.kept().iter().map(|k| k.time).collect::<Vec<_>>()
    };
    assert_eq!(points(2).await, [first, second]);
    // Somebody has deleted them: what repeats the newest does not bring it back. One that the end tells of is made.
    until_delivered(&sinks, 3.0).await;
    grafana.clear();
    sinks.send([marking(resent("Changed", at, at + 290_000), &time(second)), firing("Last", at)]);
    until_delivered(&sinks, 5.0).await;
    assert_eq!(points(1).await, [at]);
    sinks.send([marking(resolved("Changed", at, at + 350_000), &time(third))]);
    assert_eq!(points(2).await, [at, third]);
    assert_eq!(grafana.count("PATCH"), 0);
}

#[tokio::test]
async fn a_point_without_a_time_lies_where_the_alert_began() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() - 60_000;
    let point = |t: Transition| with_notes(t, &[("__point__", "true")]);
    sinks.send([point(firing("A", at)), point(resolved("A", at, at + 30_000))]);
    sinks.send([marking(firing("B", at), "<error expanding template: no>")]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(grafana.kept().iter().map(|k| (k.time, k.time_end)).collect::<Vec<_>>(), [(at, at); 2]);
}

#[tokio::test]
async fn whatever_happens_to_an_answer_there_is_one_point() {
    let faults = [
        Fault::AnswerLost,
        Fault::DoneLate(Duration::from_millis(700)),
        Fault::LogInPage,
        Fault::Status(500),
        Fault::Status(401),
        Fault::Retry(429, 1),
    ];
    let cases = faults.into_iter().flat_map(|fault| ["GET", "POST"].map(|method| (fault, method)));
    futures_util::future::join_all(cases.map(|(fault, method)| async move {
        let grafana = Grafana::start().await;
        let sinks = Sinks::start(&sink_to(&grafana, ""));
        let at = now() / 1000 * 1000;
        grafana.fail_next(method, fault);
        sinks.send([marking(firing("Changed", at), &((at - 90_000) / 1000).to_string())]);
        until_delivered(&sinks, 1.0).await;
        let kept = grafana.kept();
        assert_eq!(kept.iter().map(|k| k.time - at).collect::<Vec<_>>(), [-90_000], "{method} {fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn only_what_matches_goes_out_and_what_waited_is_brought_to_its_end() {
    let grafana = Grafana::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    let open = || Some(Arc::new(Outbox::open(&file, &Registry::new()).unwrap()));
    let at = now() - 60_000;
    let info = |t: Transition| Transition {
        labels: forewarn::base::Labels::from_pairs([("alertname", &*t.rule.alert), ("severity", "info")]),
        ..t
    };
    let only_info = ", match: ['{severity=\"info\", cluster=\"test\"}']";
    let sinks = Sinks::start_with(&sink_to(&grafana, only_info), |context| context.outbox = open());
    sinks.send([firing("Page", at), info(firing("Note", at)), info(firing("Long", at))]);
    until_delivered(&sinks, 2.0).await;
    sinks.send([resolved("Page", at, at + 30_000), info(resolved("Note", at, at + 30_000))]);
    until_delivered(&sinks, 3.0).await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    drop(sinks);
    let spans = || {
        let mut spans: Vec<_> =
            grafana.kept().iter().map(|k| (k.text.contains("Note"), k.time - at, k.time_end - at)).collect();
        spans.sort_unstable();
        spans
    };
    assert_eq!(spans(), [(false, 0, 0), (true, 0, 30_000)]);
    // Another configuration: what began under the old one gets its end, and nothing else goes out.
    let sinks =
        Sinks::start_with(&sink_to(&grafana, ", match: ['{severity!=\"info\"}']"), |context| context.outbox = open());
    sinks.send([
        info(resolved("Long", at, at + 45_000)),
        info(firing("Other", at + 50_000)),
        firing("Page", at + 50_000),
    ]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(sinks.dispatcher.shutdown(SOON).await, 0);
    assert_eq!(spans(), [(false, 0, 45_000), (false, 50_000, 50_000), (true, 0, 30_000)]);
}

#[tokio::test]
async fn whatever_happens_to_an_answer_there_is_one_annotation() {
    let faults = [
        Fault::AnswerLost,
        Fault::DoneLate(Duration::from_millis(700)),
        Fault::LogInPage,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(412),
        Fault::Status(401),
        Fault::Retry(429, 1),
        Fault::Retry(503, 1),
    ];
    let cases = faults.into_iter().flat_map(|fault| ["GET", "POST", "PATCH"].map(|method| (fault, method)));
    futures_util::future::join_all(cases.map(|(fault, method)| async move {
        let grafana = Grafana::start().await;
        let sinks = Sinks::start(&sink_to(&grafana, ""));
        let at = now() - 60_000;
        grafana.fail_next(method, fault);
        sinks.send([firing("Down", at), resolved("Down", at, at + 30_000)]);
        until_delivered(&sinks, 2.0).await;
        let kept = grafana.kept();
        assert_eq!(kept.len(), 1, "{method} {fault:?}: {:?}", grafana.log());
        assert_eq!(kept[0].time_end, at + 30_000, "{method} {fault:?}: {:?}", grafana.log());
        assert_eq!(sinks.metric("forewarn_sink_dropped_total", &[]), 0.0, "{method} {fault:?}");
    }))
    .await;
}

#[tokio::test]
async fn an_annotation_that_comes_twice_after_all_is_one_in_the_end() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() - 60_000;
    // Later than the time-out and the wait after it.
    grafana.fail_next("POST", Fault::DoneLate(Duration::from_millis(2_500)));
    sinks.send([firing("Down", at)]);
    until_delivered(&sinks, 1.0).await;
    eventually("the double", SOON, async || (grafana.kept().len() == 2).then_some(())).await;
    sinks.send([resolved("Down", at, at + 30_000)]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(grafana.kept().iter().map(|k| k.time_end - at).collect::<Vec<_>>(), [30_000]);
}

#[tokio::test]
async fn what_somebody_has_deleted_stays_deleted() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() - 60_000;
    sinks.send([firing("Down", at)]);
    until_delivered(&sinks, 1.0).await;
    grafana.clear();
    sinks.send([resolved("Down", at, at + 30_000)]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(grafana.kept(), []);
    // Deleted between the search and the PATCH.
    sinks.send([firing("Up", at)]);
    until_delivered(&sinks, 3.0).await;
    grafana.fail_next("PATCH", Fault::Status(404));
    sinks.send([resolved("Up", at, at + 30_000)]);
    until_delivered(&sinks, 4.0).await;
    assert_eq!((grafana.count("POST"), grafana.count("PATCH")), (2, 1));
}

#[tokio::test]
async fn dashboards_and_panels_come_from_the_rule_or_the_configuration() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, &format!(", dashboard_uid: {DASHBOARD}, panel_id: 7")));
    let own =
        |name: &str, uid: &str| with_notes(firing(name, now()), &[("__dashboardUid__", uid), ("__panelId__", "4")]);
    sinks.send([firing("A", now()), own("B", DASHBOARD), own("C", "gone")]);
    until_delivered(&sinks, 3.0).await;
    let places: Vec<_> = grafana.kept().into_iter().map(|k| (k.dashboard, k.panel)).collect();
    let there = || Some(DASHBOARD.to_owned());
    assert_eq!(
        places,
        [(there(), Some(7)), (there(), Some(4)), (None, None)],
        "a dashboard that is gone is no reason to be silent"
    );
}

#[tokio::test]
async fn an_annotation_that_may_not_be_written_holds_up_no_other() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now();
    let forbidden = |t: Transition| with_notes(t, &[("__dashboardUid__", FORBIDDEN)]);
    sinks.send([forbidden(firing("No", at)), firing("A", at), firing("B", at), forbidden(resolved("No", at, at + 1))]);
    sinks.send([resolved("A", at, at + 5)]);
    until_delivered(&sinks, 3.0).await;
    assert_eq!(sinks.metric("forewarn_sink_queue_length", &[]), 2.0, "kept, and seen");
    assert!(sinks.metric("forewarn_sink_errors_total", &["unauthorized"]) >= 1.0);
    assert_eq!(grafana.kept().len(), 2);
}

#[tokio::test]
async fn a_wrong_token_or_path_is_seen_and_mended_without_a_loss() {
    let grafana = Grafana::at("/moved/annotations").await;
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "glsa_old").unwrap();
    let yaml = format!(
        "- grafana: {{url: 'http://{}', api_path: /moved/annotations, requests_per_second: 1000, \
         http_config: {{authorization: {{credentials_file: '{}'}}}}}}\n",
        grafana.address,
        token.display()
    );
    let sinks = Sinks::start(&yaml);
    sinks.send([firing("Down", now())]);
    eventually("refusals", SOON, async || {
        (sinks.metric("forewarn_sink_errors_total", &["unauthorized"]) >= 2.0).then_some(())
    })
    .await;
    let state = &sinks.dispatcher.states()()[0];
    assert!(state.trouble.as_ref().is_some_and(|(_, why)| why.contains("401")), "{state:?}");
    std::fs::write(&token, TOKEN).unwrap();
    until_delivered(&sinks, 1.0).await;
    assert_eq!(grafana.kept().len(), 1);
    // Grafana 12's path on a Grafana that has moved it.
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    sinks.send([firing("Up", now())]);
    eventually("refusals", SOON, async || {
        (sinks.metric("forewarn_sink_errors_total", &["client_error"]) >= 2.0).then_some(())
    })
    .await;
    assert_eq!(sinks.metric("forewarn_sink_queue_length", &[]), 1.0);
}

#[tokio::test]
async fn what_grafana_will_never_take_is_given_up() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    grafana.fail_next("POST", Fault::Status(400));
    sinks.send([firing("Bad", now()), firing("Good", now())]);
    until_delivered(&sinks, 1.0).await;
    assert_eq!(sinks.metric("forewarn_sink_dropped_total", &["refused"]), 1.0);
    assert_eq!(grafana.kept().len(), 1);
}

#[tokio::test]
async fn the_end_of_what_was_given_up_makes_the_whole_region() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, ""));
    let at = now() - 60_000;
    grafana.fail_next("POST", Fault::Status(400));
    sinks.send([firing("Bad", at), resolved("Bad", at, at + 30_000)]);
    until_delivered(&sinks, 1.0).await;
    assert_eq!(grafana.kept().iter().map(|k| (k.time, k.time_end)).collect::<Vec<_>>(), [(at, at + 30_000)]);
    assert_eq!((grafana.count("POST"), grafana.count("PATCH")), (2, 0));
}

#[tokio::test]
async fn requests_keep_their_distance_and_wait_as_long_as_they_are_told() {
    let grafana = Grafana::start().await;
    let sinks = Sinks::start(&sink_to(&grafana, "").replace("requests_per_second: 1000", "requests_per_second: 20"));
    let started = Instant::now();
    sinks.send((0..5).map(|n| firing(&format!("A{n}"), now())));
    until_delivered(&sinks, 5.0).await;
    // Ten requests have nine gaps of 50 ms.
    assert!(started.elapsed() >= Duration::from_millis(440), "{:?}", started.elapsed());
    grafana.fail_next("GET", Fault::Retry(429, 1));
    let started = Instant::now();
    sinks.send([firing("B", now())]);
    until_delivered(&sinks, 6.0).await;
    assert!(started.elapsed() >= Duration::from_millis(990), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_restart_between_post_and_patch_closes_the_same_annotation() {
    let grafana = Grafana::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("outbox.redb");
    let open = || Some(Arc::new(Outbox::open(&file, &Registry::new()).unwrap()));
    let at = now() - 60_000;
    // The annotation is there, and the process ends before it knows.
    grafana.fail_next("POST", Fault::AnswerLost);
    let sinks = Sinks::start_with(&sink_to(&grafana, ""), |context| {
        context.outbox = open();
        context.backoff.base = Duration::from_secs(3_600);
    });
    sinks.send([firing("Down", at)]);
    eventually("the annotation", SOON, async || (grafana.kept().len() == 1).then_some(())).await;
    drop(sinks);
    let mut restarted = None;
    eventually("the end of the first", SOON, async || {
        let outbox = Outbox::open(&file, &Registry::new()).ok()?;
        restarted = Some(Arc::new(outbox));
        Some(())
    })
    .await;
    let sinks = Sinks::start_with(&sink_to(&grafana, ""), |context| context.outbox = restarted.take());
    sinks.send([resolved("Down", at, at + 30_000)]);
    until_delivered(&sinks, 2.0).await;
    assert_eq!(grafana.kept().iter().map(|k| (k.time, k.time_end)).collect::<Vec<_>>(), [(at, at + 30_000)]);
    assert_eq!(grafana.count("POST"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_again_and_again_leaves_one_region_for_each_alert() {
    let grafana = Grafana::start().await;
    let config = format!(
        "global: {{evaluation_interval: 200ms}}\nrule_files: [rules.yml]\n\
         sources: {{remote_write: {{lateness: 0s, idle_timeout: 1h}}}}\n\
         sinks: [stdout: {{format: json}}, {}]",
        sink_to(&grafana, "").trim().trim_start_matches("- ")
    );
    let mut victim = Victim::new(&config, RULES, "dir: state, checkpoint_interval: 300ms, keep: 2");
    victim.launch(None);
    victim.answers().await;
    victim.ready(Duration::from_secs(60)).await;
    let input = Input::new((support::victim::now() / 1000 + 1) * 1000, 120);
    for round in 0..4 {
        // Killed after Grafana has made an annotation and before it could say so; at any other moment in every second round.
        let before = grafana.count("POST");
        if round % 2 == 0 {
            grafana.fail_next("POST", Fault::AnswerLost);
        }
        let end = Instant::now() + Duration::from_millis(2_500);
        while Instant::now() < end && (round % 2 == 1 || grafana.count("POST") == before) {
            victim.feed(&input, Instant::now() + Duration::from_millis(20)).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        victim.kill();
        victim.launch(None);
        victim.answers().await;
    }
    victim.feed(&input, Instant::now() + Duration::from_secs(120)).await;
    victim.ready(Duration::from_secs(60)).await;
    eventually("an empty outbox", Duration::from_secs(60), async || {
        (victim.metric(r#"forewarn_outbox_entries{sink="grafana"}"#).await? == 0.0).then_some(())
    })
    .await;
    let mut wanted: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for line in victim.lines().iter().filter(|line| line["fired_at"].is_i64()) {
        let start = line["fired_at"].as_i64().unwrap();
        let end = wanted.entry((line["labels"]["alertname"].to_string() + &line["labels"]["i"].to_string(), start));
        *end.or_insert(start) = line["resolved_at"].as_i64().unwrap_or(start);
    }
    let tag = |kept: &support::grafana::Kept, name: &str| {
        let found = kept.tags.iter().find_map(|t| t.strip_prefix(name)?.strip_prefix(':'));
        found.map_or("null".to_owned(), |value| format!("{value:?}"))
    };
    let kept = grafana.kept();
    let regions: BTreeMap<_, _> =
        kept.iter().map(|k| ((tag(k, "alertname") + &tag(k, "i"), k.time), k.time_end)).collect();
    assert_eq!(regions.len(), kept.len(), "an alert has two annotations");
    assert!(wanted.len() > 20, "{wanted:?}");
    assert_eq!(regions, wanted);
    println!("4 kills, {} annotations for {} alerts, {} POSTs", kept.len(), wanted.len(), grafana.count("POST"));
}

#[tokio::test]
async fn basic_auth_is_taken_and_no_secret_is_shown() {
    let grafana = Grafana::start().await;
    let yaml = format!(
        "- grafana: {{url: 'http://{}', http_config: {{basic_auth: {{username: admin, password: admin}}}}}}\n",
        grafana.address
    );
    let sinks = Sinks::start(&yaml);
    sinks.send([firing("Down", now())]);
    until_delivered(&sinks, 1.0).await;
    assert_eq!(grafana.kept().len(), 1);
    let configs: Vec<forewarn::sink::SinkConfig> = serde_saphyr::from_str(&sink_to(&grafana, "")).unwrap();
    let shown = format!("{configs:?} {}", serde_json::to_string(&configs).unwrap());
    assert!(!shown.contains(TOKEN), "{shown}");
}
