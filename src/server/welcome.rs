//! What a person is told when forewarn goes live: what it watches, what it found, where to look.

use std::io::{IsTerminal, Write};

use crate::alert::AlertState;

use super::config::Config;
use super::handle::EngineHandle;
use super::rules::Reloaded;
use super::warm_up::Past;

/// Says it, on standard error: standard output is for alerts.
pub(super) async fn welcome(
    config: &Config,
    engine: &EngineHandle,
    past: &Past,
    sources: &[(String, String)],
    loaded: &Reloaded,
) {
    let (Ok(groups), Ok(held)) = (engine.groups().await, engine.holdings().await) else { return };
    let firing: usize = groups
        .iter()
        .flat_map(|g| &g.rules)
        .filter_map(|r| r.alert.as_ref())
        .flat_map(|a| &a.active)
        .filter(|alert| alert.state == AlertState::Firing)
        .count();
    let url = config.web.external_url();
    if !std::io::stderr().is_terminal() {
        let (rules, series, models, found_in_history) = (loaded.rules, held.series, held.models, past.found());
        tracing::info!(rules, series, models, found_in_history, firing, url, "live");
        return;
    }
    let mut text = String::from("\n  forewarn is live\n\n");
    let mut line = |name: &str, what: &str| text.push_str(&format!("  {name:<10}{what}\n"));
    for (i, (name, what)) in sources.iter().enumerate() {
        line(if i == 0 { "watching" } else { "" }, &format!("{name}: {what}"));
    }
    line("rules", &format!("{} in {} groups, {} models have learnt", loaded.rules, loaded.groups, held.models));
    line("found", &found(past, firing));
    line("look at", &format!("{url}/  (metrics: {url}/metrics, rules: {url}/api/v1/rules)"));
    text.push_str("  Ctrl-C ends it.\n\n");
    // Whoever closed standard error does not want to read it.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn found(past: &Past, firing: usize) -> String {
    let hidden = match past.hidden() {
        0 => String::new(),
        n => format!(" ({n} more lines not shown)"),
    };
    format!("{} alerts in the recorded history{hidden}, {firing} firing now", past.found())
}
