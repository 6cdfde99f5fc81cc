//! From rule files to rule groups.
//!
//! [`load_file`] is pure on text; [`load_globs`] is the one place of this module that reads files.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_saphyr::Error;
use xxhash_rust::xxh3::Xxh3;

use super::diagnostic::{Collector, Diagnostic, Severity};
use super::format::{Document, documents, span};
use super::validate::{group, unknown_key};
use super::{RuleGroup, RuleSet};
use crate::base::Limits;

/// What a set of rule files holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Every group that makes sense. To be put in force only without errors.
    pub rule_set: RuleSet,
    /// What is wrong, in the order of the files and within them.
    pub diagnostics: Vec<Diagnostic>,
    /// Hash over the files' names and contents: equal if and only if nothing needs reloading. Contents and not times,
    /// because Kubernetes changes a mounted file by switching a link.
    pub content_hash: u64,
    /// The files, sorted.
    pub files: Vec<PathBuf>,
}

impl Loaded {
    /// Whether any diagnostic is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// Reads all files that the patterns name, relative ones from `base_dir`.
///
/// A pattern that names no file is a warning; a file that cannot be read is an error.
#[must_use]
pub fn load_globs(patterns: &[String], base_dir: &Path, limits: &Limits) -> Loaded {
    let mut out = Loaded::default();
    let mut files = BTreeSet::new();
    for pattern in patterns {
        match expand(pattern, base_dir) {
            Ok(found) if found.is_empty() => {
                let message = "no file matches this pattern".to_owned();
                out.diagnostics.push(Diagnostic::of_file(Severity::Warning, pattern, message));
            }
            Ok(found) => files.extend(found),
            Err(message) => out.diagnostics.push(Diagnostic::of_file(Severity::Error, pattern, message)),
        }
    }
    let mut hash = Xxh3::new();
    for path in files {
        let name = path.strip_prefix(base_dir).unwrap_or(&path).display().to_string();
        let text = read(&path, limits.file_bytes);
        let contents = text.as_deref().unwrap_or_default();
        for part in [name.as_bytes(), contents.as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        match &text {
            Ok(text) => {
                let (groups, diagnostics) = load_file(&name, text);
                out.rule_set.groups.extend(groups.into_iter().map(Arc::new));
                out.diagnostics.extend(diagnostics);
            }
            Err(message) => out.diagnostics.push(Diagnostic::of_file(Severity::Error, &name, message.clone())),
        }
        out.files.push(path);
    }
    out.content_hash = hash.digest();
    out
}

/// The groups of one file's text, and what is wrong with it. `name` is how the file is called in messages.
///
/// Takes Prometheus' rule files and `PrometheusRule` resources, one or several documents.
///
/// ```
/// use forewarn::rules::load_file;
/// let text = "groups: [{name: g, rules: [{alert: Down, expr: up == 0, for: 5m}]}]";
/// let (groups, diagnostics) = load_file("rules.yml", text);
/// assert_eq!((groups[0].rules[0].name.as_str(), diagnostics.len()), ("Down", 0));
/// ```
#[must_use]
pub fn load_file(name: &str, text: &str) -> (Vec<RuleGroup>, Vec<Diagnostic>) {
    let mut found = Collector::new(name, text);
    let mut groups = Vec::new();
    match documents(text) {
        Ok(documents) => {
            let mut names = Vec::new();
            for document in documents {
                groups.extend(document_groups(&mut found, document, &mut names));
            }
        }
        Err(error) => syntax(&mut found, &error),
    }
    (groups, found.finish())
}

fn document_groups(found: &mut Collector, document: Document, names: &mut Vec<String>) -> Vec<RuleGroup> {
    let kind = document.kind.as_ref().and_then(|kind| kind.value.as_deref());
    let groups = match kind {
        None => {
            for key in &document.unknown {
                unknown_key(found, key, "a rule file", "groups");
            }
            document.groups
        }
        Some("PrometheusRule") => {
            let version = document.api_version.as_ref();
            if version.and_then(|v| v.value.as_deref()) != Some("monitoring.coreos.com/v1") {
                let at = version.or(document.kind.as_ref()).map_or(0..0, |v| span(v.defined));
                found.error(at, "a PrometheusRule has apiVersion monitoring.coreos.com/v1");
            }
            let spec = document.spec.flatten().unwrap_or_default();
            for key in &spec.unknown {
                unknown_key(found, key, "the spec of a PrometheusRule", "groups");
            }
            spec.groups
        }
        Some(other) => {
            let at = document.kind.as_ref().map_or(0..0, |kind| span(kind.defined));
            let message = format!("skipped: a {other} holds no rules");
            found.warning(
                at,
                message,
                "rules stand in rule files of Prometheus and in resources of kind PrometheusRule",
            );
            return Vec::new();
        }
    };
    let nodes = groups.and_then(|groups| groups.value).unwrap_or_default();
    nodes.into_iter().map(|node| group(found, node, kind.is_some(), names)).collect()
}

/// What YAML itself has against the file.
fn syntax(found: &mut Collector, error: &Error) {
    let error = error.without_snippet();
    let at = error.location().map_or(0..0, |location| {
        if location.span().byte_offset().is_some() {
            return span(location);
        }
        // The scanner's own faults have no bytes.
        let (line, column) = (location.line().max(1) as usize - 1, location.column().max(1) as usize - 1);
        let before: usize = found.source().split_inclusive('\n').take(line).map(str::len).sum();
        let mut characters = found.source()[before..].char_indices().skip(column);
        let start = characters.next().map_or(found.source().len(), |(i, _)| before + i);
        start..characters.next().map_or(found.source().len(), |(i, _)| before + i)
    });
    let message = match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} is given twice"),
        other => {
            let text =
                other.render_with_options(serde_saphyr::render_options! { snippets: serde_saphyr::SnippetMode::Off });
            text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned()
        }
    };
    found.error(at, message);
}

/// The files that a pattern names.
fn expand(pattern: &str, base_dir: &Path) -> Result<Vec<PathBuf>, String> {
    let base = glob::Pattern::escape(&base_dir.to_string_lossy());
    let full = if Path::new(pattern).is_absolute() || base.is_empty() {
        pattern.to_owned()
    } else {
        format!("{base}/{pattern}")
    };
    let paths = glob::glob(&full).map_err(|e| format!("not a pattern of files: {}", e.msg))?;
    let files: Result<Vec<PathBuf>, glob::GlobError> =
        paths.filter(|p| p.as_ref().map_or(true, |p| !p.is_dir())).collect();
    files.map_err(|e| e.to_string())
}

fn read(path: &Path, most_bytes: usize) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot be read: {e}"))?;
    let mut bytes = Vec::new();
    file.take(most_bytes as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() > most_bytes {
        return Err(format!("is larger than limits.file_bytes, {most_bytes} bytes"));
    }
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8: a bad byte at {}", e.utf8_error().valid_up_to()))
}
