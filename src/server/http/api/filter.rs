//! The query parameters of `/api/v1/rules`, as Prometheus 3.5 reads them. Pure.
//!
//! `group_limit` is taken and has no effect: all groups come in one answer, which clients read as the last page.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::Expr;
use url::form_urlencoded;

use super::ApiError;
use crate::base::METRIC_NAME;
use crate::engine::{GroupView, RuleView};
use crate::promql::parse;

/// Which rules are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    kind: Option<Kind>,
    rules: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    /// Sets of matchers on the labels in a rule's definition; one of them must match.
    matchers: Vec<Vec<Matcher>>,
    /// Whether alerts are left out.
    pub exclude_alerts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Alert,
    Record,
}

impl Filter {
    /// Reads a query string. Unknown parameters have no effect.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "type" => filter.kind = kind(&value)?,
                "rule_name[]" => filter.rules.push(value.into_owned()),
                "rule_group[]" => filter.groups.push(value.into_owned()),
                "file[]" => filter.files.push(value.into_owned()),
                "match[]" => filter.matchers.push(matchers(&value)?),
                "exclude_alerts" => filter.exclude_alerts = flag("exclude_alerts", &value)?,
                "group_next_token" if !value.is_empty() => {
                    let problem = "this server gives no such tokens: all groups come in one answer".to_owned();
                    return Err(ApiError::Parameter { name: "group_next_token", problem });
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    /// Whether a group may have rules that are asked for.
    pub fn takes_group(&self, group: &GroupView) -> bool {
        let among = |asked: &[String], name: &String| asked.is_empty() || asked.contains(name);
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    /// Whether a rule of such a group is asked for.
    pub fn takes_rule(&self, rule: &RuleView) -> bool {
        let kind = if rule.alert.is_some() { Kind::Alert } else { Kind::Record };
        self.kind.is_none_or(|asked| asked == kind)
            && (self.rules.is_empty() || self.rules.contains(&rule.name))
            && (self.matchers.is_empty() || self.matchers.iter().any(|set| set.iter().all(|m| matches(m, rule))))
    }
}

fn kind(value: &str) -> Result<Option<Kind>, ApiError> {
    match value.to_lowercase().as_str() {
        "" => Ok(None),
        "alert" => Ok(Some(Kind::Alert)),
        "record" => Ok(Some(Kind::Record)),
        _ => Err(ApiError::Parameter { name: "type", problem: format!("not supported value {value:?}") }),
    }
}

/// As Go's `strconv.ParseBool`; empty is false.
fn flag(name: &'static str, value: &str) -> Result<bool, ApiError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ApiError::Parameter { name, problem: format!("not true or false: {value:?}") }),
    }
}

fn matchers(text: &str) -> Result<Vec<Matcher>, ApiError> {
    let fault = |problem: String| ApiError::Parameter { name: "match[]", problem };
    let Expr::VectorSelector(selector) = parse(text).map_err(|error| fault(error.to_string()))? else {
        return Err(fault(format!("not a series selector: {text:?}")));
    };
    let name = selector.name.map(|name| Matcher::new(MatchOp::Equal, METRIC_NAME, &name));
    Ok(name.into_iter().chain(selector.matchers.matchers).collect())
}

fn matches(matcher: &Matcher, rule: &RuleView) -> bool {
    let value = rule.labels.iter().find(|(name, _)| *name == matcher.name).map_or("", |(_, value)| value);
    matcher.is_match(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(query: &str) -> bool {
        let rule = RuleView {
            name: "job:up".into(),
            expr: "up".into(),
            labels: vec![("severity".into(), "page".into())],
            last_error: None,
            remarks: Default::default(),
            evaluated: true,
            evaluation_time: Default::default(),
            alert: None,
        };
        let group = GroupView {
            file: "a b.yml".into(),
            name: "g".into(),
            interval: 1,
            limit: 0,
            last_evaluation: None,
            evaluation_time: Default::default(),
            rules: vec![],
        };
        let filter = Filter::parse(query).unwrap();
        filter.takes_group(&group) && filter.takes_rule(&rule)
    }

    #[test]
    fn each_parameter_narrows() {
        for query in [
            "",
            "unknown=1",
            "type=RECORD&rule_name[]=x&rule_name[]=job%3Aup",
            "rule_group%5B%5D=g&file[]=a+b.yml",
            "match[]=%7Bseverity%3D%22page%22%7D&match[]=other",
            "match[]=%7Bseverity%3D~%22pa.e%22%2Cteam!%3D%22x%22%7D",
        ] {
            assert!(takes(query), "{query}");
        }
        for query in [
            "type=alert",
            "rule_name[]=up",
            "rule_group[]=",
            "file[]=a",
            "match[]=up",
            "match[]=%7Bseverity=~%22pa%22%7D",
        ] {
            assert!(!takes(query), "{query}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        let text = |query: &str| Filter::parse(query).unwrap_err().to_string();
        assert_eq!(text("type=x"), r#"invalid parameter "type": not supported value "x""#);
        assert!(text("exclude_alerts=yes").contains(r#"invalid parameter "exclude_alerts""#));
        assert!(text("match[]=rate(up[5m])").contains("not a series selector"));
        assert!(text("match[]=%7B").starts_with(r#"invalid parameter "match[]""#));
        assert!(text("group_limit=1&group_next_token=x").contains("one answer"));
    }
}
