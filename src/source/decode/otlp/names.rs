//! Names of metrics and labels from OpenTelemetry's. Pure text; the rules are those of Prometheus' OTLP receiver
//! (its library `otlptranslator`), after
//! <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>.

use std::borrow::Cow;

use super::settings::TranslationStrategy;
use super::units;

/// What a metric is, as far as its name shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A gauge: `_ratio` where the unit is 1.
    Gauge,
    /// A sum that only grows: `_total`.
    Counter,
    /// Everything else.
    Other,
}

/// The name of a metric; empty if nothing of it is left.
///
/// ```
/// use forewarn::source::decode::otlp::{MetricKind, TranslationStrategy, metric_name};
/// let name = |name, unit, kind| metric_name(name, unit, kind, TranslationStrategy::default());
/// assert_eq!(name("http.server.duration", "s", MetricKind::Other), "http_server_duration_seconds");
/// assert_eq!(name("system.network.io", "By", MetricKind::Counter), "system_network_io_bytes_total");
/// assert_eq!(name("disk.read", "By/s", MetricKind::Gauge), "disk_read_bytes_per_second");
/// ```
#[must_use]
pub fn metric_name(name: &str, unit: &str, kind: MetricKind, strategy: TranslationStrategy) -> String {
    match (strategy.escapes(), strategy.with_suffixes()) {
        (true, true) => from_tokens(name, unit, kind),
        (true, false) => {
            let parts = name.split(|c| !(is_token_char(c) || c == '_')).filter(|t| !t.is_empty());
            prefixed(parts.collect::<Vec<_>>().join("_"))
        }
        (false, true) => appended(name, unit, kind),
        (false, false) => name.to_owned(),
    }
}

/// The name of a label; empty if nothing of it is left.
///
/// ```
/// use forewarn::source::decode::otlp::{TranslationStrategy, label_name};
/// let name = |name| label_name(name, TranslationStrategy::default());
/// assert_eq!(name("http.method"), "http_method");
/// assert_eq!(name("1st"), "key_1st");
/// ```
#[must_use]
pub fn label_name(name: &str, strategy: TranslationStrategy) -> Cow<'_, str> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !strategy.escapes() || name.is_empty() {
        return Cow::Borrowed(name);
    }
    let clean: Cow<'_, str> = if name.chars().all(is_valid) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.chars().map(|c| if is_valid(c) { c } else { '_' }).collect())
    };
    if clean.starts_with(|c: char| c.is_ascii_digit()) {
        Cow::Owned(format!("key_{clean}"))
    } else if clean.starts_with('_') && !clean.starts_with("__") {
        Cow::Owned(format!("key{clean}"))
    } else {
        clean
    }
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// Words of the name, then those of the unit that it does not have yet, then of the type.
fn from_tokens(name: &str, unit: &str, kind: MetricKind) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !is_token_char(c)).filter(|t| !t.is_empty()).collect();
    let (main, per) = units::suffixes(unit);
    let (main, per) = (clean_unit(&main), clean_unit(&per));
    let mut main = main.as_str();
    let mut per = if per == "per_" { "" } else { per.trim_end_matches('_') };
    if tokens.contains(&main) {
        main = "";
    }
    if tokens.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|t| !t.is_empty()));
    let ending = match kind {
        MetricKind::Counter => Some("total"),
        MetricKind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(ending) = ending {
        tokens.retain(|t| *t != ending);
        tokens.push(ending);
    }
    prefixed(tokens.join("_"))
}

/// The name as it is, with the suffixes at its end, be they there already or not.
fn appended(name: &str, unit: &str, kind: MetricKind) -> String {
    let (main, per) = units::suffixes(unit);
    let total = if kind == MetricKind::Counter { "total" } else { "" };
    let ratio = if unit == "1" && kind == MetricKind::Gauge { "ratio" } else { "" };
    let suffixes = [main.as_str(), &per, total, ratio].into_iter().filter(|suffix| !suffix.is_empty());
    std::iter::once(name).chain(suffixes).collect::<Vec<_>>().join("_")
}

/// A unit with single underscores where characters are not allowed, and none at its start.
fn clean_unit(unit: &str) -> String {
    let mut clean = String::with_capacity(unit.len());
    for c in unit.chars() {
        if is_token_char(c) {
            clean.push(c);
        } else if !clean.is_empty() && !clean.ends_with('_') {
            clean.push('_');
        }
    }
    clean
}

/// Names cannot start with a digit.
fn prefixed(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_there_already_are_not_said_twice() {
        let name = |name, unit, kind| metric_name(name, unit, kind, TranslationStrategy::default());
        assert_eq!(name("request.total.count", "1", MetricKind::Counter), "request_count_total");
        assert_eq!(name("cpu.utilization", "1", MetricKind::Gauge), "cpu_utilization_ratio");
        assert_eq!(name("cpu.ratio.now", "1", MetricKind::Gauge), "cpu_now_ratio");
        assert_eq!(name("wait_seconds", "s", MetricKind::Other), "wait_seconds");
        assert_eq!(name("2xx", "{request}/s", MetricKind::Gauge), "_2xx_per_second");
        assert_eq!(name("a..b__c", "", MetricKind::Other), "a_b_c");
        assert_eq!(name("heat", "k$/m²", MetricKind::Gauge), "heat_k_per_m");
        assert_eq!(name("é", "", MetricKind::Gauge), "");
    }

    #[test]
    fn strategies_differ_in_escapes_and_suffixes() {
        use TranslationStrategy::*;
        let name = |strategy| metric_name("1.rate_total", "By/s", MetricKind::Counter, strategy);
        assert_eq!(name(UnderscoreEscapingWithSuffixes), "_1_rate_bytes_per_second_total");
        assert_eq!(name(UnderscoreEscapingWithoutSuffixes), "_1_rate_total");
        assert_eq!(name(NoUTF8EscapingWithSuffixes), "1.rate_total_bytes_per_second_total");
        assert_eq!(name(NoTranslation), "1.rate_total");
        assert_eq!(metric_name("total", "", MetricKind::Counter, NoUTF8EscapingWithSuffixes), "total_total");
        assert_eq!(label_name("a.b", NoTranslation), "a.b");
        assert_eq!(label_name("_a", UnderscoreEscapingWithSuffixes), "key_a");
        assert_eq!(label_name("__a", UnderscoreEscapingWithSuffixes), "__a");
    }
}
