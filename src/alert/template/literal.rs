//! Literals as Go writes them: numbers, characters and strings.

use super::TemplateError;
use super::lex::Kind;

/// Reads a number at `at`: `3`, `-3`, `0x1F`, `0b11`, `010` (octal), `1_000`, `2.5`, `1e3`.
pub(super) fn read_number(text: &str, at: &mut usize) -> Result<Kind, TemplateError> {
    let start = *at;
    let rest = &text[start..];
    let hexadecimal = rest.trim_start_matches(['+', '-']).starts_with("0x");
    let mut end = 0;
    for (i, c) in rest.char_indices() {
        let after_exponent = !hexadecimal && rest[..i].ends_with(['e', 'E']);
        let sign = matches!(c, '+' | '-') && (i == 0 || after_exponent);
        if !(sign || c == '.' || c == '_' || c.is_alphanumeric()) {
            break;
        }
        end = i + c.len_utf8();
    }
    *at += end;
    let written = &rest[..end];
    let fault = || TemplateError::new(format!("illegal number {written:?}"), start);
    let plain = written.replace('_', "");
    if !hexadecimal && plain.contains(['.', 'e', 'E']) {
        let well_formed = plain.chars().all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
        let value = plain.parse::<f64>().ok().filter(|v| v.is_finite() && well_formed);
        return value.map(Kind::Float).ok_or_else(fault);
    }
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(fault());
    }
    let magnitude = i128::from_str_radix(digits, radix).map_err(|_| fault())?;
    let value = if negative { -magnitude } else { magnitude };
    i64::try_from(value).map(Kind::Int).map_err(|_| TemplateError::new(format!("integer overflow: {written:?}"), start))
}

/// Reads a character constant at `at`: its code point.
pub(super) fn read_char(text: &str, at: &mut usize) -> Result<i64, TemplateError> {
    let start = *at;
    let fault = || TemplateError::new("malformed character constant", start);
    let (bytes, end) = unquote(&text[start + 1..], '\'').ok_or_else(fault)?;
    *at = start + 1 + end;
    let mut chars = std::str::from_utf8(&bytes).map_err(|_| fault())?.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Ok(i64::from(u32::from(c))),
        _ => Err(fault()),
    }
}

/// Reads a quoted or a raw string at `at`.
pub(super) fn read_quoted(text: &str, at: &mut usize) -> Result<String, TemplateError> {
    let start = *at;
    let rest = &text[start + 1..];
    if text[start..].starts_with('`') {
        let end = rest.find('`').ok_or_else(|| TemplateError::new("unterminated raw string", start))?;
        *at = start + end + 2;
        return Ok(rest[..end].to_owned());
    }
    let fault = || TemplateError::new("unterminated quoted string, or an unknown escape in it", start);
    let (bytes, end) = unquote(rest, '"').ok_or_else(fault)?;
    *at = start + 1 + end;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Undoes Go's escapes up to the closing quote; gives the bytes and where the text goes on.
fn unquote(text: &str, quote: char) -> Option<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let c = text[at..].chars().next()?;
        at += c.len_utf8();
        if c == quote {
            return Some((bytes, at));
        }
        if c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = text[at..].chars().next()?;
        at += escape.len_utf8();
        let (digits, radix) = match escape {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (3, 8),
            _ => {
                bytes.push(simple_escape(escape, quote)?);
                continue;
            }
        };
        at -= usize::from(radix == 8);
        let code = u32::from_str_radix(text.get(at..at + digits)?, radix).ok()?;
        at += digits;
        if matches!(escape, 'u' | 'U') {
            bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(code).ok()?);
        }
    }
}

fn simple_escape(escape: char, quote: char) -> Option<u8> {
    Some(match escape {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => c as u8,
        _ => return None,
    })
}
