//! From rule files to rule groups.
//!
//! [`load_file`] is pure on text; [`load_globs`] is the one place of this module that reads files.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::collector::Collector;
use super::diagnostic::{Diagnostic, Severity};
use super::format::{Document, Spec, documents, span};
use super::lint::LintOptions;
use super::validate::{group, unknown_key};
use super::{RuleGroup, RuleSet, recover, yaml};
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
    check_globs(patterns, base_dir, limits, &LintOptions::when_loading())
}

/// As [`load_globs`], with lints.
#[must_use]
pub fn check_globs(patterns: &[String], base_dir: &Path, limits: &Limits, lints: &LintOptions) -> Loaded {
    let mut out = Loaded::default();
    let (files, diagnostics) = files(patterns, base_dir);
    out.diagnostics = diagnostics;
    out.content_hash = each_file(files, base_dir, limits, |path, name, text| {
        match text {
            Ok(text) => {
                let (groups, diagnostics) = check_file(name, text, lints);
                out.rule_set.groups.extend(groups.into_iter().map(Arc::new));
                out.diagnostics.extend(diagnostics);
            }
            Err(message) => out.diagnostics.push(Diagnostic::of_file(Severity::Error, name, message.clone())),
        }
        out.files.push(path);
    });
    out
}

/// [`Loaded::content_hash`] of what [`load_globs`] would load, which is not made sense of.
#[must_use]
pub fn content_hash(patterns: &[String], base_dir: &Path, limits: &Limits) -> u64 {
    each_file(files(patterns, base_dir).0, base_dir, limits, |_, _, _| {})
}

/// The files, and what is wrong with the patterns.
fn files(patterns: &[String], base_dir: &Path) -> (BTreeSet<PathBuf>, Vec<Diagnostic>) {
    let (mut files, mut diagnostics) = (BTreeSet::new(), Vec::new());
    for pattern in patterns {
        match expand(pattern, base_dir) {
            Ok(found) if found.is_empty() => {
                let message = "no file matches this pattern".to_owned();
                diagnostics.push(Diagnostic::of_file(Severity::Warning, pattern, message));
            }
            Ok(found) => files.extend(found),
            Err(message) => diagnostics.push(Diagnostic::of_file(Severity::Error, pattern, message)),
        }
    }
    (files, diagnostics)
}

/// Reads one after the other; the hash of their names and contents.
fn each_file(
    files: BTreeSet<PathBuf>,
    base_dir: &Path,
    limits: &Limits,
    mut with: impl FnMut(PathBuf, &str, &Result<String, String>),
) -> u64 {
    let mut hash = Xxh3::new();
    for path in files {
        let name = path.strip_prefix(base_dir).unwrap_or(&path).display().to_string();
        let text = read(&path, limits.file_bytes);
        let contents = text.as_deref().unwrap_or_default();
        for part in [name.as_bytes(), contents.as_bytes()] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        with(path, &name, &text);
    }
    hash.digest()
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
    check_file(name, text, &LintOptions::when_loading())
}

/// As [`load_file`], with lints.
#[must_use]
pub fn check_file(name: &str, text: &str, lints: &LintOptions) -> (Vec<RuleGroup>, Vec<Diagnostic>) {
    let mut found = Collector::new(name, text, lints);
    let mut groups = Vec::new();
    let mut names = Vec::new();
    for document in readable(&mut found, text) {
        groups.extend(document_groups(&mut found, document, &mut names));
    }
    (groups, found.finish())
}

/// The documents, less the items of lists that YAML has something against, of which each is noted.
fn readable(found: &mut Collector<'_>, text: &str) -> Vec<Document> {
    let mut left = Cow::Borrowed(text);
    let mut last = None;
    for _ in 0..recover::FAULTS_MAX {
        let error = match documents(&left) {
            Ok(documents) => return documents,
            Err(error) => error,
        };
        let at = yaml::place(text, &error).start;
        // A fault before the last one is a consequence of what was taken out.
        if last.is_some_and(|last| at <= last) {
            return Vec::new();
        }
        yaml::fault(found, &error);
        last = Some(at);
        let Some(without) = recover::without_item(&left, at) else { return Vec::new() };
        left = Cow::Owned(without);
    }
    Vec::new()
}

fn document_groups(found: &mut Collector<'_>, document: Document, names: &mut Vec<String>) -> Vec<RuleGroup> {
    let kind = document.kind.as_ref().and_then(|kind| kind.value.as_deref());
    let groups = match kind {
        None => {
            for key in &document.unknown {
                // The other keys are those of resources.
                unknown_key(found, key, "a rule file", &Document::KEYS[..1]);
            }
            document.groups
        }
        Some("PrometheusRule") => {
            let version = document.api_version.as_ref();
            if version.and_then(|v| v.value.as_deref()) != Some("monitoring.coreos.com/v1") {
                let at = version.or(document.kind.as_ref()).map_or(0..0, |v| span(v.defined));
                let message = "a PrometheusRule has apiVersion monitoring.coreos.com/v1";
                found.error_with_help("not-rules", at, message, "write apiVersion: monitoring.coreos.com/v1");
            }
            let spec = document.spec.flatten().unwrap_or_default();
            for key in &spec.unknown {
                unknown_key(found, key, "the spec of a PrometheusRule", Spec::KEYS);
            }
            spec.groups
        }
        Some(other) => {
            let at = document.kind.as_ref().map_or(0..0, |kind| span(kind.defined));
            let message = format!("skipped: a {other} holds no rules");
            found.warning(
                "not-rules",
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
