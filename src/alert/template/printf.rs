//! `printf`, `print` and `println` as Go's `fmt` writes them: verbs, flags, width, precision, argument indexes, and what is
//! printed for a verb that does not fit its argument (`%!d(float64=1.5)`).
//!
//! Left out: `%p` and `%#v`'s Go syntax.

use std::rc::Rc;

use super::bounded::Bounded;
use super::float::{binary, exponent, fixed, general, hexadecimal, shortest};
use super::value::{Sample, Value};

/// Largest width or precision, as in Go.
const MAX_WIDTH: i64 = 1_000_000;

/// What stands between `%` and the verb.
#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Writes `arguments` by `format`.
pub(super) fn printf(out: &mut Bounded, format: &str, arguments: &[Value<'_>]) -> Result<(), String> {
    let mut state = Arguments { all: arguments, next: 0, reordered: false };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        let parsed = parse_spec(&mut rest, &mut state);
        let Some(verb) = rest.chars().next() else {
            return out.push("%!(NOVERB)");
        };
        rest = &rest[verb.len_utf8()..];
        match parsed {
            Err(fault) => out.write(format_args!("%!{verb}({fault})"))?,
            Ok(_) if verb == '%' => out.push("%")?,
            Ok(spec) => match state.take() {
                None => out.write(format_args!("%!{verb}(MISSING)"))?,
                Some(value) => write_value(out, &spec, verb, value)?,
            },
        }
    }
    out.push(rest)?;
    let unused = arguments.get(state.next..).unwrap_or_default();
    if !state.reordered && !unused.is_empty() {
        out.push("%!(EXTRA ")?;
        for (i, value) in unused.iter().enumerate() {
            out.push(if i > 0 { ", " } else { "" })?;
            write_typed(out, &Spec::default(), value)?;
        }
        out.push(")")?;
    }
    Ok(())
}

/// Writes values next to each other, with a space between two of which neither is text.
pub(super) fn print(out: &mut Bounded, values: &[Value<'_>]) -> Result<(), String> {
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !after_text {
            out.push(" ")?;
        }
        write_plain(out, value)?;
        after_text = is_text;
    }
    Ok(())
}

/// Writes values with a space between any two, and ends the line.
pub(super) fn println(out: &mut Bounded, values: &[Value<'_>]) -> Result<(), String> {
    for (i, value) in values.iter().enumerate() {
        out.push(if i > 0 { " " } else { "" })?;
        write_plain(out, value)?;
    }
    out.push("\n")
}

/// Writes a value as `%v`.
pub(super) fn write_plain(out: &mut Bounded, value: &Value<'_>) -> Result<(), String> {
    write_value(out, &Spec::default(), 'v', value)
}

/// The arguments and which is next.
struct Arguments<'v, 'a> {
    all: &'v [Value<'a>],
    next: usize,
    reordered: bool,
}

impl<'v, 'a> Arguments<'v, 'a> {
    fn take(&mut self) -> Option<&'v Value<'a>> {
        let value = self.all.get(self.next)?;
        self.next += 1;
        Some(value)
    }

    /// Reads `[n]`, which names the next argument, if it stands here.
    fn index(&mut self, rest: &mut &str) -> Result<(), &'static str> {
        let Some(inner) = rest.strip_prefix('[') else { return Ok(()) };
        self.reordered = true;
        let Some((number, after)) = inner.split_once(']') else { return Err("BADINDEX") };
        *rest = after;
        match number.parse::<usize>() {
            Ok(n) if (1..=self.all.len()).contains(&n) => {
                self.next = n - 1;
                Ok(())
            }
            _ => Err("BADINDEX"),
        }
    }

    /// Reads a width or precision: digits or `*`.
    fn number(&mut self, rest: &mut &str, fault: &'static str) -> Result<Option<i64>, &'static str> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return match self.take() {
                Some(Value::Int(n)) if n.abs() <= MAX_WIDTH => Ok(Some(*n)),
                _ => Err(fault),
            };
        }
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Ok(None);
        }
        let number = rest[..digits].parse().ok().filter(|n| *n <= MAX_WIDTH);
        *rest = &rest[digits..];
        number.map(Some).ok_or(fault)
    }
}

fn parse_spec(rest: &mut &str, arguments: &mut Arguments<'_, '_>) -> Result<Spec, &'static str> {
    let mut spec = Spec::default();
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            ' ' => spec.space = true,
            '0' => spec.zero = true,
            '#' => spec.sharp = true,
            _ => break,
        }
        *rest = &rest[1..];
    }
    let mut outcome = arguments.index(rest);
    match arguments.number(rest, "BADWIDTH") {
        Ok(width) => {
            spec.minus |= width.is_some_and(|w| w < 0);
            spec.width = width.map(|w| w.unsigned_abs() as usize);
        }
        Err(fault) => outcome = outcome.and(Err(fault)),
    }
    if let Some(after) = rest.strip_prefix('.') {
        *rest = after;
        outcome = outcome.and(arguments.index(rest));
        match arguments.number(rest, "BADPREC") {
            Ok(n) => spec.precision = Some(usize::try_from(n.unwrap_or(0)).unwrap_or(0)),
            Err(fault) => outcome = outcome.and(Err(fault)),
        }
    }
    outcome = outcome.and(arguments.index(rest));
    spec.zero &= !spec.minus;
    outcome.map(|()| spec)
}

fn write_value(out: &mut Bounded, spec: &Spec, verb: char, value: &Value<'_>) -> Result<(), String> {
    // For `%+v` the plus asks for the names of fields, of which there are none here.
    if verb == 'v' && spec.plus {
        return write_value(out, &Spec { plus: false, ..spec.clone() }, verb, value);
    }
    if verb == 'T' {
        return out.push(&pad(spec, value.type_name()));
    }
    if let Some(entries) = value.entries() {
        out.push("map[")?;
        for (i, (key, element)) in entries.into_iter().enumerate() {
            out.push(if i > 0 { " " } else { "" })?;
            write_value(out, spec, verb, &Value::text(key))?;
            out.push(":")?;
            write_value(out, spec, verb, &element)?;
        }
        return out.push("]");
    }
    match value {
        Value::Samples(samples) => {
            out.push("[")?;
            for (i, sample) in samples.iter().enumerate() {
                out.push(if i > 0 { " " } else { "" })?;
                write_sample(out, spec, verb, sample)?;
            }
            return out.push("]");
        }
        Value::Sample(sample) => {
            out.push("&")?;
            return write_sample(out, spec, verb, sample);
        }
        _ => {}
    }
    let text = match (value, verb) {
        (Value::Root(data), _) => {
            out.push("{")?;
            write_value(out, spec, verb, &Value::Labels(data.labels))?;
            out.push(" ")?;
            write_value(out, spec, verb, &Value::Labels(data.external_labels.as_ref()))?;
            out.push(" ")?;
            write_value(out, spec, verb, &Value::text(data.external_url))?;
            out.push(" ")?;
            write_value(out, spec, verb, &Value::Float(data.value))?;
            return out.push("}");
        }
        (Value::Nil, 'v') => Some(pad(spec, "<nil>")),
        (Value::Bool(b), 't' | 'v') => Some(pad(spec, if *b { "true" } else { "false" })),
        (Value::Int(v), _) => integer(spec, verb, *v),
        (Value::Duration(n) | Value::Named(n, ..), 'd' | 'b' | 'o' | 'O' | 'c' | 'U') => integer(spec, verb, *n),
        (Value::Float(v), _) => float(spec, verb, *v),
        (Value::Text(s), _) => string(spec, verb, s),
        (Value::Time(_) | Value::Duration(_) | Value::Named(..), _) => string(spec, verb, &value.scalar_text()),
        _ => None,
    };
    match text {
        Some(text) => out.push(&text),
        None => {
            out.write(format_args!("%!{verb}("))?;
            write_typed(out, spec, value)?;
            out.push(")")
        }
    }
}

/// An element of a query's result, as Go writes a struct.
pub(super) fn write_sample(out: &mut Bounded, spec: &Spec, verb: char, sample: &Rc<Sample>) -> Result<(), String> {
    out.push("{")?;
    write_value(out, spec, verb, &Value::SampleLabels(Rc::clone(sample)))?;
    out.push(" ")?;
    write_value(out, spec, verb, &Value::Float(sample.1))?;
    out.push("}")
}

/// `float64=1.5`, within a complaint.
fn write_typed(out: &mut Bounded, spec: &Spec, value: &Value<'_>) -> Result<(), String> {
    if matches!(value, Value::Nil) {
        return out.push("<nil>");
    }
    out.write(format_args!("{}=", value.type_name()))?;
    write_value(out, spec, 'v', value)
}

fn integer(spec: &Spec, verb: char, v: i64) -> Option<String> {
    let magnitude = v.unsigned_abs();
    let (digits, prefix) = match verb {
        'd' | 'v' => (magnitude.to_string(), ""),
        'x' => (format!("{magnitude:x}"), "0x"),
        'X' => (format!("{magnitude:X}"), "0X"),
        'o' => (format!("{magnitude:o}"), "0"),
        'O' => (format!("0o{magnitude:o}"), ""),
        'b' => (format!("{magnitude:b}"), "0b"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(v).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return Some(match verb {
                'c' => pad(spec, c.encode_utf8(&mut [0; 4])),
                'q' => pad(spec, &quote(c.encode_utf8(&mut [0; 4]), '\'', spec.plus)),
                _ => pad(spec, &format!("U+{:04X}", u32::from(c))),
            });
        }
        _ => return None,
    };
    let sign = sign(spec, v < 0);
    let prefix = if spec.sharp { prefix } else { "" };
    let wanted = match (spec.precision, spec.width) {
        (Some(0), _) if v == 0 => return Some(pad(spec, "")),
        (Some(precision), _) => precision,
        (None, Some(width)) if spec.zero => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
    Some(pad(&Spec { zero: false, ..spec.clone() }, &format!("{sign}{prefix}{zeros}{digits}")))
}

fn float(spec: &Spec, verb: char, v: f64) -> Option<String> {
    let written = match verb {
        'e' => exponent(v, spec.precision.unwrap_or(6)),
        'E' => exponent(v, spec.precision.unwrap_or(6)).replace('e', "E"),
        'f' | 'F' => fixed(v, spec.precision.unwrap_or(6)),
        'b' => binary(v),
        'x' => hexadecimal(v, spec.precision),
        'X' => hexadecimal(v, spec.precision).to_uppercase(),
        'v' | 'g' => spec.precision.map_or_else(|| shortest(v), |p| general(v, Some(p))),
        'G' => spec.precision.map_or_else(|| shortest(v), |p| general(v, Some(p))).replace('e', "E"),
        _ => return None,
    };
    let unpadded = Spec { zero: false, ..spec.clone() };
    if !v.is_finite() {
        let text = match (written.strip_prefix('+'), spec.space && !spec.plus) {
            (Some(rest), true) => format!(" {rest}"),
            (None, _) if v.is_nan() && (spec.plus || spec.space) => format!("{}NaN", sign(spec, false)),
            _ => written,
        };
        return Some(pad(&unpadded, &text));
    }
    let (negative, digits) = match written.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, written.as_str()),
    };
    let sign = sign(spec, negative);
    let wanted = if spec.zero { spec.width.unwrap_or(0).saturating_sub(sign.len()) } else { 0 };
    let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
    Some(pad(&unpadded, &format!("{sign}{zeros}{digits}")))
}

fn string(spec: &Spec, verb: char, text: &str) -> Option<String> {
    let cut = match spec.precision {
        Some(n) => text.char_indices().nth(n).map_or(text, |(at, _)| &text[..at]),
        None => text,
    };
    match verb {
        's' | 'v' => Some(pad(spec, cut)),
        'q' if spec.sharp && !cut.contains(['`', '\n', '\u{7f}']) => Some(pad(spec, &format!("`{cut}`"))),
        'q' => Some(pad(spec, &quote(cut, '"', spec.plus))),
        'x' | 'X' => {
            let bytes = text.as_bytes();
            let bytes = &bytes[..spec.precision.unwrap_or(bytes.len()).min(bytes.len())];
            let mut hex = String::new();
            for (i, byte) in bytes.iter().enumerate() {
                if spec.space && i > 0 {
                    hex.push(' ');
                }
                if spec.sharp && (i == 0 || spec.space) {
                    hex += if verb == 'x' { "0x" } else { "0X" };
                }
                hex += &if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
            }
            Some(pad(spec, &hex))
        }
        _ => None,
    }
}

fn sign(spec: &Spec, negative: bool) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// Fills up to the width, counted in characters.
fn pad(spec: &Spec, text: &str) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.minus {
        format!("{text}{}", " ".repeat(missing))
    } else {
        format!("{}{text}", if spec.zero { "0" } else { " " }.repeat(missing))
    }
}

/// As Go's `strconv.Quote`; with `ascii` everything beyond ASCII is escaped.
pub(super) fn quote(text: &str, mark: char, ascii: bool) -> String {
    let mut out = String::from(mark);
    for c in text.chars() {
        let code = u32::from(c);
        match c {
            '\u{7}' => out += "\\a",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\u{b}' => out += "\\v",
            '\\' => out += "\\\\",
            _ if c == mark => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ if c.is_ascii() => out += &format!("\\x{code:02x}"),
            // Rust escapes for Debug what Unicode says cannot be printed, as Go does.
            _ if !ascii && c.escape_debug().count() == 1 => out.push(c),
            _ if code < 0x1_0000 => out += &format!("\\u{code:04x}"),
            _ => out += &format!("\\U{code:08x}"),
        }
    }
    out.push(mark);
    out
}
