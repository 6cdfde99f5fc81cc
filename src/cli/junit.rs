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
    let _ = writeln!(out, "<testsuites tests=\"{}\" failures=\"{}\">", total(Suite::tests), total(Suite::failed));
    for suite in suites {
        let (name, tests) = (escape(&suite.name), suite.tests());
        let (failed, skipped) = (suite.failed(), suite.skipped());
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failed}\" skipped=\"{skipped}\">"
        );
        for case in &suite.cases {
            let name = format!("name=\"{}\" classname=\"{name}\"", escape(&case.name));
            if case.failures.is_empty() && case.skipped.is_none() {
                let _ = writeln!(out, "    <testcase {name}/>");
                continue;
            }
            let _ = writeln!(out, "    <testcase {name}>");
            if let Some(reason) = &case.skipped {
                let _ = writeln!(out, "      <skipped message=\"{}\"/>", escape(reason));
            }
            for (message, text) in &case.failures {
                let (message, text) = (escape(message), escape(text));
                let _ = writeln!(out, "      <failure message=\"{message}\">{text}</failure>");
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

impl Suite {
    fn tests(&self) -> usize {
        self.cases.len()
    }

    fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| case.skipped.is_some()).count()
    }

    fn failed(&self) -> usize {
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
        let case = |name: &str| Case { name: name.into(), failures: vec![], skipped: None };
        let failed = Case { failures: vec![("x > 1 & \"y\"".into(), "l1\nl2\u{1}".into())], ..case("a<b") };
        let skipped = Case { skipped: Some("later".into()), ..case("no") };
        let text = document(&[Suite { name: "t.yml".into(), cases: vec![failed, case("ok"), skipped] }]);
        assert_eq!(
            text,
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="3" failures="1">
  <testsuite name="t.yml" tests="3" failures="1" skipped="1">
    <testcase name="a&lt;b" classname="t.yml">
      <failure message="x &gt; 1 &amp; &quot;y&quot;">l1&#10;l2�</failure>
    </testcase>
    <testcase name="ok" classname="t.yml"/>
    <testcase name="no" classname="t.yml">
      <skipped message="later"/>
    </testcase>
  </testsuite>
</testsuites>
"#
        );
    }
}
