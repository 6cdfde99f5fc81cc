//! Regular expressions in RE2's syntax, which Go and so Prometheus have, translated into the regex crate's. Pure text; what
//! is matched with it is others' part.
//!
//! Source: <https://github.com/google/re2/wiki/Syntax>. The crate reads the same but for what is translated here: `\d`, `\w`,
//! `\s` and `\b` mean ASCII, brackets do not nest in classes and have no operators, `\Q…\E` quotes, `\101` is octal, `\<` is
//! a character, and a brace that begins no repetition stands for itself.

use core::iter::Peekable;
use core::str::Chars;

/// Most repetitions of one part, as in RE2.
const MOST_REPETITIONS: u32 = 1000;

/// A pattern for the regex crate that matches what RE2 matches with this one.
///
/// ```
/// use forewarn::base::re2_pattern;
/// assert_eq!(re2_pattern(r"\d[a&&b]{x}").unwrap(), r"[0-9][a\&\&b]\{x\}");
/// ```
///
/// # Errors
/// What the crate takes and RE2 does not. Other faults are left to the crate.
pub fn re2_pattern(pattern: &str) -> Result<String, String> {
    let mut translation =
        Translation { rest: pattern.chars().peekable(), out: String::with_capacity(pattern.len() + 8) };
    translation.whole()?;
    Ok(translation.out)
}

struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    out: String,
}

impl Translation<'_> {
    fn whole(&mut self) -> Result<(), String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '{' => self.brace()?,
                '}' => self.out.push_str("\\}"),
                '(' => self.group()?,
                _ => self.out.push(c),
            }
        }
        Ok(())
    }

    /// After a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(c) = self.rest.next() else {
            self.out.push('\\');
            return Ok(());
        };
        match c {
            'd' | 'w' | 's' | 'D' | 'W' | 'S' => {
                let set = match c.to_ascii_lowercase() {
                    'd' => "0-9",
                    'w' => "0-9A-Za-z_",
                    _ => r"\t\n\x0C\r ",
                };
                match (c.is_ascii_uppercase(), in_class) {
                    (false, true) => self.out.push_str(set),
                    (false, false) => self.out.extend(["[", set, "]"]),
                    (true, _) => self.out.extend(["[^", set, "]"]),
                }
            }
            'b' | 'B' if !in_class => self.out.extend([r"(?-u:\", if c == 'b' { "b" } else { "B" }, ")"]),
            'Q' if !in_class => self.quoted(),
            'p' | 'P' => self.property(c),
            '0'..='7' => self.octal(c)?,
            '8' | '9' | 'u' | 'U' | 'E' => return Err(format!("invalid escape sequence: \\{c}")),
            '<' | '>' => self.out.push(c),
            'x' => {
                self.out.push_str("\\x");
                if self.rest.peek() == Some(&'{') {
                    self.in_braces();
                }
            }
            _ => self.out.extend(['\\', c]),
        }
        Ok(())
    }

    /// Up to `\E` or the end, every character as itself.
    fn quoted(&mut self) {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.peek() == Some(&'E') {
                self.rest.next();
                return;
            }
            self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
    }

    /// `\p{Greek}`, `\pN`, `\p{^Greek}`.
    fn property(&mut self, letter: char) {
        if self.rest.peek() != Some(&'{') {
            self.out.extend(['\\', letter]);
            return;
        }
        self.rest.next();
        let negated = self.rest.next_if_eq(&'^').is_some();
        let flipped = if letter == 'p' { 'P' } else { 'p' };
        self.out.extend(['\\', if negated { flipped } else { letter }, '{']);
        self.rest_of_braces();
    }

    fn in_braces(&mut self) {
        self.rest.next();
        self.out.push('{');
        self.rest_of_braces();
    }

    fn rest_of_braces(&mut self) {
        for c in self.rest.by_ref() {
            self.out.push(c);
            if c == '}' {
                return;
            }
        }
    }

    /// `\0`, `\012`, `\101`; one digit other than 0 would refer back.
    fn octal(&mut self, first: char) -> Result<(), String> {
        let mut value = first.to_digit(8).unwrap_or_default();
        let mut digits = 1;
        while digits < 3
            && let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8))
        {
            self.rest.next();
            (value, digits) = (value * 8 + digit, digits + 1);
        }
        if first != '0' && digits == 1 {
            return Err(format!("invalid escape sequence: \\{first} (there are no backreferences)"));
        }
        self.out.push_str(&format!("\\x{{{value:X}}}"));
        Ok(())
    }

    /// After an opening bracket, through the closing one.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        while let Some(c) = self.rest.next() {
            match c {
                ']' if !is_first => {
                    self.out.push(']');
                    return Ok(());
                }
                '[' if self.rest.peek() == Some(&':') && self.is_named() => {
                    self.out.push('[');
                    // Through `:]`.
                    let mut last = ' ';
                    for c in self.rest.by_ref() {
                        self.out.push(c);
                        if last == ':' && c == ']' {
                            break;
                        }
                        last = c;
                    }
                }
                '\\' => self.escape(true)?,
                // A range's dash stands between two ends; others are characters.
                '-' if is_first || matches!(self.rest.peek(), None | Some(']')) => self.out.push_str("\\-"),
                '-' => {
                    self.out.push('-');
                    if let Some(end) = self.rest.next_if(|c| "-[&~".contains(*c)) {
                        self.out.extend(['\\', end]);
                    }
                }
                '[' | ']' | '&' | '~' => self.out.extend(['\\', c]),
                _ => self.out.push(c),
            }
            is_first = false;
        }
        Ok(())
    }

    /// Whether a bracket within a class begins a named class, `[:alpha:]`.
    fn is_named(&self) -> bool {
        let mut ahead = self.rest.clone().skip(1).skip_while(|c| c.is_ascii_alphabetic() || *c == '^');
        ahead.next() == Some(':') && ahead.next() == Some(']')
    }

    /// After an opening brace.
    fn brace(&mut self) -> Result<(), String> {
        let inside: String = self.rest.clone().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        let is_closed = self.rest.clone().nth(inside.len()) == Some('}');
        let (low, high) = inside.split_once(',').unwrap_or((&inside, ""));
        if !is_closed || low.is_empty() || high.contains(',') {
            self.out.push_str("\\{");
            return Ok(());
        }
        let is_too_many = |n: &str| !n.is_empty() && n.parse().is_ok_and(|n: u32| n > MOST_REPETITIONS);
        if is_too_many(low) || is_too_many(high) || low.len() > 9 || high.len() > 9 {
            return Err(format!("invalid repeat count: {{{inside}}} (at most {MOST_REPETITIONS})"));
        }
        self.out.push('{');
        self.rest_of_braces();
        Ok(())
    }

    /// After an opening parenthesis: only RE2's flags.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('?') {
            return Ok(());
        }
        let flags: String = ahead.take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
        match flags.chars().find(|c| matches!(c, 'x' | 'u' | 'R')) {
            Some(flag) => Err(format!("invalid or unsupported Perl syntax: the flag {flag}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::re2_pattern;
    use regex::Regex;

    fn matched(pattern: &str, of: &[&'static str]) -> Vec<&'static str> {
        let pattern = re2_pattern(pattern).unwrap();
        let regex = Regex::new(&format!("^(?s:{pattern})$")).unwrap_or_else(|e| panic!("{e}"));
        of.iter().copied().filter(|text| regex.is_match(text)).collect()
    }

    #[test]
    fn what_the_crate_reads_otherwise_is_as_in_re2() {
        assert_eq!(matched("[a&&b]", &["a", "b", "&", "a&&b"]), ["a", "b", "&"]);
        assert_eq!(matched("[a~~b]", &["a", "b", "~"]), ["a", "b", "~"]);
        assert_eq!(matched("[[a]b]", &["a", "b", "[b]", "ab]"]), ["[b]", "ab]"]);
        assert_eq!(matched("[+--]", &["+", ",", "-", "."]), ["+", ",", "-"]);
        assert_eq!(matched("[--/]", &["-", ".", "/", "0"]), ["-", ".", "/"]);
        assert_eq!(matched("[]a-]+", &["]a-", "b"]), ["]a-"]);
        assert_eq!(matched("[^]a]", &["]", "b"]), ["b"]);
        assert_eq!(matched("[[:digit:]x]", &["1", "x", ":"]), ["1", "x"]);
        assert_eq!(matched("[[:^digit:]]", &["1", "x"]), ["x"]);
        assert_eq!(matched(r"\d", &["1", "٣"]), ["1"]);
        assert_eq!(matched(r"\D", &["1", "٣"]), ["٣"]);
        assert_eq!(matched(r"\w[\w-]", &["aé", "a-", "é1", "_0"]), ["a-", "_0"]);
        assert_eq!(matched(r"[^\W]", &["é", "a"]), ["a"]);
        assert_eq!(matched(r"\s", &[" ", "\u{a0}", "\t", "\u{b}"]), [" ", "\t"]);
        assert_eq!(matched(r"\<a\>", &["a", "<a>"]), ["<a>"]);
        assert_eq!(matched(r"\Qa.b\E.", &["a.bc", "axbc"]), ["a.bc"]);
        assert_eq!(matched(r"\Qa.b", &["a.b", "axb"]), ["a.b"]);
        assert_eq!(matched(r"\p{^L}\PN\pN", &["1a1", "aa1"]), ["1a1"]);
        assert_eq!(matched(r"\101\07\x41\x{42}", &["A\u{7}AB"]), ["A\u{7}AB"]);
        assert_eq!(matched("a{b}{1,2}{,3}", &["a{b}}{,3}", "a{b}{,3}"]), ["a{b}}{,3}", "a{b}{,3}"]);
        assert_eq!(matched(r"a.*\bé", &["ab é", "abé", "a"]), ["abé"]);
    }

    #[test]
    fn what_re2_has_not_is_refused() {
        for (pattern, part) in [
            ("(?x)a b", "flag x"),
            ("(?i-u:a)", "flag u"),
            (r"\u0061", r"\u"),
            ("x{1001}", "at most 1000"),
            (r"(a)\1", "backreferences"),
        ] {
            assert!(re2_pattern(pattern).unwrap_err().contains(part), "{pattern}");
        }
        for fine in ["(?i)a", "(?P<name>a)", "(?:x|u)", "(?i-s:a)", "x{1000}", r"\.\*\+\?\(\)\[\]\{\}\^\$\|\\"] {
            assert!(Regex::new(&re2_pattern(fine).unwrap()).is_ok(), "{fine}");
        }
    }
}
