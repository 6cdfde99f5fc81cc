//! The values of literals: strings with Go's escapes, numbers with Go's notations.
//!
//! Knows nothing of tokens or grammar.

/// The value of a quoted string, quotes included in `text`; on failure the byte offset in `text` and the reason.
///
/// Double and single quotes take the escapes of Go's `strconv.Unquote`; back-quotes take none.
pub(super) fn unquote(text: &str) -> Result<String, (usize, String)> {
    let quote = text.chars().next().unwrap_or('"');
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    if quote == '`' {
        return Ok(inner.to_owned());
    }
    // Bytes and not characters: \xe2\x82\xac is one character written as three escapes.
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(c) = rest.chars().next() {
        let at = 1 + inner.len() - rest.len();
        if c == '\n' {
            return Err((at, "a line break inside a quoted string".to_owned()));
        }
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let used = escape(&rest[1..], quote, &mut out).ok_or_else(|| {
            let shown: String = rest.chars().take(2).collect();
            (at, format!("unknown escape sequence {shown}"))
        })?;
        rest = &rest[1 + used..];
    }
    String::from_utf8(out).map_err(|_| (0, "the string's escapes do not give UTF-8".to_owned()))
}

/// Writes the value of the escape that follows a backslash; gives the bytes used.
fn escape(rest: &str, quote: char, out: &mut Vec<u8>) -> Option<usize> {
    let c = rest.chars().next()?;
    let simple = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' | '"' if c == quote => rest.as_bytes()[0],
        '0'..='7' => {
            let digits = rest.get(..3)?;
            out.push(u8::from_str_radix(digits, 8).ok()?);
            return Some(3);
        }
        'x' => {
            out.push(u8::from_str_radix(hex(rest, 2)?, 16).ok()?);
            return Some(3);
        }
        'u' | 'U' => {
            let width = if c == 'u' { 4 } else { 8 };
            let code = u32::from_str_radix(hex(rest, width)?, 16).ok()?;
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(1 + width);
        }
        _ => return None,
    };
    out.push(simple);
    Some(1)
}

fn hex(rest: &str, width: usize) -> Option<&str> {
    rest.get(1..=width).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Writes a string in double quotes with the few escapes that every PromQL parser reads alike.
pub(super) fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of a number as Prometheus reads it: Go's integer notations first (0x1F, 017, 1_000), then a float.
pub(super) fn number(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase().replace('_', "");
    if let Some(digits) = lower.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|n| n as f64);
    }
    if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return u64::from_str_radix(&lower, 8).ok().map(|n| n as f64);
    }
    lower.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_unquote_as_in_go() {
        for (text, value) in [
            (r#""a\tb""#, "a\tb"),
            (r"`a\.b`", r"a\.b"),
            (r"'it\'s'", "it's"),
            (r#""\xe2\x82\xac""#, "€"),
            (r#""\u20ac\101""#, "€A"),
        ] {
            assert_eq!(unquote(text).as_deref(), Ok(value));
            assert_eq!(unquote(&quote(value)).as_deref(), Ok(value));
        }
        assert_eq!(unquote(r#""a\.b""#), Err((2, r"unknown escape sequence \.".to_owned())));
        for bad in [r#""\xff""#, r#""\'""#, r#""\u12""#, "\"a\nb\"", r#""\é""#, r#""\400""#] {
            assert!(unquote(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_read_as_in_go() {
        for (text, value) in [("0x1F", 31.0), ("017", 15.0), ("018", 18.0), ("0e5", 0.0), ("1e3", 1000.0), (".5", 0.5)]
        {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert_eq!(number("1e"), None);
    }
}
