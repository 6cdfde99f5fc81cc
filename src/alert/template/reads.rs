//! Which of the alert's labels a template reads, for whoever knows which labels there will be.

use super::ast::{Branch, Node, Operand, Pipeline, Term};
use super::functions::Function;
use super::parse::Tree;

/// A label that a template reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRead {
    /// The label.
    pub name: String,
    /// Where it is read, in bytes from the beginning of the template.
    pub offset: usize,
    /// Bytes of the text that reads it.
    pub length: usize,
}

/// The labels read without asking first whether they are there: those of conditions are left out, wherever they are read.
pub(super) fn reads(tree: &Tree) -> Vec<LabelRead> {
    let mut found = Reads::default();
    found.nodes(&tree.body, true);
    // What the dot is in these depends on where they are used.
    tree.defined.values().for_each(|body| found.nodes(body, false));
    let Reads { mut read, asked } = found;
    read.retain(|label| !asked.contains(&label.name));
    read
}

#[derive(Default)]
struct Reads {
    read: Vec<LabelRead>,
    asked: Vec<String>,
}

impl Reads {
    /// `root`: whether the dot is the alert's data.
    fn nodes(&mut self, body: &[Node], root: bool) {
        for node in body {
            match node {
                Node::Text(_) | Node::Break | Node::Continue => {}
                Node::Action(p) => self.pipeline(p, root),
                Node::If(b) => self.branch(b, root, root),
                Node::With(b) => self.branch(b, root, false),
                Node::Range(b) => {
                    self.pipeline(&b.pipeline, root);
                    self.nodes(&b.body, false);
                    self.nodes(&b.otherwise, root);
                }
                Node::Template { argument, .. } => {
                    if let Some(argument) = argument {
                        self.pipeline(argument, root);
                    }
                }
            }
        }
    }

    fn branch(&mut self, branch: &Branch, root: bool, inside: bool) {
        let before = self.read.len();
        self.pipeline(&branch.pipeline, root);
        self.asked.extend(self.read.drain(before..).map(|label| label.name));
        self.nodes(&branch.body, inside);
        self.nodes(&branch.otherwise, root);
    }

    fn pipeline(&mut self, pipeline: &Pipeline, root: bool) {
        for command in &pipeline.commands {
            self.operand(&command.operand, root);
            command.arguments.iter().for_each(|argument| self.operand(argument, root));
            if let (Term::Function(Function::Index), [of, Operand { term: Term::Text(name), place, .. }]) =
                (&command.operand.term, command.arguments.as_slice())
                && is_labels(of, root)
            {
                self.read.push(LabelRead { name: name.clone(), offset: place.start, length: name.len() + 2 });
            }
        }
    }

    fn operand(&mut self, operand: &Operand, root: bool) {
        if let Term::Pipeline(inner) = &operand.term {
            return self.pipeline(inner, root);
        }
        let (name, before) = match (&operand.term, operand.fields.as_slice()) {
            (Term::Variable(variable), [name, ..]) if variable == "labels" => (name, "$labels."),
            (Term::Variable(variable), [labels, name, ..]) if variable.is_empty() && labels == "Labels" => {
                (name, "$.Labels.")
            }
            (Term::Dot, [labels, name, ..]) if root && labels == "Labels" => (name, ".Labels."),
            _ => return,
        };
        let length = before.len() + name.len();
        self.read.push(LabelRead { name: name.clone(), offset: operand.place.start, length });
    }
}

/// Whether an operand is all labels.
fn is_labels(operand: &Operand, root: bool) -> bool {
    match (&operand.term, operand.fields.as_slice()) {
        (Term::Variable(variable), []) => variable == "labels",
        (Term::Variable(variable), [labels]) => variable.is_empty() && labels == "Labels",
        (Term::Dot, [labels]) => root && labels == "Labels",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Template;

    fn reads(text: &str) -> Vec<(String, String)> {
        let reads = Template::parse(text).unwrap().labels_read();
        reads.into_iter().map(|r| (r.name, text[r.offset..r.offset + r.length].to_owned())).collect()
    }

    #[test]
    fn labels_are_found_with_their_place() {
        let read = |text| reads(text).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            reads("{{ $labels.a | title }} {{ .Labels.b }} {{ $.Labels.c }} {{ index $labels \"d\" }}"),
            [("a", "$labels.a"), ("b", ".Labels.b"), ("c", "$.Labels.c"), ("d", "\"d\"")]
                .map(|(n, t)| (n.to_owned(), t.to_owned()))
        );
        assert_eq!(read("{{ printf \"%s\" (reReplaceAll \"a\" \"b\" $labels.e) }}"), ["e"]);
        assert_eq!(read("{{ if $labels.a }}{{ $labels.a }} {{ $labels.b }}{{ end }}"), ["b"]);
        assert_eq!(read("{{ with $labels.a }}{{ . }}{{ .Labels.b }}{{ end }}{{ $externalLabels.c }}"), [""; 0]);
    }
}
