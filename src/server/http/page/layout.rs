//! The frame of the status page and the order of its sections. Pure.

use super::html::Html;
use super::{View, alerts, findings, format, parts, rules};
use crate::alert::AlertState;
use crate::server::http::Readiness;

/// Seconds after which the page asks anew; faster while there is progress to see.
const REFRESH: [&str; 2] = ["15", "3"];

/// The page.
pub(super) fn render(view: &View) -> String {
    let mut html = Html::default();
    let firing = alerts::active(view).filter(|(_, alert)| alert.state == AlertState::Firing).count();
    head(&mut html, view, firing);
    header(&mut html, view, firing);
    html.raw("<main>");
    rules::asked(&mut html, view);
    alerts::section(&mut html, view);
    findings::section(&mut html, view);
    parts::sections(&mut html, view);
    rules::section(&mut html, view);
    html.raw("</main>").raw(FOOTER).raw("</body></html>\n");
    html.finish()
}

/// Relative links, since a proxy may serve this under a path of its own.
const FOOTER: &str = "<footer><nav>\
    <a href=\"metrics\">Metrics</a> <a href=\"api/v1/rules\">Rules as JSON</a> \
    <a href=\"api/v1/alerts\">Alerts as JSON</a> <a href=\"api/v1/status/buildinfo\">Build</a> \
    <a href=\"-/ready\">Ready</a> <a href=\"-/healthy\">Healthy</a></nav></footer>";

fn head(html: &mut Html, view: &View, firing: usize) {
    let icon = if firing > 0 { "%23d92d20" } else { "%2312925a" };
    html.raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\"><meta http-equiv=\"refresh\" content=\"")
        .raw(REFRESH[usize::from(!view.readiness.is_ready())])
        .raw("\"><link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='")
        .raw(icon)
        .raw("'/%3E%3C/svg%3E\"><link rel=\"stylesheet\" href=\"style.css\"><title>");
    if firing > 0 {
        html.raw("(").text(firing.to_string()).raw(") ");
    }
    html.raw("forewarn</title></head><body>");
}

fn header(html: &mut Html, view: &View, firing: usize) {
    html.raw("<header><div class=\"bar\"><h1>forewarn</h1> <span class=\"version\">")
        .raw(env!("CARGO_PKG_VERSION"))
        .raw("</span><span class=\"spring\"></span>");
    if firing > 0 {
        html.raw("<span class=\"pill bad\">").text(format::count(firing as u64)).raw(" firing</span> ");
    }
    let class = if view.readiness.is_ready() { "good" } else { "warn" };
    let word = match view.readiness {
        Readiness::WarmingUp { .. } => "warming up",
        Readiness::Ready => "ready",
        Readiness::ShuttingDown => "shutting down",
    };
    html.raw("<span class=\"pill ").raw(class).raw("\">").raw(word).raw("</span> <span class=\"quiet\">up ");
    html.text(format::span(view.now.saturating_sub(view.started))).raw("</span></div>");
    if !view.readiness.is_ready() {
        progress(html, &view.readiness);
    }
    html.raw("</header>");
}

fn progress(html: &mut Html, readiness: &Readiness) {
    html.raw("<div class=\"progress\"><span>").text(readiness.to_string()).raw("</span>");
    if let Some(share) = readiness.progress() {
        html.raw("<progress max=\"1\" value=\"").text(format!("{share:.3}")).raw("\"></progress>");
    }
    html.raw("</div>");
}
