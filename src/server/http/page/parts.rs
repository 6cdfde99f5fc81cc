//! Sources, sinks, what the engine holds, and the last reload. Pure.

use super::html::Html;
use super::{View, format};
use crate::base::Millis;
use crate::server::http::{Health, SinkStatus, SourceStatus};

/// All of them.
pub(super) fn sections(html: &mut Html, view: &View) {
    sources(html, view);
    sinks(html, view);
    engine(html, view);
    reload(html, view);
}

fn sources(html: &mut Html, view: &View) {
    html.raw("<section><h2>Sources</h2>");
    if view.summary.sources.is_empty() {
        html.raw("<p class=\"note warn\">No sources: nothing comes in.</p></section>");
        return;
    }
    html.raw("<table><thead><tr><th>State<th>Source<th>Newest sample<th>Complete up to<th class=\"num\">Lag</tr></thead><tbody>");
    for source in &view.summary.sources {
        source_row(html, source, view.now);
    }
    html.raw("</tbody></table></section>");
}

fn source_row(html: &mut Html, source: &SourceStatus, now: Millis) {
    html.raw("<tr><td>").raw(pill(source.health));
    named(html, &source.name, &source.kind, &source.detail);
    for (cell, time) in [
        ("<td class=\"when\" data-name=\"Newest sample\">", source.newest),
        ("<td class=\"when\" data-name=\"Complete up to\">", source.watermark),
    ] {
        html.raw(cell);
        match time {
            Some(t) => format::instant(html, t, now),
            None => _ = html.raw("<span class=\"quiet\">–</span>"),
        }
    }
    html.raw("<td class=\"num\" data-name=\"Lag\">");
    match source.watermark {
        Some(t) if source.health != Health::Ended => html.text(format::span(now.saturating_sub(t).max(0))),
        _ => html.raw("<span class=\"quiet\">–</span>"),
    };
    html.raw("</tr>");
}

fn sinks(html: &mut Html, view: &View) {
    html.raw("<section><h2>Sinks</h2>");
    if view.summary.sinks.is_empty() {
        html.raw("<p class=\"note warn\">No sinks: nobody is told.</p></section>");
        return;
    }
    html.raw("<table><thead><tr><th>State<th>Sink<th class=\"num\">Waiting</tr></thead><tbody>");
    for SinkStatus { name, kind, health, detail, waiting } in &view.summary.sinks {
        html.raw("<tr><td>").raw(pill(*health));
        named(html, name, kind, detail);
        html.raw("<td class=\"num\" data-name=\"Waiting\">").text(format::count(*waiting as u64)).raw("</tr>");
    }
    html.raw("</tbody></table></section>");
}

fn engine(html: &mut Html, view: &View) {
    html.raw("<section><h2>Engine</h2>");
    let held = match &view.holdings {
        Ok(held) => held,
        Err(reason) => {
            html.raw("<p class=\"note warn\">Not known right now: ").text(reason.to_string()).raw(".</p></section>");
            return;
        }
    };
    let refused = held.conflict.saturating_add(held.out_of_order);
    html.raw("<dl>");
    for (name, value) in [
        ("<dt>Series watched", format::count(held.series as u64)),
        ("<dt>Memory of their samples", format::bytes(held.series_bytes as u64)),
        ("<dt>Series no rule asks for", format::count(held.unwanted as u64)),
        ("<dt>Models", format::count(held.models as u64)),
        ("<dt>Samples waiting for their tick", format::count(held.waiting as u64)),
        ("<dt>Duplicate samples", format::count(held.duplicate)),
        ("<dt>Samples refused, out of order or in conflict", format::count(refused)),
    ] {
        html.raw("<div>").raw(name).raw("<dd>").text(value).raw("</div>");
    }
    html.raw("</dl></section>");
}

/// The last reload, with what is wrong with files; the rules themselves have a section of their own.
fn reload(html: &mut Html, view: &View) {
    let Some(report) = &view.summary.reload else { return };
    html.raw("<section><h2>Configuration</h2>");
    match &report.outcome {
        Ok(done) => {
            html.raw("<p class=\"note\">Reloaded ");
            format::instant(html, report.at, view.now);
            html.raw(": ").text(done).raw("</p>");
        }
        Err(faults) => {
            html.raw("<p class=\"note bad\">The reload ");
            format::instant(html, report.at, view.now);
            html.raw(" failed; the old rules stay in force.</p>");
            list(html, faults);
        }
    }
    html.raw("</section>");
}

fn list(html: &mut Html, faults: &[String]) {
    html.raw("<ul>");
    for fault in faults {
        html.raw("<li><pre>").text(fault).raw("</pre>");
    }
    html.raw("</ul>");
}

fn named(html: &mut Html, name: &str, kind: &str, detail: &str) {
    html.raw("<td class=\"wide\"><b>").text(name).raw("</b> <span class=\"quiet\">").text(kind).raw("</span>");
    if !detail.is_empty() {
        html.raw("<div class=\"summary\">").text(detail).raw("</div>");
    }
}

fn pill(health: Health) -> &'static str {
    match health {
        Health::Unknown => "<span class=\"pill\">unknown</span>",
        Health::Good => "<span class=\"pill good\">good</span>",
        Health::Degraded => "<span class=\"pill warn\">degraded</span>",
        Health::Failed => "<span class=\"pill bad\">failed</span>",
        Health::Ended => "<span class=\"pill\">ended</span>",
    }
}
