//! Recognises the matchers of a selector, and what no selector may contain.

use std::ops::Range;

use super::cursor::{Cursor, QUOTED};
use super::error::ExprError;
use super::lexer::Kind;
use super::regex::anchored;
use crate::base::METRIC_NAME;

/// Takes matchers in braces; gives the tokens of each. `named` says whether the metric's name stands before them; if so they may not name it too,
/// though among themselves they may do so several times, as in Prometheus.
pub(super) fn matchers(cursor: &mut Cursor<'_>, named: bool) -> Result<Vec<Range<usize>>, ExprError> {
    let open = cursor.index();
    let mut found = Vec::new();
    cursor.advance();
    while !cursor.sign("}") {
        let start = cursor.index();
        let label = match cursor.kind() {
            Kind::Text(text) => text.clone(),
            Kind::Name => cursor.written().to_owned(),
            Kind::End => return cursor.close("}", open).map(|()| found),
            _ => return Err(cursor.unexpected("a label name or `}`")),
        };
        let quoted = matches!(cursor.kind(), Kind::Text(_));
        if !quoted && label.contains(':') {
            return Err(cursor.unexpected("a label name, which has no colon"));
        }
        cursor.advance();
        let alone = quoted && matches!(cursor.kind(), Kind::Sign("," | "}"));
        if !alone {
            operator_and_value(cursor)?;
        }
        if named && (alone || label == METRIC_NAME) {
            let span = cursor.span(start..cursor.index());
            return Err(ExprError::at(span, "the metric's name is set twice")
                .help("keep the name before the braces or the matcher, not both"));
        }
        found.push(start..cursor.index());
        if !cursor.sign(",") {
            if *cursor.kind() == Kind::Name && cursor.written().eq_ignore_ascii_case("or") {
                return Err(cursor
                    .unexpected("`,` or `}`")
                    .help("PromQL has no `or` between matchers; use a regular expression or `or` between selectors"));
            }
            return cursor.close("}", open).map(|()| found);
        }
    }
    Ok(found)
}

fn operator_and_value(cursor: &mut Cursor<'_>) -> Result<(), ExprError> {
    let regex = match cursor.kind() {
        Kind::Sign("=" | "!=") => false,
        Kind::Sign("=~" | "!~") => true,
        Kind::Sign("==") => return Err(cursor.unexpected("one of = != =~ !~").help("equality of a label is `=`")),
        _ => return Err(cursor.unexpected("one of = != =~ !~")),
    };
    cursor.advance();
    let Kind::Text(value) = cursor.kind() else {
        return Err(cursor.unexpected(QUOTED));
    };
    if regex && let Err(reason) = anchored(value) {
        let span = cursor.span(cursor.index()..cursor.index() + 1);
        let help = if reason.starts_with("repetition") {
            "* repeats what stands before it; any text is .*"
        } else {
            "the syntax is RE2's; a character of it that is meant itself has a backslash, doubled in quotes: \"a\\\\.b\""
        };
        return Err(ExprError::at(span, format!("not a regular expression: {reason}")).help(help));
    }
    cursor.advance();
    Ok(())
}
