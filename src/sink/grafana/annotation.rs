//! A transition as a Grafana annotation: times, tags, text, and the dashboard it belongs to. Pure.
//!
//! What Grafana does with tags shapes ours. A tag is a key, or a key and a value with a colon between; of further colons and
//! what follows nothing is kept, so that they become dashes. Keys and values hold 100 characters, all tags of an annotation
//! together 500 bytes unless Grafana is configured otherwise (`[annotations] tags_length`).

use serde::Serialize;
use url::form_urlencoded;

use crate::alert::Transition;
use crate::base::{Labels, Millis};

use super::super::AlertKey;
use super::super::origin::Origin;
use super::super::point::point;
use super::super::transition_text::short;

/// Characters of a tag's key, and of its value.
const TAG_PART: usize = 100;
/// Characters of one part of the text.
const TEXT_PART: usize = 2_000;

/// Annotations of a rule that have a line or link of their own, or say where the annotation goes.
const DASHBOARD_UID: &str = "__dashboardUid__";
const PANEL_ID: &str = "__panelId__";

/// What goes into `POST /api/annotations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Annotation {
    #[serde(rename = "dashboardUID", skip_serializing_if = "Option::is_none")]
    pub(super) dashboard_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) panel_id: Option<u32>,
    /// Milliseconds since the epoch.
    pub(super) time: Millis,
    /// Makes it a region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) time_end: Option<Millis>,
    pub(super) tags: Vec<String>,
    pub(super) text: String,
}

/// What the configuration says about annotations.
#[derive(Clone, Debug, Default)]
pub(super) struct Style {
    pub(super) tags: Vec<String>,
    pub(super) tags_bytes: usize,
    pub(super) dashboard_uid: Option<String>,
    pub(super) panel_id: Option<u32>,
}

/// When the alert began to fire.
pub(super) fn starts(transition: &Transition) -> Millis {
    transition.fired_at.unwrap_or(transition.active_at)
}

/// When it ended; a region needs some width to be seen as one.
pub(super) fn ends(transition: &Transition) -> Millis {
    transition.resolved_at.unwrap_or(transition.ends_at).max(starts(transition) + 1)
}

/// Where the annotation begins: at the instant that the alert marks, or when it began to fire.
pub(super) fn time(transition: &Transition) -> Millis {
    point(transition).unwrap_or_else(|| starts(transition))
}

/// The tag that no other annotation has: of the alert, and of when it began or which instant it marks. It is the same after
/// a restart, and for two forewarns with the same rules and input.
pub(super) fn unique_tag(transition: &Transition) -> String {
    format!("forewarn:{:032x}-{}", AlertKey::of(transition).get(), time(transition))
}

/// The annotation of an alert that fires.
pub(super) fn annotation(transition: &Transition, style: &Style, origin: &Origin) -> Annotation {
    let of_rule = |name: &str| note(transition, name).filter(|text| !text.is_empty());
    let uid = of_rule(DASHBOARD_UID).map(str::to_owned);
    // A panel is one of its dashboard: that of the rule never goes with that of the configuration.
    let panel_id = match uid {
        Some(_) => of_rule(PANEL_ID).and_then(|id| id.trim().parse().ok()),
        None => style.panel_id,
    };
    let dashboard_uid = uid.or_else(|| style.dashboard_uid.clone());
    Annotation {
        panel_id: panel_id.filter(|_| dashboard_uid.is_some()),
        dashboard_uid,
        time: time(transition),
        time_end: None,
        tags: tags(transition, style, &origin.labels(transition)),
        text: text(transition, origin),
    }
}

/// The unique tag, the configured ones, then one for each label, the alert's name first, as long as there is room.
fn tags(transition: &Transition, style: &Style, labels: &Labels) -> Vec<String> {
    let unique = unique_tag(transition);
    // As Grafana counts: as a JSON array.
    let mut bytes = unique.len() + 4;
    let mut tags = vec![unique];
    let pairs: Vec<_> = labels.as_ref().iter().collect();
    let first = pairs.iter().filter(|(name, _)| matches!(*name, "alertname" | "severity"));
    let others = pairs.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity"));
    let of_labels = first.chain(others).map(|(name, value)| tag(name, value));
    for tag in style.tags.iter().cloned().chain(of_labels) {
        if tags.contains(&tag) || tag.is_empty() || bytes + tag.len() + 3 > style.tags_bytes {
            continue;
        }
        bytes += tag.len() + 3;
        tags.push(tag);
    }
    tags
}

fn tag(name: &str, value: &str) -> String {
    let part = |text: &str| {
        let text: String = text.chars().map(|c| if c == ':' || c.is_control() { '-' } else { c }).collect();
        cut(text.trim(), TAG_PART).to_owned()
    };
    let (name, value) = (part(name), part(value));
    if value.is_empty() { name } else { format!("{name}:{value}") }
}

/// HTML, as Grafana shows annotations: all that comes from outside is escaped.
fn text(transition: &Transition, origin: &Origin) -> String {
    let mut lines = vec![format!("<b>{}</b>", escape(&transition.rule.alert))];
    lines.extend(["summary", "description", "explanation"].iter().filter_map(|name| {
        let text = note(transition, name)?.trim();
        (!text.is_empty()).then(|| escape(cut(text, TEXT_PART)).replace('\n', "<br>"))
    }));
    // That it lies where it lies need not be said.
    if point(transition).is_none_or(|point| (transition.value * 1000.0 - point as f64).abs() > 1.0) {
        lines.push(format!("Value {}", short(transition.value)));
    }
    let links = links(transition, origin);
    if !links.is_empty() {
        lines.push(links.join(" · "));
    }
    lines.join("<br>")
}

fn links(transition: &Transition, origin: &Origin) -> Vec<String> {
    let explain = note(transition, "explanation").and_then(|_| explain_url(transition, origin));
    let own = [("Expression", Some(origin.generator_url(transition))), ("Explanation", explain)];
    let named = [
        ("Runbook", "runbook_url"),
        ("Runbook", "runbook"),
        ("Dashboard", "dashboard_url"),
        ("Dashboard", "dashboard"),
        ("Trace", "trace_url"),
    ];
    let of_rule = named.map(|(text, name)| (text, note(transition, name).map(str::to_owned)));
    let link = |(text, url): (&str, Option<String>)| {
        let url = url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))?;
        Some(format!("<a href=\"{}\">{text}</a>", escape(cut(&url, TEXT_PART))))
    };
    own.into_iter().chain(of_rule).filter_map(link).collect()
}

/// Where this forewarn says what its models expect.
fn explain_url(transition: &Transition, origin: &Origin) -> Option<String> {
    let name = &transition.rule.alert;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    if origin.external_url.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let labels = transition.labels.as_ref().filter(|name| name != "alertname");
    let asked: String = form_urlencoded::byte_serialize(format!("{name}{labels}").as_bytes()).collect();
    Some(format!("{}/api/v1/explain?alert={asked}", origin.external_url.trim_end_matches('/')))
}

fn note<'a>(transition: &'a Transition, name: &str) -> Option<&'a str> {
    transition.annotations.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;
    use super::*;

    fn style() -> Style {
        Style { tags: vec!["forewarn".into()], tags_bytes: 500, ..Style::default() }
    }

    fn origin() -> Origin {
        Origin { external_labels: vec![("cluster".into(), "eu".into())], external_url: "http://fw:9190".into() }
    }

    fn with_notes(notes: &[(&str, &str)]) -> Transition {
        let annotations = notes.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        Transition { annotations, ..testing::firing("Down", 60_000) }
    }

    #[test]
    fn an_alert_becomes_an_annotation() {
        let firing = with_notes(&[
            ("summary", "Disk full in 3h"),
            ("explanation", "expected 5 (4 to 6), seen 9"),
            ("runbook_url", "https://runbooks/x"),
            ("dashboard", "not a link"),
            ("trace_url", "https://tempo/trace/7f"),
        ]);
        let annotation = annotation(&firing, &style(), &origin());
        let unique = unique_tag(&firing);
        assert_eq!(
            annotation.tags,
            [&unique, "forewarn", "alertname:Down", "severity:page", "cluster:eu", "instance:a-9100"]
        );
        assert_eq!(annotation.time, 60_000);
        assert_eq!(
            annotation.text,
            "<b>Down</b><br>Disk full in 3h<br>expected 5 (4 to 6), seen 9<br>Value 0.5<br>\
             <a href=\"http://fw:9190/graph?g0.expr=up+%3D%3D+0&amp;g0.tab=1\">Expression</a> · \
             <a href=\"http://fw:9190/api/v1/explain?alert=Down%7Binstance%3D%22a%3A9100%22%2C+severity%3D%22page%22%7D\">Explanation</a> · \
             <a href=\"https://runbooks/x\">Runbook</a> · <a href=\"https://tempo/trace/7f\">Trace</a>"
        );
        assert_eq!((annotation.dashboard_uid, annotation.panel_id), (None, None));
    }

    #[test]
    fn the_end_finds_the_tag_of_the_beginning_and_the_next_time_does_not() {
        let tag = unique_tag(&testing::firing("Down", 60_000));
        assert_eq!(unique_tag(&testing::resolved("Down", 60_000, 90_000)), tag);
        assert_ne!(unique_tag(&testing::firing("Down", 120_000)), tag);
        assert_eq!(tag.matches(':').count(), 1, "{tag}");
        assert!(tag.len() <= TAG_PART, "{tag}");
        assert_eq!(ends(&testing::resolved("Down", 60_000, 90_000)), 90_000);
        assert_eq!(ends(&testing::resolved("Down", 60_000, 60_000)), 60_001);
    }

    #[test]
    fn the_rule_names_dashboard_and_panel_and_else_the_configuration() {
        let style = Style { dashboard_uid: Some("all".into()), panel_id: Some(7), ..style() };
        let place = |notes: &[(&str, &str)]| {
            let annotation = annotation(&with_notes(notes), &style, &origin());
            (annotation.dashboard_uid.unwrap(), annotation.panel_id)
        };
        assert_eq!(place(&[]), ("all".into(), Some(7)));
        assert_eq!(place(&[(DASHBOARD_UID, "own"), (PANEL_ID, "3")]), ("own".into(), Some(3)));
        assert_eq!(place(&[(DASHBOARD_UID, "own")]), ("own".into(), None));
        assert_eq!(place(&[(PANEL_ID, "3")]), ("all".into(), Some(7)), "a panel of no dashboard");
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        let evil = with_notes(&[
            ("summary", "<script>alert(1)</script> & \"more\"\nline"),
            ("runbook_url", "javascript:alert(1)"),
            ("dashboard", "https://x/\"onclick=\"y"),
        ]);
        let text = annotation(&evil, &style(), &origin()).text;
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;<br>line"), "{text}");
        assert!(!text.contains("javascript:") && text.contains("https://x/&quot;onclick=&quot;y"), "{text}");
    }

    #[test]
    fn tags_keep_to_grafanas_bounds() {
        let long = "é".repeat(300);
        let labels: Vec<(String, String)> = (0..50).map(|n| (format!("l{n}"), long.clone())).collect();
        let firing = Transition { labels: Labels::from_pairs(labels), ..testing::firing("Down", 60_000) };
        let tags = annotation(&firing, &style(), &Origin::default()).tags;
        assert!(serde_json::to_string(&tags).unwrap().len() <= 500, "{tags:?}");
        assert!(tags.len() > 2 && tags[0] == unique_tag(&firing), "{tags:?}");
        assert!(tags.iter().flat_map(|t| t.split(':')).all(|part| part.chars().count() <= TAG_PART));
    }
}
