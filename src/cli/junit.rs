//! Reports of tests in the XML that JUnit made common, for continuous integration.
//!
//! Knows nothing of rules: suites, cases and texts.

use std::fmt::Write as _;

/// The tests of one file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Name: the file's.
    pub name: String,
    /// Its tests.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
    /// What failed: a line that says what, and the whole text.
    pub failures: Vec<(String, String)>,
}

/// The document.
#[must_use]
pub fn document(suites: &[Suite]) -> String {
    let total = |of: fn(&Suite) -> usize| suites.iter().map(of).sum::<usize>();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string does not fail.
    let (tests, failed) = (total(Suite::tests), total(Suite::failed));
    let seconds: f64 = suites.iter().map(Suite::seconds).sum();
    let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\"");
    let _ = writeln!(out, "<testsuites {counts}>");
    for suite in suites {
        let (name, tests, failed, seconds) = (escape(&suite.name), suite.tests(), suite.failed(), suite.seconds());
        let counts = format!("tests=\"{tests}\" failures=\"{failed}\" errors=\"0\" time=\"{seconds:.3}\"");
        let _ = writeln!(out, "  <testsuite name=\"{name}\" {counts}>");
        for case in &suite.cases {
            let (case_name, seconds) = (escape(&case.name), case.seconds);
            let attributes = format!("name=\"{case_name}\" classname=\"{name}\" time=\"{seconds:.3}\"");
            if case.failures.is_empty() {
                let _ = writeln!(out, "    <testcase {attributes}/>");
                continue;
            }
            let _ = writeln!(out, "    <testcase {attributes}>");
            // The schema that is followed most widely has one failure a case.
            let first = case.failures.first().map_or("", |(message, _)| message);
            let more = case.failures.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            let texts: Vec<&str> = case.failures.iter().map(|(_, text)| text.as_str()).collect();
            let (message, text) = (escape(&format!("{first}{more}")), escape(&texts.join("\n")));
            let _ = writeln!(out, "      <failure message=\"{message}\" type=\"failure\">{text}</failure>");
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

    fn seconds(&self) -> f64 {
        self.cases.iter().map(|case| case.seconds).sum()
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
        let failures = vec![("x > 1 & \"y\"".into(), "l1\nl2\u{1}".into()), ("z".into(), "l3".into())];
        let failed = Case { name: "a<b".into(), seconds: 0.25, failures };
        let passed = Case { name: "ok".into(), seconds: 1.0, failures: vec![] };
        let text = document(&[Suite { name: "t.yml".into(), cases: vec![failed, passed] }]);
        assert_eq!(
            text,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" errors="0" time="1.250">
  <testsuite name="t.yml" tests="2" failures="1" errors="0" time="1.250">
    <testcase name="a&lt;b" classname="t.yml" time="0.250">
      <failure message="x &gt; 1 &amp; &quot;y&quot; (and 1 more)" type="failure">l1&#10;l2�&#10;l3</failure>
    </testcase>
    <testcase name="ok" classname="t.yml" time="1.000"/>
  </testsuite>
</testsuites>
"#
        );
    }
}
