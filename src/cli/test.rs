//! `forewarn test rules FILE…`: runs unit tests of rules, in promtool's format, and shows what differs.
//!
//! Knows files and the terminal's stream; what a test is and how it is run is `rules::unit_test`'s and `backtest`'s part.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::junit::{Case, Suite, document};
use crate::backtest::{Failure, TestReport, run_tests};
use crate::base::Limits;
use crate::engine::Profiles;
use crate::rules::unit_test::TestFile;
use crate::rules::{Severity, load_globs};

/// What tests are run with.
#[derive(Clone, Debug, Default)]
pub struct TestOptions {
    /// Profiles that rules may name.
    pub profiles: Profiles,
    /// Where a report in JUnit's XML is written.
    pub junit: Option<PathBuf>,
    /// Whether faults of rule files are shown in colour.
    pub colour: bool,
}

/// Runs test files and writes each one's verdict, with every difference. The exit code is 1 if anything failed.
///
/// # Errors
/// `out` or the JUnit file cannot be written.
pub fn rules(files: &[PathBuf], options: &TestOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    let mut suites = Vec::new();
    for file in files {
        let name = file.display().to_string();
        writeln!(out, "Unit Testing:  {name}")?;
        let cases = match run_file(file, options) {
            Ok(reports) => reports.iter().map(|report| case(&name, report)).collect(),
            Err(text) => {
                let first = text.lines().next().unwrap_or_default().to_owned();
                vec![Case { name: "setup".to_owned(), failures: vec![(first, text)], skipped: None }]
            }
        };
        let suite = Suite { name, cases };
        write_verdict(&suite, out)?;
        suites.push(suite);
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, document(&suites))
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    }
    let has_failed = suites.iter().flat_map(|suite| &suite.cases).any(|case| !case.failures.is_empty());
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the tests of one file; on Err, why there is nothing to run.
fn run_file(path: &Path, options: &TestOptions) -> Result<Vec<TestReport>, String> {
    let text = read_file(path)?;
    let file = TestFile::parse(&text).map_err(|e| format!("{}:{e}", path.display()))?;
    let loaded = load_globs(&file.rule_files, path.parent().unwrap_or(Path::new("")), &Limits::default());
    let mut faults = String::new();
    for diagnostic in &loaded.diagnostics {
        // A pattern without files is a warning in a configuration; a test without its rules tests nothing.
        if diagnostic.severity == Severity::Error || diagnostic.position.is_none() {
            faults.push_str(&diagnostic.render(options.colour));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(run_tests(&file, &loaded.rule_set, &options.profiles))
}

/// A test file's text, if it is not too large.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let (limit, shown) = (Limits::default().file_bytes, path.display());
    let size = std::fs::metadata(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?.len();
    if size > limit as u64 {
        return Err(format!("{shown}: is larger than limits.file_bytes, {limit} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| format!("{shown}: cannot be read: {e}"))
}

fn case(file: &str, report: &TestReport) -> Case {
    let failures = report.failures.iter().map(|failure| (failure.to_string(), failure_text(file, failure)));
    Case { name: report.name.clone(), failures: failures.collect(), skipped: None }
}

/// The place, what failed, and the difference below it.
pub(super) fn failure_text(file: &str, failure: &Failure) -> String {
    let place = failure.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    let mut text = format!("{place}: {failure}");
    for line in failure.diff() {
        // Writing to a string does not fail.
        let _ = write!(text, "\n    {line}");
    }
    text
}

/// As promtool writes it, with each test's name above its failures.
fn write_verdict(suite: &Suite, out: &mut dyn Write) -> io::Result<()> {
    if suite.cases.iter().all(|case| case.failures.is_empty()) {
        return writeln!(out, "  SUCCESS\n");
    }
    writeln!(out, "  FAILED:")?;
    for case in suite.cases.iter().filter(|case| !case.failures.is_empty()) {
        writeln!(out, "    name: {},", case.name)?;
        for line in case.failures.iter().flat_map(|(_, text)| text.lines()) {
            writeln!(out, "      {line}")?;
        }
    }
    writeln!(out)
}
