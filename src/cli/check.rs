//! `forewarn check rules FILE…`: what is wrong with rule files, shown at its place.
//!
//! Knows files and the terminal's stream; starts nothing.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::base::Limits;
use crate::rules::{Severity, load_globs};
use crate::server::{base_dir, read_config};

/// Checks rule files and writes each fault with its source line, then how many rules there are.
///
/// A path may be a file, a folder (every `.yml` and `.yaml` below it) or a pattern. The exit code is 1 for errors and 0
/// where there are at most warnings.
///
/// # Errors
/// `out` cannot be written.
pub fn rules(paths: &[PathBuf], colour: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let patterns: Vec<String> = paths.iter().map(|path| pattern(path)).collect();
    let mut loaded = load_globs(&patterns, Path::new(""), &Limits::default());
    for diagnostic in &mut loaded.diagnostics {
        // In a configuration the files may come later; whoever names files to be checked wants them checked.
        if diagnostic.position.is_none() {
            diagnostic.severity = Severity::Error;
        }
        write!(out, "{}", diagnostic.render(colour))?;
    }
    let count = |severity| loaded.diagnostics.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let found: usize = loaded.rule_set.groups.iter().map(|group| group.rules.len()).sum();
    write!(out, "{} found in {}", plural(found, "rule"), plural(loaded.files.len(), "file"))?;
    if errors + warnings > 0 {
        write!(out, ": {}, {}", plural(errors, "error"), plural(warnings, "warning"))?;
    }
    writeln!(out)?;
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Checks a configuration, and the rule files it names.
///
/// # Errors
/// `out` cannot be written.
pub fn config(file: &Path, colour: bool, out: &mut dyn Write) -> io::Result<ExitCode> {
    let config = match read_config(file) {
        Ok(config) => config,
        Err(error) => {
            writeln!(out, "{error}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    writeln!(out, "{} is a configuration", file.display())?;
    let dir = base_dir(file);
    let patterns: Vec<PathBuf> = config.rule_files.iter().map(|pattern| dir.join(pattern)).collect();
    if patterns.is_empty() { Ok(ExitCode::SUCCESS) } else { rules(&patterns, colour, out) }
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

fn plural(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
