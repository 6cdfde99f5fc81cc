//! Calls of functions within an expansion: arguments of the kinds that Go's types ask for, shortcuts, and queries.

use std::rc::Rc;

use super::TemplateError;
use super::ast::{Command, Operand, Term};
use super::eval::Run;
use super::functions::{Function, Kind};
use super::value::Value;

impl<'a> Run<'a> {
    /// Calls a function. `and` and `or` evaluate no further than they must.
    pub(super) fn call(
        &mut self,
        function: Function,
        command: &'a Command,
        dot: &Value<'a>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let count = command.arguments.len() + usize::from(last.is_some());
        function.check_count(count).map_err(|e| self.error(e))?;
        let shortcut = matches!(function, Function::And | Function::Or);
        let mut arguments = Vec::with_capacity(count);
        for (i, argument) in command.arguments.iter().enumerate() {
            let value = self.argument(argument, dot, function.parameter(i))?;
            if shortcut && value.is_true() == (function == Function::Or) {
                return Ok(value);
            }
            arguments.push(value);
        }
        if let Some(last) = last {
            self.check(&last, function.parameter(arguments.len()))?;
            arguments.push(last);
        }
        if shortcut {
            return Ok(arguments.pop().unwrap_or(Value::Nil));
        }
        let called = match function {
            Function::Query => self.query(&arguments[0]),
            Function::Call if !matches!(arguments[0], Value::Nil) => {
                let named = command.arguments.first().map_or(command.place, |argument| argument.place);
                self.at = command.place;
                let rest = format!(" of type {}", arguments[0].type_name());
                return Err(self.quoting("error calling call: non-function ", named, &rest));
            }
            _ => function.call(&arguments, self.data),
        };
        called.map_err(|e| {
            self.at = command.place;
            self.error(format!("error calling {}: {e}", function.name()))
        })
    }

    fn query(&mut self, text: &Value<'a>) -> Result<Value<'a>, String> {
        let Value::Text(text) = text else { return Ok(Value::Nil) };
        self.queries += 1;
        if self.queries > self.data.max_queries {
            return Err(format!("the template makes more than {} queries", self.data.max_queries));
        }
        let found = self.data.queries.query(text, self.data.now)?;
        Ok(Value::Samples(found.into_iter().map(Rc::new).collect()))
    }

    /// The value of an argument, of the kind that its function takes.
    pub(super) fn argument(
        &mut self,
        operand: &'a Operand,
        dot: &Value<'a>,
        wanted: Kind,
    ) -> Result<Value<'a>, TemplateError> {
        self.at = operand.place;
        let is_literal = matches!(operand.term, Term::Bool(_) | Term::Int(_) | Term::Float(_) | Term::Text(_));
        if operand.term == Term::Nil && matches!(wanted, Kind::Text) {
            return Err(self.error(format!("cannot assign nil to {}", wanted.type_name())));
        }
        let value = self.operand(operand, dot)?;
        if is_literal && !wanted.takes(&value) {
            return Err(match wanted {
                Kind::Text => self.quoting("expected string; found ", operand.place, ""),
                _ => {
                    let rest = format!(" for arg of type {}", wanted.type_name());
                    self.quoting("can't handle ", operand.place, &rest)
                }
            });
        }
        self.check(&value, wanted)?;
        Ok(value)
    }

    fn check(&self, value: &Value<'a>, wanted: Kind) -> Result<(), TemplateError> {
        match value {
            _ if wanted.takes(value) => Ok(()),
            Value::Nil => Err(self.error(format!("invalid value; expected {}", wanted.type_name()))),
            other => Err(self.error(format!(
                "wrong type for value; expected {}; got {}",
                wanted.type_name(),
                other.type_name()
            ))),
        }
    }
}
