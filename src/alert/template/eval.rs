//! Walks the tree and writes the text. Bounded in steps, depth and bytes, so that no template can hold the engine up.

use std::collections::BTreeMap;

use super::ast::{Branch, Command, Node, Operand, Pipeline, Place, Term};
use super::bounded::Bounded;
use super::functions::Kind;
use super::parse::Tree;
use super::printf::{Spec, write_plain, write_sample};
use super::value::Value;
use super::{TemplateContext, TemplateError, TemplateFault, clock};

/// Most nodes and commands that one expansion may evaluate. People's templates need some tens.
const MAX_STEPS: u32 = 100_000;

/// Deepest nesting of `template` calls.
const MAX_CALLS: usize = 64;

/// Expands a tree. `variables` are those the parser was told of, in the same order.
pub(super) fn expand<'a>(
    tree: &'a Tree,
    data: &'a TemplateContext<'a>,
    variables: Vec<(&'a str, Value<'a>)>,
) -> Result<String, TemplateError> {
    let mut run = Run {
        data,
        defined: &tree.defined,
        variables,
        out: Bounded::new(data.max_bytes),
        steps: 0,
        calls: Vec::new(),
        queries: 0,
        at: Place::default(),
    };
    run.walk(&tree.body, &Value::Root(data))?;
    Ok(run.out.into_text())
}

pub(super) struct Run<'a> {
    pub data: &'a TemplateContext<'a>,
    defined: &'a BTreeMap<String, Vec<Node>>,
    /// Innermost last.
    variables: Vec<(&'a str, Value<'a>)>,
    out: Bounded,
    steps: u32,
    /// Names of the templates that call each other, innermost last.
    calls: Vec<&'a str>,
    /// Queries made.
    pub queries: usize,
    /// What is being evaluated, as Go counts it; errors name it.
    pub at: Place,
}

/// How a body ended.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Run<'a> {
    fn walk(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<Flow, TemplateError> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push(text).map_err(|e| self.error(e))?;
                    Flow::On
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.print(&value)?;
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
                Node::Template { place, name, argument } => {
                    self.at = *place;
                    self.template(name, argument.as_ref(), dot)?;
                    Flow::On
                }
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value<'a>, moves_dot: bool) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if value.is_true() {
            self.walk(&branch.body, if moves_dot { &value } else { dot })
        } else {
            self.walk(&branch.otherwise, dot)
        };
        self.variables.truncate(outer);
        flow
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value<'a>) -> Result<Flow, TemplateError> {
        let outer = self.variables.len();
        let over = self.pipeline(&branch.pipeline, dot)?;
        let names = &branch.pipeline.variables;
        let mut any = false;
        if let Value::Int(count) = over {
            if names.len() > 1 {
                return Err(self.error(format!("can't use {count} to iterate over more than one variable")));
            }
            for i in 0..count {
                any = true;
                if self.element(branch, Value::Int(i), Value::Int(i))? == Flow::Break {
                    break;
                }
            }
        } else if let Value::Samples(samples) = &over {
            for (i, sample) in (0..).zip(samples.iter()) {
                any = true;
                if self.element(branch, Value::Int(i), Value::Sample(sample.clone()))? == Flow::Break {
                    break;
                }
            }
        } else if let Some(entries) = over.entries() {
            for (key, value) in entries {
                any = true;
                if self.element(branch, Value::text(key), value)? == Flow::Break {
                    break;
                }
            }
        } else if !matches!(over, Value::Nil) {
            return Err(self.error(format!("range can't iterate over {}", self.plain(&over)?)));
        }
        // The pipeline's own variables are seen in the `else` as well.
        let flow = if any { Ok(Flow::On) } else { self.walk(&branch.otherwise, dot) };
        self.variables.truncate(outer);
        flow
    }

    /// One turn of a `range`. With one variable it holds the element, with two the key comes first.
    fn element(&mut self, branch: &'a Branch, key: Value<'a>, value: Value<'a>) -> Result<Flow, TemplateError> {
        self.step()?;
        let outer = self.variables.len();
        let dot = value.clone();
        let pipeline = &branch.pipeline;
        match pipeline.variables.as_slice() {
            [one] => self.set(one, value, pipeline.assigns),
            [first, second] => {
                self.set(first, key, pipeline.assigns);
                self.set(second, value, pipeline.assigns);
            }
            _ => {}
        }
        let flow = self.walk(&branch.body, &dot);
        self.variables.truncate(outer);
        flow
    }

    fn template(
        &mut self,
        name: &'a str,
        argument: Option<&'a Pipeline>,
        dot: &Value<'a>,
    ) -> Result<(), TemplateError> {
        let Some(body) = self.defined.get(name) else {
            return Err(self.error(format!("template {name:?} not defined")));
        };
        let value = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        if self.calls.len() == MAX_CALLS {
            return Err(self.error(format!("templates call each other deeper than {MAX_CALLS}")));
        }
        self.calls.push(name);
        let outside = std::mem::replace(&mut self.variables, vec![("", value.clone())]);
        let outcome = self.walk(body, &value);
        self.variables = outside;
        self.calls.pop();
        outcome.map(|_| ())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        self.at = pipeline.place;
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Nil);
        // A range has its variables set again for each element.
        for name in &pipeline.variables {
            self.set(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        self.step()?;
        let operand = &command.operand;
        if let (Term::Function(function), []) = (&operand.term, operand.fields.as_slice()) {
            self.at = operand.place;
            return self.call(*function, command, dot, last);
        }
        if command.arguments.is_empty() && last.is_none() {
            if operand.term == Term::Nil {
                self.at = operand.place;
                return Err(self.error("nil is not a command"));
            }
            if !matches!(operand.term, Term::Pipeline(_)) {
                self.at = operand.place;
            }
            return self.operand(operand, dot);
        }
        if operand.fields.is_empty() {
            if !matches!(operand.term, Term::Pipeline(_)) {
                self.at = operand.place;
            }
            let value = self.term(operand, dot)?;
            let written = match &operand.term {
                Term::Pipeline(_) => self.plain(&value)?,
                _ => return Err(self.quoting("can't give argument to non-function ", operand.place, "")),
            };
            self.at = command.place;
            return Err(self.error(format!("can't give argument to non-function {written}")));
        }
        let (receiver, method) = self.receiver(operand, dot)?;
        let place = self.at;
        let count = command.arguments.len() + usize::from(last.is_some());
        clock::check_count(&receiver, method, count).map_err(|e| self.error(e))?;
        let mut arguments = Vec::with_capacity(count);
        for argument in &command.arguments {
            let wanted = if matches!(receiver, Value::Time(_)) { Kind::Text } else { Kind::Any };
            arguments.push(self.argument(argument, dot, wanted)?);
        }
        arguments.extend(last);
        if !matches!(receiver, Value::Time(_) | Value::Duration(_)) {
            self.at = place;
        }
        access(&receiver, method, &arguments).map_err(|e| self.error(e))
    }

    pub(super) fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        if operand.fields.is_empty() {
            return self.term(operand, dot);
        }
        let (receiver, field) = self.receiver(operand, dot)?;
        access(&receiver, field, &[]).map_err(|e| self.error(e))
    }

    /// All of an operand but its last field, of which there is one.
    fn receiver(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<(Value<'a>, &'a str), TemplateError> {
        self.at = operand.place;
        let mut value = self.term(operand, dot)?;
        let Some((last, path)) = operand.fields.split_last() else { return Ok((value, "")) };
        for (i, name) in operand.fields.iter().enumerate() {
            // A missing key has no value, and what has none has no fields.
            if matches!(value, Value::Nil) && (i > 0 || !matches!(operand.term, Term::Dot)) {
                return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}")));
            }
            if i < path.len() {
                value = access(&value, name, &[]).map_err(|e| self.error(e))?;
            }
        }
        Ok((value, last))
    }

    /// The value an operand begins with, its fields aside.
    fn term(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        self.step()?;
        Ok(match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil => Value::Nil,
            Term::Bool(b) => Value::Bool(*b),
            Term::Int(v) => Value::Int(*v),
            Term::Float(v) => Value::Float(*v),
            Term::Text(text) => Value::Text(text.as_str().into()),
            Term::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(|| self.error(format!("undefined variable: ${name}")))?,
            Term::Function(function) => {
                self.at = operand.term_place;
                function.check_count(0).map_err(|e| self.error(e))?;
                let called = function.call(&[], self.data);
                called.map_err(|e| self.error(format!("error calling {}: {e}", function.name())))?
            }
            Term::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        })
    }

    fn set(&mut self, name: &'a str, value: Value<'a>, assigns: bool) {
        match self.variables.iter_mut().rev().find(|(known, _)| assigns && *known == name) {
            Some(variable) => variable.1 = value,
            None => self.variables.push((name, value)),
        }
    }

    fn print(&mut self, value: &Value<'a>) -> Result<(), TemplateError> {
        let written = match value {
            Value::Nil => self.out.push("<no value>"),
            // What is pointed to, where `printf` shows that it is pointed to.
            Value::Sample(sample) => write_sample(&mut self.out, &Spec::default(), 'v', sample),
            value => write_plain(&mut self.out, value),
        };
        written.map_err(|e| self.error(e))
    }

    /// A value's text, for an error.
    fn plain(&self, value: &Value<'a>) -> Result<String, TemplateError> {
        let mut out = Bounded::new(self.data.max_bytes);
        write_plain(&mut out, value).map_err(|e| self.error(e))?;
        Ok(out.into_text())
    }

    fn step(&mut self) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(self.error(format!("the template takes more than {MAX_STEPS} steps")));
        }
        Ok(())
    }

    pub(super) fn error(&self, message: impl Into<String>) -> TemplateError {
        let within = self.calls.last().map(|name| (*name).to_owned());
        TemplateError {
            fault: Some(Box::new(TemplateFault { place: self.at, within, quoted: None })),
            ..TemplateError::new(message, self.at.start)
        }
    }

    /// An error whose message quotes a part of the template.
    pub(super) fn quoting(&self, before: &str, part: Place, after: &str) -> TemplateError {
        let mut error = self.error(format!("{before}{after}"));
        if let Some(fault) = &mut error.fault {
            fault.quoted = Some((before.len(), part));
        }
        error
    }
}

/// A field, key or method of a value.
fn access<'a>(value: &Value<'a>, name: &str, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    match value {
        Value::Time(t) => clock::time_method(*t, name, arguments),
        Value::Duration(ns) => clock::duration_method(*ns, name, arguments),
        Value::Named(_, text, _) if name == "String" && arguments.is_empty() => Ok(Value::text(*text)),
        _ if arguments.is_empty() => value.field(name),
        // As Go finds first what there is.
        _ => value.field(name).and(Err(format!("{name} is not a method but has arguments"))),
    }
}
