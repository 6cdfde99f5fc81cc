//! `forewarn check`: what is wrong with rule files and configurations, shown at its place.
//!
//! Knows files and the terminal's stream; starts nothing. How findings are written is `findings`' part.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::findings::{Findings, Format};
use crate::base::Limits;
use crate::rules::{Diagnostic, Lint, LintOptions, Severity, check_globs, yaml_fault};
use crate::server::{Config, RuleSource, base_dir, named_files, read_config};

/// How to check, and how to say it.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Which lints are on, and what they assume.
    pub lints: LintOptions,
    /// How findings are written.
    pub format: Format,
    /// Whether text is coloured.
    pub colour: bool,
    /// Whether a warning makes the exit code that of an error.
    pub deny_warnings: bool,
}

/// Checks rule files and writes each fault with its source line, then how many rules there are.
///
/// A path may be a file, a folder (every `.yml` and `.yaml` below it) or a pattern. The exit code is 1 for errors and 0
/// where there are at most warnings, unless these are denied.
///
/// # Errors
/// `out` cannot be written.
pub fn rules(paths: &[PathBuf], options: &CheckOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut found = Findings::default();
    rule_files(paths, &options.lints, &mut found);
    finish(&found, options, out)
}

/// Checks a configuration, and the rule files it names.
///
/// # Errors
/// `out` cannot be written.
pub fn config(file: &Path, options: &CheckOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut found = Findings::default();
    match read_config(file) {
        Ok(config) => {
            found.configuration = Some(file.display().to_string());
            let dir = base_dir(file);
            let patterns: Vec<PathBuf> = config.rule_files.iter().map(|pattern| dir.join(pattern)).collect();
            let slowest = config.scrape_configs.iter().filter_map(|scrape| scrape.scrape_interval).max();
            let lints = LintOptions {
                scrape_interval: slowest.unwrap_or(config.global.scrape_interval).millis(),
                evaluation_interval: config.global.evaluation_interval.millis(),
                profiles: Some(profiles(&config, dir.clone(), &mut found)),
                ..options.lints.clone()
            };
            if !patterns.is_empty() {
                rule_files(&patterns, &lints, &mut found);
            }
            found.diagnostics.extend(named(&config, &file.display().to_string()));
        }
        Err(error) => found.diagnostics.push(fault(file, &error.to_string())),
    }
    finish(&found, options, out)
}

/// What is wrong with the files that a configuration names. Those that are missing are worth a warning: secrets may come with
/// the machine that it will run on.
fn named(config: &Config, file: &str) -> Vec<Diagnostic> {
    let faults = named_files(config).into_iter().filter_map(|named| Some((named.fault()?, named.setting)));
    let mut found: Vec<Diagnostic> = faults
        .map(|(fault, setting)| Diagnostic {
            severity: Severity::Warning,
            help: Some(if setting.starts_with("web.") {
                "forewarn does not start until this file can be read".to_owned()
            } else {
                "what needs this file fails until it can be read".to_owned()
            }),
            ..super::findings::of_configuration(file, &fault)
        })
        .collect();
    // Where all are there, they are read as at the start.
    if let Some(tls) = &config.web.tls_server_config
        && config.web.files().iter().all(|named| named.path.is_file() && named.fault().is_none())
        && let Some(fault) = tls.fault()
    {
        found.push(super::findings::of_configuration(file, &fault.to_string()));
    }
    found
}

/// Writes what docs/lints.md says about a lint.
///
/// # Errors
/// `out` cannot be written.
pub fn explain(lint: Lint, out: &mut dyn Write) -> io::Result<ExitCode> {
    let state = if lint.is_default() { "on" } else { "off unless --enable" };
    writeln!(out, "{} ({state})\n\n{}", lint.code(), lint.explanation())?;
    Ok(ExitCode::SUCCESS)
}

fn rule_files(paths: &[PathBuf], lints: &LintOptions, found: &mut Findings) {
    let patterns: Vec<String> = paths.iter().map(|path| pattern(path)).collect();
    let mut loaded = check_globs(&patterns, Path::new(""), &Limits::default(), lints);
    for diagnostic in &mut loaded.diagnostics {
        // In a configuration the files may come later; whoever names files to be checked wants them checked.
        if diagnostic.position.is_none() {
            diagnostic.severity = Severity::Error;
        }
    }
    found.diagnostics.extend(loaded.diagnostics);
    found.rules += loaded.rule_set.groups.iter().map(|group| group.rules.len()).sum::<usize>();
    found.files += loaded.files.len();
}

fn finish(found: &Findings, options: &CheckOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    found.write(options.format, options.colour, out)?;
    let fails = |d: &Diagnostic| d.severity == Severity::Error || options.deny_warnings;
    Ok(if found.diagnostics.iter().any(fails) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The names of all profiles; what is wrong with their files is found.
fn profiles(config: &Config, dir: PathBuf, found: &mut Findings) -> BTreeSet<String> {
    let model_files = config.model_files.clone();
    let source = RuleSource { rule_files: Vec::new(), model_files, dir, limits: config.limits.clone() };
    let read = source.read();
    for fault in &read.profile_faults {
        let (file, message) = fault.split_once(": ").unwrap_or(("model_files", fault));
        found.diagnostics.push(super::findings::of_configuration(file, message));
    }
    read.profiles.keys().cloned().collect()
}

/// What is wrong with a configuration, at its place if it has one.
fn fault(file: &Path, message: &str) -> Diagnostic {
    let name = file.display().to_string();
    if let Ok(text) = std::fs::read_to_string(file)
        && let Err(error) = serde_saphyr::from_str::<Config>(&text)
    {
        return Diagnostic { code: "configuration", ..yaml_fault(&name, &text, &error) };
    }
    super::findings::of_configuration(&name, message)
}

/// A path as a pattern of files.
pub(super) fn pattern(path: &Path) -> String {
    let written = path.to_string_lossy();
    if path.is_dir() {
        format!("{}/**/*.y*ml", glob::Pattern::escape(written.trim_end_matches('/')))
    } else if path.exists() {
        glob::Pattern::escape(&written)
    } else {
        written.into_owned()
    }
}
