//! Comments in rule files that switch lints off: `# forewarn:disable CODE reason` for a rule or group,
//! `# forewarn:disable-file CODE reason` for the file.
//!
//! As with other linters of rules, a comment may stand before what it is for, within it, or at the end of a line; also
//! among the lines of an expression, where PromQL takes it for a comment as well.

use std::ops::Range;

use super::Lint;

/// A comment.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::rules) struct Disable {
    /// What it names, comma or blank between them.
    pub codes: Vec<Result<Lint, (String, Range<usize>)>>,
    /// The byte that it is about: the file's, if it is none.
    pub target: Option<usize>,
    /// The comment's own place.
    pub span: Range<usize>,
}

const MARK: &str = "forewarn:disable";

/// All such comments of a file.
pub(in crate::rules) fn disables(text: &str) -> Vec<Disable> {
    let mut out = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(comment) = comment(line) {
            let (words, of_file) = match comment.strip_prefix("-file") {
                Some(words) => (words, true),
                None => (comment, false),
            };
            let from = line.len() - comment.len() - MARK.len();
            let target = (!of_file).then(|| target(text, start, line));
            let words_at = start + line.len() - words.len();
            out.push(Disable {
                codes: codes(words, words_at),
                target,
                span: start + from..start + line.trim_end().len(),
            });
        }
        start += line.len();
    }
    out
}

/// What follows the mark in a line that has one in a comment.
fn comment(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(MARK)?;
    let before = before.trim_end().strip_suffix('#')?;
    let begins = before.is_empty() || before.ends_with(char::is_whitespace);
    let ends = after.strip_prefix("-file").unwrap_or(after);
    (begins && ends.starts_with(char::is_whitespace)).then_some(after)
}

/// Codes at the start of the words; what follows the first word without a comma behind it is the reason.
fn codes(words: &str, at: usize) -> Vec<Result<Lint, (String, Range<usize>)>> {
    let mut out = Vec::new();
    let mut rest = words;
    loop {
        rest = rest.trim_start();
        let length = rest.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(rest.len());
        let code = &rest[..length];
        let from = at + words.len() - rest.len();
        if code.is_empty() {
            return out;
        }
        out.push(code.parse().map_err(|error: super::UnknownLint| (error.to_string(), from..from + length)));
        rest = match rest[length..].trim_start().strip_prefix(',') {
            Some(rest) => rest,
            None => return out,
        };
    }
}

/// The byte that a comment is about: for one behind something the start of its line; for one on a line of its own the
/// next line, unless that begins another item of the list that the comment stands within.
fn target(text: &str, line_start: usize, line: &str) -> usize {
    let content = |start: usize, line: &str| {
        let behind_dashes = line.trim_start_matches([' ', '-']);
        start + line.len() - behind_dashes.len()
    };
    let indentation = |line: &str| line.len() - line.trim_start().len();
    if !line.trim_start().starts_with('#') {
        return content(line_start, line);
    }
    let mut start = line_start + line.len();
    for next in text[start..].split_inclusive('\n') {
        let trimmed = next.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            start += next.len();
            continue;
        }
        if trimmed.starts_with('-') && indentation(line) > indentation(next) {
            break;
        }
        return content(start, next);
    }
    // Within what came before.
    let mut end = line_start;
    for before in text[..line_start].split_inclusive('\n').rev() {
        end -= before.len();
        let trimmed = before.trim_start();
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            return content(end, before);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Vec<&'static str>, Option<&str>)> {
        let codes = |d: &Disable| d.codes.iter().map(|c| c.as_ref().map_or("?", |lint| lint.code())).collect();
        let at = |d: &Disable| d.target.map(|at| text[at..].lines().next().unwrap_or_default());
        disables(text).iter().map(|d| (codes(d), at(d))).collect()
    }

    #[test]
    fn a_comment_is_about_what_follows_or_holds_it() {
        let text = "\
# forewarn:disable-file plain-regex, never-true we like it so
groups:
  # forewarn:disable always-fires
  - name: g
    rules:
      # forewarn:disable irate-in-alert
      # because

      - alert: A
        expr: |
          a # forewarn:disable rate-of-gauge, nonsense
          # forewarn:disable raw-counter
          + b
        # forewarn:disable no-condition it is so
      - alert: B # forewarn:disable range-too-short
";
        assert_eq!(
            found(text),
            [
                (vec!["plain-regex", "never-true"], None),
                (vec!["always-fires"], Some("name: g")),
                (vec!["irate-in-alert"], Some("alert: A")),
                (vec!["rate-of-gauge", "?"], Some("a # forewarn:disable rate-of-gauge, nonsense")),
                (vec!["raw-counter"], Some("+ b")),
                (vec!["no-condition"], Some("+ b")),
                (vec!["range-too-short"], Some("alert: B # forewarn:disable range-too-short")),
            ]
        );
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["x#forewarn:disable y", "forewarn:disable y", "# forewarn:disabled y", "'# forewarn: disable'"] {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(found("# forewarn:disable \n")[0].0, [""; 0]);
    }
}
