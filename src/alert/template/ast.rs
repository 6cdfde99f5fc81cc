//! The tree of a parsed template. Holds no values of any alert and does not know how it is evaluated.

use super::functions::Function;

/// Where a part stands, in bytes of the template's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Where Go says that it is: for `$labels.job` at the field.
    pub position: usize,
    /// Its first byte.
    pub start: usize,
    /// Behind its last byte, white space perhaps included.
    pub end: usize,
}

/// A part of a template's body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// Text outside actions, white space already trimmed.
    Text(String),
    /// A pipeline; its value is printed unless it only sets variables.
    Action(Pipeline),
    /// `if`.
    If(Branch),
    /// `with`: as `if`, and the dot becomes the pipeline's value.
    With(Branch),
    /// `range`: the body for every element, the dot being the element.
    Range(Branch),
    /// `break` out of the innermost `range`.
    Break,
    /// `continue` with the next element of the innermost `range`.
    Continue,
    /// `template "name" pipeline`.
    Template {
        /// Where it stands.
        place: Place,
        /// Name given by `define` or `block`.
        name: String,
        /// The dot within; nothing where it is left out.
        argument: Option<Pipeline>,
    },
}

/// A pipeline with two bodies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Branch {
    pub pipeline: Pipeline,
    pub body: Vec<Node>,
    /// After `else`; empty where there is none.
    pub otherwise: Vec<Node>,
}

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pipeline {
    pub place: Place,
    /// Names on the left, without `$`.
    pub variables: Vec<String>,
    /// Whether the names exist already (`=`) or begin here (`:=`).
    pub assigns: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// An operand with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Command {
    pub place: Place,
    pub operand: Operand,
    pub arguments: Vec<Operand>,
}

/// A term with the fields taken from it: `$labels.job`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub place: Place,
    /// Where its term stands.
    pub term_place: Place,
    pub term: Term,
    pub fields: Vec<String>,
}

/// What an operand begins with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Name without `$`; empty for `$` itself, the data the template was given.
    Variable(String),
    Function(Function),
    Pipeline(Box<Pipeline>),
}
