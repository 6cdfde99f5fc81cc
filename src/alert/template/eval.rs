//! Walks the tree and writes the text. Bounded in steps, depth and bytes, so that no template can hold the engine up.

use std::collections::BTreeMap;

use super::ast::{Branch, Command, Node, Operand, Pipeline, Term};
use super::bounded::Bounded;
use super::functions::Function;
use super::parse::Tree;
use super::printf::write_plain;
use super::value::Value;
use super::{TemplateContext, TemplateError, clock};

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
    let mut run =
        Run { data, defined: &tree.defined, variables, out: Bounded::new(data.max_bytes), steps: 0, calls: 0 };
    run.walk(&tree.body, &Value::Root(data))?;
    Ok(run.out.into_text())
}

struct Run<'a> {
    data: &'a TemplateContext<'a>,
    defined: &'a BTreeMap<String, Vec<Node>>,
    /// Innermost last.
    variables: Vec<(&'a str, Value<'a>)>,
    out: Bounded,
    steps: u32,
    calls: usize,
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
            self.step(0)?;
            let flow = match node {
                Node::Text(text) => {
                    self.out.push(text).map_err(|e| TemplateError::new(e, 0))?;
                    Flow::On
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.print(&value, pipeline.commands[0].operand.offset)?;
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
                Node::Template { offset, name, argument } => {
                    self.template(*offset, name, argument.as_ref(), dot)?;
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
        let offset = branch.pipeline.commands[0].operand.offset;
        let names = &branch.pipeline.variables;
        let mut any = false;
        if let Value::Int(count) = over {
            if names.len() > 1 {
                return Err(TemplateError::new("a number gives range one variable, not two", offset));
            }
            for i in 0..count {
                any = true;
                if self.element(branch, Value::Int(i), Value::Int(i), offset)? == Flow::Break {
                    break;
                }
            }
        } else if let Some(entries) = over.entries() {
            for (key, value) in entries {
                any = true;
                if self.element(branch, Value::text(key), value, offset)? == Flow::Break {
                    break;
                }
            }
        } else if !matches!(over, Value::Nil) {
            return Err(TemplateError::new(format!("range can't iterate over {}", over.type_name()), offset));
        }
        // The pipeline's own variables are seen in the `else` as well.
        let flow = if any { Ok(Flow::On) } else { self.walk(&branch.otherwise, dot) };
        self.variables.truncate(outer);
        flow
    }

    /// One turn of a `range`. With one variable it holds the element, with two the key comes first.
    fn element(
        &mut self,
        branch: &'a Branch,
        key: Value<'a>,
        value: Value<'a>,
        offset: usize,
    ) -> Result<Flow, TemplateError> {
        self.step(offset)?;
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
        offset: usize,
        name: &str,
        argument: Option<&'a Pipeline>,
        dot: &Value<'a>,
    ) -> Result<(), TemplateError> {
        let Some(body) = self.defined.get(name) else {
            return Err(TemplateError::new(format!("template {name:?} not defined"), offset));
        };
        let value = match argument {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Nil,
        };
        if self.calls == MAX_CALLS {
            return Err(TemplateError::new(format!("templates call each other deeper than {MAX_CALLS}"), offset));
        }
        self.calls += 1;
        let outside = std::mem::replace(&mut self.variables, vec![("", value.clone())]);
        let outcome = self.walk(body, &value);
        self.variables = outside;
        self.calls -= 1;
        outcome.map(|_| ())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
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
        let operand = &command.operand;
        let offset = operand.offset;
        self.step(offset)?;
        let at = |message: String| TemplateError::new(message, offset);
        match &operand.term {
            Term::Nil if command.arguments.is_empty() => return Err(at("nil is not a command".to_owned())),
            Term::Function(function @ (Function::And | Function::Or)) if operand.fields.is_empty() => {
                return self.shortcut(*function, command, dot, last);
            }
            _ => {}
        }
        let mut arguments = Vec::with_capacity(command.arguments.len() + 1);
        for argument in &command.arguments {
            arguments.push(self.operand(argument, dot)?);
        }
        arguments.extend(last);
        if let (Term::Function(function), []) = (&operand.term, operand.fields.as_slice()) {
            return function.call(&arguments, self.data).map_err(|e| at(format!("{}: {e}", function.name())));
        }
        if arguments.is_empty() {
            return self.operand(operand, dot);
        }
        let Some((method, path)) = operand.fields.split_last() else {
            return Err(at("can't give an argument to what is no function".to_owned()));
        };
        let base = self.term(operand, dot)?;
        let receiver = path.iter().try_fold(base, |value, name| access(&value, name, &[])).map_err(at)?;
        access(&receiver, method, &arguments).map_err(at)
    }

    /// `and` and `or` evaluate no further than they must.
    fn shortcut(
        &mut self,
        function: Function,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let count = command.arguments.len() + usize::from(last.is_some());
        function.check_count(count).map_err(|e| TemplateError::new(e, command.operand.offset))?;
        let mut value = Value::Nil;
        for argument in &command.arguments {
            value = self.operand(argument, dot)?;
            if value.is_true() == (function == Function::Or) {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        let base = self.term(operand, dot)?;
        operand
            .fields
            .iter()
            .try_fold(base, |value, name| access(&value, name, &[]))
            .map_err(|e| TemplateError::new(e, operand.offset))
    }

    /// The value an operand begins with, its fields aside.
    fn term(&mut self, operand: &'a Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        self.step(operand.offset)?;
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
                .ok_or_else(|| TemplateError::new(format!("undefined variable ${name}"), operand.offset))?,
            Term::Function(function) => function
                .call(&[], self.data)
                .map_err(|e| TemplateError::new(format!("{}: {e}", function.name()), operand.offset))?,
            Term::Pipeline(pipeline) => self.pipeline(pipeline, dot)?,
        })
    }

    fn set(&mut self, name: &'a str, value: Value<'a>, assigns: bool) {
        match self.variables.iter_mut().rev().find(|(known, _)| assigns && *known == name) {
            Some(variable) => variable.1 = value,
            None => self.variables.push((name, value)),
        }
    }

    fn print(&mut self, value: &Value<'a>, offset: usize) -> Result<(), TemplateError> {
        let written = match value {
            Value::Nil => self.out.push("<no value>"),
            value => write_plain(&mut self.out, value),
        };
        written.map_err(|e| TemplateError::new(e, offset))
    }

    fn step(&mut self, offset: usize) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(TemplateError::new(format!("the template takes more than {MAX_STEPS} steps"), offset));
        }
        Ok(())
    }
}

/// A field, key or method of a value.
fn access<'a>(value: &Value<'a>, name: &str, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
    match value {
        Value::Time(t) => clock::time_method(*t, name, arguments),
        Value::Duration(ns) => clock::duration_method(*ns, name, arguments),
        _ if arguments.is_empty() => value.field(name),
        _ => Err(format!("{name} is not a method but has arguments")),
    }
}
