//! Reports of tests in the XML that JUnit made common, for continuous integration.
//!
//! Knows nothing of rules: suites, cases and texts.

use std::fmt::Write as _;

/// The tests of one file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Name: the file's.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name.
    pub name: String,
    /// How long it took, where that was measured.
    pub seconds: Option<f64>,
    /// What failed: a line that says what, and the whole text.
    pub failures: Vec<(String, String)>,
    /// Why it was not run, if it was not.
    pub skipped: Option<String>,
}

/// The document.
#[must_use]
pub fn document(suites: &[Suite]) -> String {
    let total = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail.
    let (tests, failed) = (total(Suite::tests), total(Suite::failed));
    let seconds: f64 = suites.iter().map(|suite| suite.seconds).sum();
    let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\"");
    let _ = writeln!(out, "<testsuites {counts}>");
    for suite in suites {
        let (name, tests, seconds) = (escape(&suite.name), suite.tests(), suite.seconds);
        let (failed, skipped) = (suite.failed(), suite.skipped());
        let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\"");
        let _ = writeln!(out, "  <testsuite name=\"{name}\" {counts} time=\"{seconds:.3}\">");
        for case in &suite.cases {
            let mut attributes = format!("name=\"{}\" classname=\"{name}\"", escape(&case.name));
            if let Some(seconds) = case.seconds {
                let _ = write!(attributes, " time=\"{seconds:.3}\"");
            }
            if case.failures.is_empty() && case.skipped.is_none() {
                let _ = writeln!(out, "    <testcase {attributes}/>");
                continue;
            }
            let _ = writeln!(out, "    <testcase {attributes}>");
            if let Some(reason) = &case.skipped {
                let _ = writeln!(out, "      <skipped message=\"{}\"/>", escape(reason));
            }
            // The schema that is followed most widely has one failure a case.
            if let [(first, _), more @ ..] = &case.failures[..] {
                let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
                let texts: Vec<&str> = case.failures.iter().map(|(_, text)| text.as_str()).collect();
                let (message, text) = (escape(&format!("{first}{more}")), escape(&texts.join("\n")));
                let _ = writeln!(out, "      <failure message=\"{message}\" type=\"failure\">{text}</failure>");
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

impl Suite {
    /// How many tests it has.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.cases.len()
    }

    fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| case.skipped.is_some()).count()
    }

    /// How many of them failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.failures.is_empty()).count()
    }
}

/// Text as it may stand in XML 1.0, in attributes and between tags. Characters that cannot be written at all are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // As references, so that attributes keep them.
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_ascii_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_escaped_and_counted() {
        let case = |name: &str| Case { name: name.into(), seconds: Some(1.0), failures: vec![], skipped: None };
        let failures = vec![("x > 1 & \"y\"".into(), "l1\nl2\u{1}".into()), ("z".into(), "l3".into())];
        let failed = Case { seconds: Some(0.25), failures, ..case("a<b") };
        let skipped = Case { seconds: None, skipped: Some("later".into()), ..case("no") };
        let text = document(&[Suite { name: "t.yml".into(), seconds: 1.5, cases: vec![failed, case("ok"), skipped] }]);
        assert_eq!(
            text,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1" errors="0" time="1.500">
  <testsuite name="t.yml" tests="3" failures="1" errors="0" skipped="1" time="1.500">
    <testcase name="a&lt;b" classname="t.yml" time="0.250">
      <failure message="x &gt; 1 &amp; &quot;y&quot; (and 1 more)" type="failure">l1&#10;l2�&#10;l3</failure>
    </testcase>
    <testcase name="ok" classname="t.yml" time="1.000"/>
    <testcase name="no" classname="t.yml">
      <skipped message="later"/>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
