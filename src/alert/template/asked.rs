//! The queries that a template makes, as far as they are known before it is expanded: what is written is known, what comes
//! from labels and values is a hole. Knows nothing of PromQL; whoever parses the texts sees where the holes stand.

use super::ast::{Branch, Command, Node, Operand, Pipeline, Term};
use super::functions::Function;
use super::parse::Tree;

/// Stands for a text that is not known yet. No label, metric or number is called so.
pub const TEXT_HOLE: &str = "forewarn_hole_in_a_query";

/// Stands for a number that is not known yet.
pub const NUMBER_HOLE: &str = "70368744177663.984375";

/// Most different texts that one variable may have; beyond, it counts as not known.
const MOST_TEXTS: usize = 16;

/// A query that a template makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedQuery {
    /// The expression, with [`TEXT_HOLE`] and [`NUMBER_HOLE`] where it is not known yet.
    pub expr: String,
    /// Where `query` stands in the template, bytes.
    pub offset: usize,
    /// Where the text stands in the template, if it is written out as one literal that `query` takes.
    pub literal: Option<usize>,
}

/// All queries of a template, those of its `define`s included.
pub(super) fn queries(tree: &Tree) -> Vec<AskedQuery> {
    let mut walk = Walk { variables: vec![], asked: vec![] };
    walk.nodes(&tree.body, &Known::hole());
    for body in tree.defined.values() {
        walk.variables.clear();
        walk.nodes(body, &Known::hole());
    }
    walk.asked
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// One of these texts.
    Texts(Vec<String>),
    /// A number, whatever it is.
    Number,
}

impl Known {
    fn hole() -> Self {
        Self::Texts(vec![TEXT_HOLE.to_owned()])
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Texts(mut texts), Self::Texts(others)) => {
                for text in others {
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
                if texts.len() > MOST_TEXTS { Self::hole() } else { Self::Texts(texts) }
            }
            (Self::Number, Self::Number) => Self::Number,
            _ => Self::hole(),
        }
    }
}

struct Walk {
    /// Innermost last.
    variables: Vec<(String, Known)>,
    asked: Vec<AskedQuery>,
}

impl Walk {
    fn nodes(&mut self, nodes: &[Node], dot: &Known) {
        for node in nodes {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(pipeline) => {
                    self.pipeline(pipeline, dot);
                }
                Node::If(branch) => self.branch(branch, dot, None),
                Node::With(branch) => self.branch(branch, dot, Some(false)),
                Node::Range(branch) => self.branch(branch, dot, Some(true)),
                Node::Template { argument, .. } => {
                    if let Some(pipeline) = argument {
                        self.pipeline(pipeline, dot);
                    }
                }
            }
        }
    }

    /// `moves_dot`: whether the dot becomes the pipeline's value; true if it becomes an element of it.
    fn branch(&mut self, branch: &Branch, dot: &Known, moves_dot: Option<bool>) {
        let outer = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot);
        let inner = match moves_dot {
            None => dot.clone(),
            Some(false) => value,
            Some(true) => {
                for variable in &mut self.variables[outer..] {
                    variable.1 = Known::hole();
                }
                Known::hole()
            }
        };
        let declared = self.variables.len();
        self.nodes(&branch.body, &inner);
        self.variables.truncate(declared);
        self.nodes(&branch.otherwise, dot);
        self.variables.truncate(outer);
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Known) -> Known {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last));
        }
        let value = last.unwrap_or(Known::hole());
        for name in &pipeline.variables {
            match self.variables.iter_mut().rev().find(|(known, _)| pipeline.assigns && known == name) {
                // It may be set in a branch that is not taken.
                Some(variable) => variable.1 = variable.1.clone().or(value.clone()),
                None => self.variables.push((name.clone(), value.clone())),
            }
        }
        value
    }

    fn command(&mut self, command: &Command, dot: &Known, last: Option<Known>) -> Known {
        let mut arguments: Vec<Known> = command.arguments.iter().map(|argument| self.operand(argument, dot)).collect();
        arguments.extend(last);
        let (Term::Function(function), []) = (&command.operand.term, command.operand.fields.as_slice()) else {
            return self.operand(&command.operand, dot);
        };
        match function {
            Function::Query => {
                let literal = command.arguments.first().filter(|a| matches!(a.term, Term::Text(_)));
                if let Some(Known::Texts(texts)) = arguments.first() {
                    let asked = |expr: &String| AskedQuery {
                        expr: expr.clone(),
                        offset: command.place.start,
                        literal: literal.map(|operand| operand.place.start),
                    };
                    self.asked.extend(texts.iter().map(asked));
                }
                Known::hole()
            }
            Function::Printf => match arguments.split_first() {
                Some((Known::Texts(formats), rest)) => {
                    let texts = formats.iter().map(|format| printf(format, rest));
                    texts.reduce(Known::or).unwrap_or_else(Known::hole)
                }
                _ => Known::hole(),
            },
            Function::Print => arguments.iter().fold(Known::Texts(vec![String::new()]), append),
            Function::Value | Function::Len | Function::Now | Function::ParseDuration => Known::Number,
            _ => Known::hole(),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Known) -> Known {
        let term = match &operand.term {
            Term::Pipeline(pipeline) => self.pipeline(pipeline, dot),
            Term::Text(text) => Known::Texts(vec![text.clone()]),
            Term::Int(v) => Known::Texts(vec![v.to_string()]),
            Term::Float(_) => Known::Number,
            Term::Variable(name) if name == "value" => Known::Number,
            Term::Variable(name) => {
                self.variables.iter().rev().find(|(known, _)| known == name).map_or_else(Known::hole, |v| v.1.clone())
            }
            Term::Dot => dot.clone(),
            Term::Function(Function::Now) => Known::Number,
            _ => Known::hole(),
        };
        match operand.fields.last().map(String::as_str) {
            None => term,
            // Of the alert, or of an element of a result.
            Some("Value") => Known::Number,
            Some(_) => Known::hole(),
        }
    }
}

/// Every text followed by every other.
fn append(before: Known, next: &Known) -> Known {
    let (Known::Texts(before), next) = (before, texts_of(next)) else { return Known::hole() };
    let both = before.iter().flat_map(|a| next.iter().map(move |b| format!("{a}{b}")));
    if before.len() * next.len() > MOST_TEXTS { Known::hole() } else { Known::Texts(both.collect()) }
}

fn texts_of(known: &Known) -> Vec<String> {
    match known {
        Known::Texts(texts) => texts.clone(),
        Known::Number => vec![NUMBER_HOLE.to_owned()],
    }
}

/// What `printf` gives for the verbs that queries have; nothing is known of a text with others.
fn printf(format: &str, arguments: &[Known]) -> Known {
    let mut out = Known::Texts(vec![String::new()]);
    let (mut rest, mut next) = (format, arguments.iter());
    while let Some(at) = rest.find('%') {
        out = append(out, &Known::Texts(vec![rest[..at].to_owned()]));
        rest = &rest[at + 1..];
        let flags = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || "+-# .".contains(c)).len();
        let Some(verb) = rest[flags..].chars().next() else { return Known::hole() };
        let is_plain = flags == 0;
        rest = &rest[flags + verb.len_utf8()..];
        if verb == '%' {
            out = append(out, &Known::Texts(vec!["%".to_owned()]));
            continue;
        }
        let Some(argument) = next.next() else { return Known::hole() };
        let written = match (verb, argument) {
            ('s' | 'v' | 'd', Known::Texts(texts)) if is_plain && verb != 'd' || texts_are_numbers(argument) => {
                Known::Texts(texts.clone())
            }
            ('q', Known::Texts(texts)) if is_plain => {
                Known::Texts(texts.iter().map(|text| super::printf::quote(text, '"', false)).collect())
            }
            ('v' | 'd' | 'f' | 'F' | 'e' | 'g', _) => Known::Number,
            ('s' | 'q', _) => Known::hole(),
            _ => return Known::hole(),
        };
        out = append(out, &written);
    }
    append(out, &Known::Texts(vec![rest.to_owned()]))
}

fn texts_are_numbers(known: &Known) -> bool {
    matches!(known, Known::Texts(texts) if texts.iter().all(|text| text.parse::<i64>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;

    fn asked(text: &str) -> Vec<String> {
        Template::parse(text).unwrap().queries().into_iter().map(|q| q.expr).collect()
    }

    #[test]
    fn what_is_written_is_known_and_the_rest_is_a_hole() {
        let (t, n) = (TEXT_HOLE, NUMBER_HOLE);
        for (text, queries) in [
            ("{{ $value }}", vec![]),
            (r#"{{ query "up" | first | value }}"#, vec!["up".to_owned()]),
            (r#"{{ with printf "m{i='%s'}" .Labels.i | query }}{{ . }}{{ end }}"#, vec![format!("m{{i='{t}'}}")]),
            (r#"{{ query (printf "m{i=%q} > %f" $labels.i $value) }}"#, vec![format!("m{{i=\"{t}\"}} > {n}")]),
            (
                r#"{{ $q := "a" }}{{ if .Labels.x }}{{ $q = "b" }}{{ end }}{{ range query $q }}x{{ end }}"#,
                vec!["a".into(), "b".into()],
            ),
            (r#"{{ with printf "rate(x[%dm])" 5 }}{{ query . | first }}{{ end }}"#, vec!["rate(x[5m])".into()]),
            (r#"{{ query (print "m{a='" $labels.a "'}") }}"#, vec![format!("m{{a='{t}'}}")]),
            (r#"{{ query $labels.q }}{{ query (toLower "M") }}"#, vec![t.to_owned(), t.to_owned()]),
            (
                r#"{{ define "d" }}{{ query "up" }}{{ query . }}{{ end }}{{ template "d" "x" }}"#,
                vec!["up".into(), t.to_owned()],
            ),
            (
                r#"{{ printf "%s" (query "b" | first | label "x" | printf "c{x='%s'}" | query) }}"#,
                vec!["b".into(), format!("c{{x='{t}'}}")],
            ),
            (
                r#"{{ query (printf "topk(%d, m)" 3) }}{{ query (printf "%[1]s" "m") }}"#,
                vec!["topk(3, m)".into(), t.to_owned()],
            ),
        ] {
            assert_eq!(asked(text), queries, "{text}");
        }
        let template = Template::parse("x {{ query `up` | len }}").unwrap();
        assert_eq!(template.queries()[0], AskedQuery { expr: "up".into(), offset: 5, literal: Some(11) });
    }
}
