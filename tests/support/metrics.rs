//! forewarn's own metrics: as `docs/metrics.md` lists them, as a process shows them, and as expressions ask for them.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    pub labels: BTreeSet<String>,
    /// Whether it is only there from its first event on.
    pub comes_later: bool,
}

/// Those of `docs/metrics.md`, by name.
pub fn documented() -> BTreeMap<String, Metric> {
    let text = std::fs::read_to_string("docs/metrics.md").unwrap();
    let row = Regex::new(r"^\| `(forewarn_\w+)` \| (counter|gauge|histogram) \|([^|]*)\| (.*) \|$").unwrap();
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let found = row.captures(line).unwrap_or_else(|| panic!("not a row of metrics: {line}"));
        let labels = found[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let metric = Metric { kind: found[2].to_owned(), labels, comes_later: found[4].contains('†') };
        assert!(all.insert(found[1].to_owned(), metric).is_none(), "twice: {line}");
    }
    all
}

/// One series of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What a process shows: types by name, and all series.
pub fn exposed(text: &str) -> (BTreeMap<String, String>, Vec<Series>) {
    let line = Regex::new(r"^(\w+)(?:\{(.*)\})? (\S+)$").unwrap();
    let (mut kinds, mut series) = (BTreeMap::new(), Vec::new());
    for text in text.lines() {
        if let Some(declared) = text.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            kinds.insert(name.to_owned(), kind.to_owned());
        } else if !text.starts_with('#') && !text.is_empty() {
            let found = line.captures(text).unwrap_or_else(|| panic!("{text}"));
            let labels = found.get(2).map_or("", |labels| labels.as_str());
            let labels = matchers(labels).into_iter().map(|m| (m.label, m.value)).collect();
            series.push(Series { name: found[1].to_owned(), labels, value: found[3].parse().unwrap() });
        }
    }
    (kinds, series)
}

/// A matcher of a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    pub operator: String,
    pub value: String,
}

impl Matcher {
    pub fn takes(&self, value: Option<&String>) -> bool {
        let value = value.map_or("", String::as_str);
        let like = || Regex::new(&format!("^(?:{})$", self.value)).unwrap().is_match(value);
        match self.operator.as_str() {
            "=" => value == self.value,
            "!=" => value != self.value,
            "=~" => like(),
            _ => !like(),
        }
    }
}

/// What stands between the braces of a selector.
pub fn matchers(text: &str) -> Vec<Matcher> {
    let one = Regex::new(r#"(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let found = one.captures_iter(text);
    let matcher =
        |m: regex::Captures<'_>| Matcher { label: m[1].to_owned(), operator: m[2].to_owned(), value: m[3].to_owned() };
    found.map(matcher).collect()
}

/// A selector of one of our metrics in an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub name: String,
    pub matchers: Vec<Matcher>,
    /// The function that it is the direct argument of, and nothing without a range.
    pub function: String,
}

/// All selectors of our metrics in an expression.
pub fn asked(expr: &str) -> Vec<Asked> {
    let selector = Regex::new(r"(?:(\w+)\(\s*)?\b(forewarn_\w+)(?:\{([^}]*)\})?(\[)?").unwrap();
    let found = selector.captures_iter(expr);
    found
        .map(|m| Asked {
            name: m[2].to_owned(),
            matchers: matchers(m.get(3).map_or("", |braces| braces.as_str())),
            function: m.get(1).filter(|_| m.get(4).is_some()).map_or(String::new(), |f| f.as_str().to_owned()),
        })
        .collect()
}

/// Labels that an expression groups or matches by.
pub fn grouped_by(expr: &str) -> BTreeSet<String> {
    let clause = Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)").unwrap();
    let labels =
        clause.captures_iter(expr).flat_map(|m| m[1].split(',').map(|l| l.trim().to_owned()).collect::<Vec<_>>());
    labels.filter(|label| !label.is_empty()).collect()
}

/// The documented metric that a series' name belongs to: a histogram has several.
pub fn family<'a>(documented: &'a BTreeMap<String, Metric>, series: &str) -> Option<(&'a String, &'a Metric)> {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix));
    let histogram = of_histogram.and_then(|base| documented.get_key_value(base)).filter(|(_, m)| m.kind == "histogram");
    documented.get_key_value(series).or(histogram)
}
