//! Recognises the matchers of a selector, and what no selector may contain.

use super::error::ExprError;
use super::lexer::Kind;
use super::regex::anchored;
use super::syntax::Grammar;
use crate::base::METRIC_NAME;

/// Takes matchers in braces. `name` is the token of the metric's name, where one stands before them.
pub(super) fn matchers(grammar: &mut Grammar<'_>, name: Option<usize>) -> Result<(), ExprError> {
    let open = grammar.index();
    grammar.advance();
    let mut named = name.is_some();
    while !grammar.sign("}") {
        let start = grammar.index();
        let label = match grammar.kind() {
            Kind::Text(text) => text.clone(),
            Kind::Name => grammar.written().to_owned(),
            Kind::End => return grammar.close("}", open),
            _ => return Err(grammar.unexpected("a label name or `}`")),
        };
        let quoted = matches!(grammar.kind(), Kind::Text(_));
        if !quoted && label.contains(':') {
            return Err(grammar.unexpected("a label name, which has no colon"));
        }
        grammar.advance();
        let alone = quoted && matches!(grammar.kind(), Kind::Sign("," | "}"));
        if !alone {
            operator_and_value(grammar)?;
        }
        if alone || label == METRIC_NAME {
            if named && (alone || name.is_some()) {
                let span = grammar.span(start..grammar.index());
                return Err(ExprError::at(span, "the metric's name is set twice")
                    .help("keep the name before the braces or the matcher, not both"));
            }
            named = named || alone;
        }
        if !grammar.sign(",") {
            if *grammar.kind() == Kind::Name && grammar.written().eq_ignore_ascii_case("or") {
                return Err(grammar
                    .unexpected("`,` or `}`")
                    .help("PromQL has no `or` between matchers; use a regular expression or `or` between selectors"));
            }
            return grammar.close("}", open);
        }
    }
    Ok(())
}

fn operator_and_value(grammar: &mut Grammar<'_>) -> Result<(), ExprError> {
    let regex = match grammar.kind() {
        Kind::Sign("=" | "!=") => false,
        Kind::Sign("=~" | "!~") => true,
        Kind::Sign("==") => return Err(grammar.unexpected("one of = != =~ !~").help("equality of a label is `=`")),
        _ => return Err(grammar.unexpected("one of = != =~ !~")),
    };
    grammar.advance();
    let Kind::Text(value) = grammar.kind() else {
        return Err(grammar.unexpected("a quoted string"));
    };
    if regex && let Err(reason) = anchored(value) {
        let span = grammar.span(grammar.index()..grammar.index() + 1);
        return Err(ExprError::at(span, format!("not a regular expression: {reason}")));
    }
    grammar.advance();
    Ok(())
}
