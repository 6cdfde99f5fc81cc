//! Finds out whether a template's result depends on more than labels and configuration.

use super::ast::{Branch, Node, Operand, Pipeline, Term};
use super::functions::Function;
use super::parse::Tree;

/// Whether the result may differ between ticks for the same labels. Errs towards yes.
pub(super) fn varies(tree: &Tree) -> bool {
    nodes(&tree.body) || tree.defined.values().any(|body| nodes(body))
}

fn nodes(body: &[Node]) -> bool {
    body.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(p) => pipeline(p),
        Node::If(b) | Node::With(b) | Node::Range(b) => branch(b),
        Node::Template { argument, .. } => argument.as_ref().is_some_and(pipeline),
    })
}

fn branch(branch: &Branch) -> bool {
    pipeline(&branch.pipeline) || nodes(&branch.body) || nodes(&branch.otherwise)
}

fn pipeline(pipeline: &Pipeline) -> bool {
    pipeline.commands.iter().any(|command| operand(&command.operand) || command.arguments.iter().any(operand))
}

fn operand(operand: &Operand) -> bool {
    let first = operand.fields.first().map(String::as_str);
    match &operand.term {
        Term::Variable(name) if name == "value" => true,
        // The dot and `$` may be the alert's data, of which only these fields never change; a dot without a field may be
        // anything.
        Term::Dot => matches!(first, None | Some("Value")),
        Term::Variable(name) if name.is_empty() => matches!(first, None | Some("Value")),
        Term::Function(function) => matches!(function, Function::Now | Function::Query),
        Term::Pipeline(inner) => pipeline(inner),
        _ => false,
    }
}
