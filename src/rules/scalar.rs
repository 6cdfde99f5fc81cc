//! From a place in a YAML scalar's value to the place in the file.
//!
//! YAML folds lines, strips indentation and takes escapes, so the value is not a slice of the file. Both have the same
//! characters in the same order but for blanks and escapes, and along those they are laid side by side.

use std::ops::Range;

/// Where `within`, bytes of `value`, stands in `source`, given the bytes of the scalar there: with its quotes if it has
/// some, without the header if it is a block. None where the two do not lie side by side (escapes like `\x41`).
pub(super) fn place(source: &str, scalar: Range<usize>, value: &str, within: Range<usize>) -> Option<Range<usize>> {
    let text = source.get(scalar.clone())?;
    // A block's content may begin with a quote as well, so plain comes first.
    let pairs = align(text, value, None).or_else(|| {
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        align(text, value, Some(quote))
    })?;
    let first = pairs.partition_point(|pair| pair.value < within.start);
    let last = pairs.partition_point(|pair| pair.value < within.end);
    let start = match pairs.get(first) {
        Some(pair) if within.start < value.trim_end().len() => pair.text,
        _ => pairs.last().map_or(0, |pair| pair.text + pair.length),
    };
    let end = match last.checked_sub(1).and_then(|i| pairs.get(i)) {
        Some(pair) if last > first => pair.text + pair.length,
        _ => start,
    };
    Some(scalar.start + start..scalar.start + end.max(start))
}

/// A character that is no blank: where it stands in the value and in the text, and its bytes in the text.
struct Pair {
    value: usize,
    text: usize,
    length: usize,
}

fn align(text: &str, value: &str, quote: Option<char>) -> Option<Vec<Pair>> {
    let mut pairs = Vec::with_capacity(value.len());
    let mut at = quote.map_or(0, char::len_utf8);
    for (offset, c) in value.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        at += blanks(&text[at..], quote);
        let rest = &text[at..];
        let doubled = match quote {
            Some('\'') => rest.starts_with("''"),
            Some(_) => rest.starts_with('\\'),
            None => false,
        };
        let skipped = usize::from(doubled);
        let found = rest[skipped..].chars().next()?;
        if found != c {
            return None;
        }
        pairs.push(Pair { value: offset, text: at, length: skipped + c.len_utf8() });
        at += skipped + c.len_utf8();
    }
    Some(pairs)
}

/// Bytes of blanks at the start, written out or, in double quotes, as escapes.
fn blanks(text: &str, quote: Option<char>) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let escape =
            quote == Some('"') && rest.starts_with('\\') && rest[1..].starts_with(['n', 't', 'r', ' ', '\n', '_']);
        if !escape {
            return text.len() - rest.len();
        }
        rest = &rest[2..];
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_saphyr::Spanned;

    use super::*;

    #[derive(Deserialize)]
    struct Doc {
        expr: Spanned<String>,
    }

    /// The text in the file that a part of the value stands for.
    fn found<'a>(yaml: &'a str, part: &str) -> Option<&'a str> {
        let doc: Doc = serde_saphyr::from_str(yaml).unwrap();
        let span = doc.expr.defined.span();
        let start = span.byte_offset().unwrap() as usize;
        let scalar = start..start + span.byte_len().unwrap() as usize;
        let at = doc.expr.value.find(part).expect(part);
        place(yaml, scalar, &doc.expr.value, at..at + part.len()).map(|range| &yaml[range])
    }

    #[test]
    fn parts_are_found_in_every_kind_of_scalar() {
        for yaml in [
            "expr: sum(é) + rate(x)\n",
            "expr: sum(é)\n  + rate(x)\n",
            "# é\nexpr: |\n  sum(é) # why\n    + rate(x)\n",
            "expr: >-\n  sum(é)\n\n  + rate(x)\n",
            "expr: |2-  # header\n    sum(é)\n  + rate(x)\n",
            "expr: \"sum(é) + rate(x)\"\n",
            "expr: \"sum(é)\\n \\\n  + rate(x)\"\n",
            "expr: '''a'' == sum(é) + rate(x)'\n",
            "expr: |\n  \"a\" == sum(é) + rate(x)\n",
        ] {
            assert_eq!(found(yaml, "rate(x)"), Some("rate(x)"), "{yaml}");
            assert_eq!(found(yaml, "é"), Some("é"), "{yaml}");
        }
        assert_eq!(found("expr: \"a{b=\\\"c\\\"} + rate(x)\"", "\"c\""), Some("\\\"c\\\""));
        assert_eq!(found("expr: 'a{b=''c''}'", "'c'"), Some("''c''"));
        assert_eq!(found("expr: \"\\x41 + rate(x)\"", "rate(x)"), None);
    }

    #[test]
    fn the_end_of_the_value_is_behind_its_last_character() {
        let yaml = "expr: |\n  a +\n\nfor: 5m\n";
        assert_eq!(place(yaml, 10..15, "a +\n", 3..3), Some(13..13));
        assert_eq!(place(yaml, 10..15, "a +\n", 4..4), Some(13..13));
    }
}
