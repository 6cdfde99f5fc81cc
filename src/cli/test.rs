//! `forewarn test rules FILE…`: runs unit tests of rules, in promtool's format and beyond it, and shows what differs.
//!
//! Knows files, the terminal's stream and a stopwatch; what a test is and how it is run is `rules::unit_test`'s and
//! `backtest`'s part.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex::Regex;

use super::junit::{Case, Suite, document};
use crate::backtest::{AlertEvent, Failure, Recordings, TestReport, TestSetup, run_tests};
use crate::base::{Limits, format_duration};
use crate::engine::Profiles;
use crate::rules::unit_test::{Recording, TestFile};
use crate::rules::{Diagnostic, Severity, UNKNOWN_KEY, load_globs};

/// What tests are run with.
#[derive(Clone, Debug, Default)]
pub struct TestOptions {
    /// Profiles that rules may name.
    pub profiles: Profiles,
    /// Where a report in JUnit's XML is written.
    pub junit: Option<PathBuf>,
    /// Only tests whose names match one of these are run, if there are any.
    pub only: Vec<Regex>,
    /// Whether each test's alerts are shown as they change.
    pub debug: bool,
    /// Whether rule files may have keys that nothing knows.
    pub ignore_unknown_fields: bool,
    /// Whether to show in colour.
    pub colour: bool,
}

/// Runs test files and writes each one's verdict, with every difference, and how many there were of each. The exit code is
/// 1 if anything failed.
///
/// # Errors
/// `out` or the JUnit file cannot be written.
pub fn rules(files: &[PathBuf], options: &TestOptions, out: &mut dyn Write) -> io::Result<ExitCode> {
    let paint = Paint { colour: options.colour };
    let (mut suites, mut checks) = (Vec::new(), 0);
    for file in files {
        let name = file.display().to_string();
        writeln!(out, "Unit Testing:  {name}")?;
        let begin = Instant::now();
        let cases = match run_file(file, options) {
            Ok(reports) => {
                checks += reports.iter().map(|(report, _)| report.checks).sum::<usize>();
                if options.debug {
                    write_timelines(&reports, out)?;
                }
                reports.iter().map(|(report, took)| case(&name, report, *took)).collect()
            }
            Err(text) => {
                let first = text.lines().next().unwrap_or_default().to_owned();
                vec![Case { name: "setup".to_owned(), seconds: None, failures: vec![(first, text)], skipped: None }]
            }
        };
        let suite = Suite { name, seconds: begin.elapsed().as_secs_f64(), cases };
        write_verdict(&suite, paint, out)?;
        suites.push(suite);
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, document(&suites))
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    }
    let failed = write_counts(&suites, checks, paint, out)?;
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs the tests of one file; on Err, why there is nothing to run.
fn run_file(path: &Path, options: &TestOptions) -> Result<Vec<(TestReport, Duration)>, String> {
    let shown = path.display();
    let text = read_file(path).map_err(|e| format!("{shown}: {e}"))?;
    let file = TestFile::parse(&text).map_err(|e| format!("{shown}:{e}"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let loaded = load_globs(&file.rule_files, folder, &Limits::default());
    let is_ignored = |d: &Diagnostic| options.ignore_unknown_fields && d.code == UNKNOWN_KEY;
    let mut faults = String::new();
    for diagnostic in &loaded.diagnostics {
        // A pattern without files is a warning in a configuration; a test without its rules tests nothing.
        if !is_ignored(diagnostic) && (diagnostic.severity == Severity::Error || diagnostic.position.is_none()) {
            faults.push_str(&diagnostic.render(options.colour));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let setup = TestSetup {
        profiles: options.profiles.clone(),
        recordings: recordings(&file, folder),
        only: options.only.clone(),
        timeline: options.debug,
    };
    let mut reports = run_tests(&file, &loaded.rule_set, &setup);
    let timed = std::iter::from_fn(|| {
        let begin = Instant::now();
        reports.next().map(|report| (report, begin.elapsed()))
    });
    Ok(timed.collect())
}

/// The files of series that tests name, each read once.
fn recordings(file: &TestFile, folder: &Path) -> Recordings {
    let mut recordings = BTreeMap::new();
    for name in file.tests.iter().flat_map(|test| &test.input_series).filter_map(|input| input.file()) {
        recordings.entry(name.value.clone()).or_insert_with(|| {
            let text = read_file(&folder.join(&name.value)).map_err(|e| format!("{}: {e}", name.value))?;
            let recording = Recording::parse(&text).map_err(|e| format!("{}:{e}", name.value))?;
            Ok(Arc::new(recording))
        });
    }
    recordings
}

/// A file's text, if it is not too large.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let unreadable = |e: io::Error| format!("cannot be read: {e}");
    let most_bytes = Limits::default().file_bytes;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most_bytes as u64 + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() > most_bytes {
        return Err(format!("is larger than limits.file_bytes, {most_bytes} bytes"));
    }
    Ok(text)
}

fn case(file: &str, report: &TestReport, took: Duration) -> Case {
    let failures = report.failures.iter().map(|failure| (failure.to_string(), failure_text(file, failure)));
    Case { name: report.name.clone(), seconds: Some(took.as_secs_f64()), failures: failures.collect(), skipped: None }
}

/// The place, what failed, the difference below it, and what may be the reason.
pub(super) fn failure_text(file: &str, failure: &Failure) -> String {
    let place = failure.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    let mut text = format!("{place}: {failure}");
    // Writing to a string does not fail.
    for line in &failure.diff {
        let _ = write!(text, "\n    {line}");
    }
    if let Some(hint) = &failure.hint {
        let _ = write!(text, "\n    hint: {hint}");
    }
    text
}

/// As promtool writes it, with each test's name above its failures.
fn write_verdict(suite: &Suite, paint: Paint, out: &mut dyn Write) -> io::Result<()> {
    if suite.cases.iter().all(|case| case.failures.is_empty()) {
        return writeln!(out, "  {}\n", paint.put(GREEN, "SUCCESS"));
    }
    writeln!(out, "  {}", paint.put(RED, "FAILED:"))?;
    for case in suite.cases.iter().filter(|case| !case.failures.is_empty()) {
        writeln!(out, "    name: {},", case.name)?;
        for line in case.failures.iter().flat_map(|(_, text)| text.lines()) {
            writeln!(out, "      {}", paint.diff_line(line))?;
        }
    }
    writeln!(out)
}

/// The changes of each test's alerts, passed or failed.
fn write_timelines(reports: &[(TestReport, Duration)], out: &mut dyn Write) -> io::Result<()> {
    for (report, took) in reports {
        let (name, samples) = (&report.name, report.samples);
        writeln!(out, "  DEBUG: {name}: {samples} samples in {:.3}s, changes of alerts:", took.as_secs_f64())?;
        for AlertEvent { elapsed, transition } in &report.timeline {
            let (from, to) = (format!("{:?}", transition.from), format!("{:?}", transition.to));
            let states = format!("{} -> {}", from.to_lowercase(), to.to_lowercase());
            writeln!(out, "    {:>12}  {states:<19}  {}", format_duration(*elapsed), transition.labels)?;
        }
    }
    Ok(())
}

/// Writes how many tests there were of each kind, and gives how many failed.
fn write_counts(suites: &[Suite], checks: usize, paint: Paint, out: &mut dyn Write) -> io::Result<usize> {
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let tests = suites.iter().map(Suite::tests).sum::<usize>();
    let failed = suites.iter().map(Suite::failed).sum::<usize>();
    let counts = format!("{} passed, {failed} failed", tests - failed);
    let counts = paint.put(if failed > 0 { RED } else { GREEN }, &counts);
    let (tests, files, checks) = (plural(tests, "test"), plural(suites.len(), "file"), plural(checks, "check"));
    writeln!(out, "{tests} with {checks} in {files}: {counts}")?;
    Ok(failed)
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Colours, where they are wanted.
#[derive(Clone, Copy, Debug)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn put(self, colour: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A line of a failure's text, coloured if it is one of the difference.
    fn diff_line(self, line: &str) -> String {
        let colour = match line.strip_prefix("    ").and_then(|line| line.get(..2)) {
            Some("- ") => RED,
            Some("+ ") => GREEN,
            Some("~ ") => YELLOW,
            _ => return line.to_owned(),
        };
        self.put(colour, line)
    }
}
