//! A model of Prometheus' `Eval` and `sendAlerts` that is written as they are, a map by labels that is rebuilt at every tick,
//! and the property that the machine does the same, whatever the ids, the order of elements and renumberings.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What one alert is in the model. Times of -1 are unset.
#[derive(Clone, Debug, PartialEq)]
struct ModelAlert {
    state: char,
    value: f64,
    active_at: Millis,
    fired_at: Millis,
    resolved_at: Millis,
    sent_at: Millis,
    keep_since: Millis,
}

/// The facts of a transition: labels, from, to, reason, value, active, fired, resolved, ends.
type Row = (String, char, char, Reason, f64, Millis, Millis, Millis, Millis);

type Alerts = BTreeMap<String, ModelAlert>;

/// One tick of the model: new alerts by labels, and what happened.
fn model_step(
    active: &mut Alerts,
    settings: &AlertSettings,
    resend_delay: Millis,
    t: Millis,
    vector: &[(String, f64)],
) -> (Vec<Row>, Option<AlertError>) {
    let mut result = BTreeMap::new();
    for (labels, value) in vector {
        if result.insert(labels.clone(), *value).is_some() {
            return (Vec::new(), Some(AlertError::DuplicateLabels));
        }
    }
    let before = active.clone();
    for (labels, &value) in &result {
        match active.get_mut(labels).filter(|alert| alert.state != 'I') {
            Some(alert) => alert.value = value,
            None => {
                let new = ModelAlert {
                    state: 'P',
                    value,
                    active_at: t,
                    fired_at: -1,
                    resolved_at: -1,
                    sent_at: -1,
                    keep_since: -1,
                };
                active.insert(labels.clone(), new);
            }
        }
    }
    let mut count = 0;
    let mut kept = BTreeSet::new();
    let mut deleted = BTreeMap::new();
    for labels in active.keys().cloned().collect::<Vec<_>>() {
        let Some(mut a) = active.remove(&labels) else { continue };
        let mut delete = false;
        let mut keep_firing = false;
        if result.contains_key(&labels) {
            a.keep_since = -1;
        } else {
            if a.state == 'F' && settings.keep_firing > 0 {
                if a.keep_since < 0 {
                    a.keep_since = t;
                    kept.insert(labels.clone());
                }
                keep_firing = t - a.keep_since < settings.keep_firing;
            }
            delete = a.state == 'P' || (a.resolved_at >= 0 && t - a.resolved_at > 900_000);
            if a.state != 'I' && !keep_firing {
                a.state = 'I';
                a.resolved_at = t;
            }
        }
        if result.contains_key(&labels) || keep_firing {
            count += 1;
            if a.state == 'P' && t - a.active_at >= settings.hold {
                a.state = 'F';
                a.fired_at = t;
            }
        }
        if delete {
            deleted.insert(labels, a)
        } else {
            active.insert(labels, a)
        };
    }
    let over = settings.limit > 0 && count > settings.limit;
    let patience = 4 * settings.interval.max(resend_delay);
    let mut rows = Vec::new();
    let was = |labels: &String| before.get(labels).map_or('I', |a| a.state);
    let mut all: BTreeMap<String, ModelAlert> = active.clone();
    all.extend(deleted.iter().map(|(l, a)| (l.clone(), a.clone())));
    for (labels, a) in &all {
        let from = was(labels);
        let mut row = |to: char, reason: Reason, fired: Millis, resolved: Millis, ends: Millis| {
            rows.push((labels.clone(), from, to, reason, a.value, a.active_at, fired, resolved, ends));
        };
        let natural = match (from, a.state) {
            ('P', 'I') => Some(Reason::ClearedWhilePending),
            ('F', 'I') => Some(Reason::Cleared),
            _ => None,
        };
        if over {
            if from != 'I' {
                let fired = if from == 'F' { a.fired_at } else { -1 };
                row('I', natural.unwrap_or(Reason::OverLimit), fired, t, t);
            }
            continue;
        }
        // Firing, clearing and firing again within one tick cannot be: an alert is either in the vector or not.
        let change = match (from, a.state) {
            ('I', 'P') => Some(Reason::Began),
            ('I' | 'P', 'F') => Some(Reason::HeldLongEnough),
            ('F', 'F') if kept.contains(labels) && a.keep_since == t => Some(Reason::KeptFiring),
            _ => natural,
        };
        let sends = active.contains_key(labels)
            && a.state != 'P'
            && (a.resolved_at > a.sent_at || a.sent_at < 0 || a.sent_at + resend_delay < t);
        let sent_at = if sends { t } else { a.sent_at };
        let ends = |reason| match (a.resolved_at, reason) {
            (-1, Reason::KeptFiring) => sent_at + patience,
            (-1, _) => t + patience,
            (resolved, _) => resolved,
        };
        if let Some(reason) = change {
            row(a.state, reason, a.fired_at, a.resolved_at, ends(reason));
        }
        if sends && matches!(change, None | Some(Reason::KeptFiring)) {
            row(a.state, Reason::Resent, a.fired_at, a.resolved_at, ends(Reason::Resent));
        }
        if let Some(alert) = active.get_mut(labels) {
            alert.sent_at = sent_at;
        }
    }
    if over {
        active.clear();
        return (rows, Some(AlertError::OverLimit { limit: settings.limit, count }));
    }
    (rows, None)
}

fn row_of(t: &Transition) -> Row {
    (
        t.labels.to_string(),
        letter(t.from),
        letter(t.to),
        t.reason,
        t.value,
        t.active_at,
        t.fired_at.unwrap_or(-1),
        t.resolved_at.unwrap_or(-1),
        t.ends_at,
    )
}

/// What the series of the model's alerts are.
fn model_samples(active: &Alerts) -> BTreeSet<(String, i64)> {
    let mut samples = BTreeSet::new();
    for (labels, alert) in active.iter().filter(|(_, alert)| alert.state != 'I') {
        let state = if alert.state == 'F' { "firing" } else { "pending" };
        let stated = labels.replacen(r#"alertname="Full""#, &format!(r#"alertname="Full", alertstate="{state}""#), 1);
        samples.insert((format!("ALERTS{stated}"), 1));
        samples.insert((format!("ALERTS_FOR_STATE{labels}"), alert.active_at / 1000));
    }
    samples
}

/// A tick: seconds since the one before, elements, and whether elements are renumbered before it.
type Tick = (i64, BTreeMap<u32, u8>, bool);

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let gap = prop_oneof![6 => 10..40i64, 1 => 200..1200i64];
    // Few elements, mostly the same ones, sometimes two that have equal labels once the metric name is gone.
    let id = prop_oneof![12 => 0..4u32, 1 => 100..104u32];
    let vector = prop_oneof![1 => Just(BTreeMap::new()), 3 => prop::collection::btree_map(id, 0..3u8, 0..5)];
    prop::collection::vec((gap, vector, prop::bool::weighted(0.1)), 1..60)
}

/// Machine, labels of its alerts, and how its elements are numbered.
struct Subject {
    machine: AlertMachine,
    numbering: u32,
    backwards: bool,
    samples: BTreeSet<(String, i64)>,
}

impl Subject {
    fn step(&mut self, t: Millis, tick: &Tick, context: &AlertContext<'_>) -> (AlertOutput, Option<AlertError>) {
        let mut elements: Vec<(u32, f64)> =
            tick.1.iter().map(|(id, v)| (id + self.numbering, f64::from(*v) * 10.0)).collect();
        if tick.2 {
            let old = self.numbering;
            self.numbering += 1000;
            let new = self.numbering;
            // Some are gone for good as far as the machine is told.
            self.machine.remap(&|id| if id % 3 == 0 { None } else { Some(id - old + new) });
            elements.iter_mut().for_each(|(id, _)| *id += 1000);
        }
        if self.backwards {
            elements.reverse();
        }
        let numbering = self.numbering;
        let mut out = AlertOutput::default();
        let outcome = self.machine.step(t, &elements, &|id| labels_of(id - numbering), context, &mut out);
        let samples: BTreeSet<_> = self.machine.samples().map(|s| (s.labels.to_string(), s.value as i64)).collect();
        if outcome != Err(AlertError::DuplicateLabels) {
            let names =
                |samples: &BTreeSet<(String, i64)>| samples.iter().map(|(l, _)| l.clone()).collect::<BTreeSet<_>>();
            let ended: BTreeSet<_> = out.ended.iter().map(|e| e.labels.to_string()).collect();
            let gone: BTreeSet<_> = names(&self.samples).difference(&names(&samples)).cloned().collect();
            assert_eq!(ended, gone);
        }
        self.samples = samples;
        (out, outcome.err())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_prometheus_does(
        ticks in ticks(),
        hold in prop_oneof![Just(0), 10..60i64],
        keep_firing in prop_oneof![Just(0), 10..120i64],
        limit in prop_oneof![3 => Just(0usize), 1 => 1..4usize],
        template in prop::sample::select(vec![
            "page", "{{ $labels.__name__ }}", "{{ if gt $value 5.0 }}high{{ end }}", "{{ $labels.nope }}",
        ]),
    ) {
        let settings = AlertSettings { hold: hold * S, keep_firing: keep_firing * S, interval: 15 * S, limit };
        let rule = rule(settings, &[("extra", template)], &[("summary", "{{ $labels.instance }} {{ $value }}")]);
        let external = Labels::default();
        let context = context(&external);
        let subject = |numbering, backwards| Subject {
            machine: AlertMachine::new(rule.clone()),
            numbering,
            backwards,
            samples: BTreeSet::new(),
        };
        let (mut subject, mut other) = (subject(0, false), subject(5_000, true));
        let mut model = Alerts::new();
        let mut t = 0;
        for (i, tick) in ticks.iter().enumerate() {
            t += tick.0 * S;
            let labelled = |(id, v): (&u32, &u8)| {
                let extra = match template {
                    "page" => "page".to_owned(),
                    "{{ $labels.__name__ }}" => labels_of(*id).as_ref().metric_name().to_owned(),
                    "{{ $labels.nope }}" => String::new(),
                    _ => if *v > 0 { "high" } else { "" }.to_owned(),
                };
                let mut labels = labels_of(*id).as_ref().to_builder();
                labels.remove("__name__").set("extra", extra).set("alertname", "Full");
                (labels.build().to_string(), f64::from(*v) * 10.0)
            };
            let vector: Vec<_> = tick.1.iter().map(labelled).collect();
            let (expected, error) = model_step(&mut model, &settings, context.resend_delay, t, &vector);
            let (out, outcome) = subject.step(t, tick, &context);
            prop_assert_eq!(&outcome, &error, "tick {} at {}", i, t);
            prop_assert_eq!(out.transitions.iter().map(row_of).collect::<Vec<_>>(), expected, "tick {} at {}", i, t);
            prop_assert_eq!(&subject.samples, &model_samples(&model), "tick {} at {}", i, t);
            let (same, _) = other.step(t, &(tick.0, tick.1.clone(), !tick.2), &context);
            prop_assert_eq!(
                serde_json::to_string(&out.transitions).unwrap(),
                serde_json::to_string(&same.transitions).unwrap()
            );
            prop_assert_eq!(out.ended, same.ended);
        }
    }
}
