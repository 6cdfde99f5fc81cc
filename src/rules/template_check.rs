//! Templates of rules: what does not parse, and queries in them that will not be answered.

use std::ops::Range;

use super::collector::Collector;
use super::scalar;
use crate::alert::{AskedQuery, NUMBER_HOLE, TEXT_HOLE, Template};
use crate::base::Millis;
use crate::promql::{PlanOptions, Reads, parse};

/// A look-back and a step as good as any: what is kept depends on the configuration, whether it can be kept does not.
const OPTIONS: PlanOptions = PlanOptions { lookback: 5 * MINUTE, default_step: MINUTE };

const MINUTE: Millis = 60_000;

/// Checks a template whose text stands at `at` in the file; gives it if it is one.
pub(super) fn template(found: &mut Collector<'_>, text: &str, at: &Range<usize>) -> Option<Template> {
    let place = |found: &Collector<'_>, within: Range<usize>| {
        // Only where the scalar has escapes that change its letters does the place stay the scalar's.
        scalar::place(found.source(), at.clone(), text, within).unwrap_or(at.clone())
    };
    match Template::parse(text) {
        Err(fault) => {
            // To the end of the word there; an action's braces; or one character.
            let rest = text.get(fault.offset..).unwrap_or_default();
            let word =
                rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '.'))).unwrap_or(rest.len());
            let sign = if rest.starts_with("{{") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) };
            let length = word.max(sign);
            let at = place(found, fault.offset..fault.offset + length);
            let message = format!("not a template: {}", fault.message);
            found.error_with_help("template", at, message, help(&fault.message));
            None
        }
        Ok(template) => {
            for query in template.queries() {
                if let Some((message, within)) = fault_of(&query, text) {
                    let at = place(found, within);
                    found.warning(
                        "template-query",
                        at,
                        format!("the query of this template will fail: {message}"),
                        "the rule is loaded; this text will read <error expanding template>",
                    );
                }
            }
            Some(template)
        }
    }
}

fn help(message: &str) -> &'static str {
    if message.contains("function") {
        "Prometheus' template reference lists the functions: humanize, humanizeDuration, humanizePercentage, title, …"
    } else if message.contains("variable") {
        "there are $labels, $value, $externalLabels and $externalURL"
    } else {
        "an action is written {{ … }}: {{ $labels.instance }}, {{ $value | humanize }}; braces to be shown {{ \"{{\" }}"
    }
}

/// Why a query will not be answered, and where in the template.
fn fault_of(query: &AskedQuery, text: &str) -> Option<(String, Range<usize>)> {
    let whole = query.offset..query.offset + "query".len();
    let has_hole = query.expr.contains(TEXT_HOLE) || query.expr.contains(NUMBER_HOLE);
    let parsed = match parse(&query.expr) {
        Ok(parsed) => parsed,
        Err(_) if has_hole => {
            let message = "what it asks is not known before the alert begins; let labels fill in only the values of label matchers";
            return Some((message.to_owned(), whole));
        }
        Err(fault) => {
            // Within a literal without escapes the place is exact.
            let literal = query.literal.map(|start| start + 1).filter(|&s| text[s..].starts_with(&query.expr));
            let within = literal.map(|start| match fault.span {
                Some(span) => start + span.start..start + span.end,
                None => start..start + query.expr.len(),
            });
            return Some((fault.message, within.unwrap_or(whole)));
        }
    };
    let fault = Reads::of(&parsed, OPTIONS, &[TEXT_HOLE, NUMBER_HOLE]).err()?;
    Some((fault.to_string(), whole))
}

#[cfg(test)]
mod tests {
    use crate::rules::{Severity, load_file};

    /// Line, column and message of each fault of a rule with this annotation.
    fn faults(annotation: &str) -> Vec<(usize, usize, String)> {
        let yaml = format!(
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      x: {annotation}\n"
        );
        let (_, diagnostics) = load_file("r.yml", &yaml);
        assert!(diagnostics.iter().all(|d| d.severity == Severity::Warning), "{diagnostics:?}");
        let placed = |d: &crate::rules::Diagnostic| {
            let position = d.position.unwrap();
            (position.line, position.column, d.message.clone())
        };
        diagnostics.iter().map(placed).collect()
    }

    #[test]
    fn faults_of_queries_have_their_place() {
        for fine in [
            r#"'{{ query "up" | len }}'"#,
            r#"'{{ with printf "load{i=''%s''}" .Labels.i | query }}{{ . | first | value }}{{ end }}'"#,
            r#"'{{ query (printf "rate(x{a=~\".*%s\"}[5m]) > %f" $labels.a $value) }}'"#,
        ] {
            assert_eq!(faults(fine), [], "{fine}");
        }
        for (annotation, column, part) in [
            (r#"'{{ query "sum(rate(x))" }}'"#, 30, "range vector"),
            (r#"'{{ query "x{" }}'"#, 22, "never closed"),
            (r#"'{{ query $labels.q }}'"#, 14, "name is not known"),
            (r#"'{{ query (printf "rate(x[%s])" $labels.w) }}'"#, 14, "not known before the alert begins"),
            (r#"'{{ query (printf "{i=\"%s\"}" $labels.i) }}'"#, 14, "every series"),
            (r#"'{{ query "x @ 5" }}'"#, 14, "@"),
            (r#"'{{ query "predict_seasonal(x, 60)" }}'"#, 14, "predictive functions"),
        ] {
            let found = faults(annotation);
            assert_eq!(found.len(), 1, "{annotation}: {found:?}");
            assert_eq!((found[0].0, found[0].1), (7, column), "{annotation}: {found:?}");
            assert!(found[0].2.contains(part), "{annotation}: {found:?}");
        }
    }
}
