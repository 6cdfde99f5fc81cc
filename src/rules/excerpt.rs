//! The few lines of a file that are shown with a diagnostic: short however long the file and its lines are. Knows text and
//! places only.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::Position;

/// Most characters shown of a line.
const WIDEST: usize = 240;
/// Characters shown before a place in a line that is cut.
const BEFORE: usize = 80;
/// Most lines shown.
const MOST_LINES: usize = 20;
/// Stands where a line was cut.
const CUT: &str = "…";

/// Lines of a file around a place.
#[derive(Debug)]
pub(super) struct Excerpt {
    file: String,
    text: String,
    /// The place within the text.
    span: Range<usize>,
    /// Where the place begins in the file.
    position: Position,
    /// Lines of the text before the one in which the place begins.
    lines_before: usize,
}

impl Excerpt {
    /// The lines of a place, one before and one after. `position` is where the place begins.
    pub(super) fn new(file: &str, source: &str, place: &Range<usize>, position: Position) -> Self {
        let place = place.start.min(source.len())..place.end.clamp(place.start, source.len().max(place.start));
        let start_of_line =
            |at: usize| source.as_bytes()[..at].iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let first = start_of_line(place.start);
        let last = start_of_line(place.end.saturating_sub(1).max(place.start));
        let before = first.checked_sub(1).map(start_of_line);
        let mut at = before.unwrap_or(first);
        let mut text = String::new();
        let (mut start, mut end) = (None, None);
        for line in source[at..].split_inclusive('\n').take(MOST_LINES) {
            let kept = kept(line, place.start.checked_sub(at).filter(|start| *start < line.len()));
            if kept.start > 0 {
                text.push_str(CUT);
            }
            let within = |of: usize| text.len() + (of - at).clamp(kept.start, kept.end) - kept.start;
            if (at..at + line.len()).contains(&place.start) {
                start = Some(within(place.start));
            }
            if start.is_some() && (at..=at + line.len()).contains(&place.end) {
                end = end.or(Some(within(place.end)));
            }
            let is_cut = kept.end < content(line).len();
            text.push_str(&line[kept]);
            if is_cut {
                text.push_str(CUT);
                text.push('\n');
            }
            let is_after = at > last;
            at += line.len();
            if is_after {
                break;
            }
        }
        let start = start.unwrap_or(text.len());
        let span = start..end.unwrap_or(text.len()).max(start);
        Self { file: file.to_owned(), text, span, position, lines_before: usize::from(before.is_some()) }
    }

    /// The place, as a source of it wants it.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// Bytes of a line that are shown: all, the line break too, if it is not wide; else some about the place, if it begins here.
fn kept(line: &str, place: Option<usize>) -> Range<usize> {
    let content = content(line);
    if content.len() <= WIDEST || content.chars().count() <= WIDEST {
        return 0..line.len();
    }
    let from = place.map_or(0, |place| {
        content[..place.min(content.len())].char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at)
    });
    let to = content[from..].char_indices().nth(WIDEST).map_or(content.len(), |(at, _)| from + at);
    from..to
}

fn content(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

/// As of the text, with the file's own line numbers, and the column in characters as our first line has it.
impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let of = self.text.read_span(span, before, after)?;
        let is_place = before == 0 && after == 0 && span.offset() == self.span.start;
        let column = if is_place { self.position.column - 1 } else { of.column() };
        let line = of.line() + self.position.line - 1 - self.lines_before;
        let (file, data) = (self.file.clone(), of.data());
        Ok(Box::new(MietteSpanContents::new_named(file, data, *of.span(), line, column, of.line_count())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(source: &str, place: Range<usize>) -> (String, String) {
        let before = &source[..place.start];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap().chars().count();
        let excerpt = Excerpt::new("f", source, &place, Position { line, column });
        (excerpt.text.clone(), excerpt.text[excerpt.span()].to_owned())
    }

    #[test]
    fn a_line_before_and_a_line_after_are_shown() {
        let source = "one\ntwo\nthree\nfour\nfive\n";
        assert_eq!(excerpt(source, 8..13), ("two\nthree\nfour\n".into(), "three".into()));
        assert_eq!(excerpt(source, 0..3), ("one\ntwo\n".into(), "one".into()));
        assert_eq!(excerpt(source, 4..13), ("one\ntwo\nthree\nfour\n".into(), "two\nthree".into()));
        assert_eq!(excerpt(source, 19..23), ("four\nfive\n".into(), "five".into()));
        assert_eq!(excerpt("", 0..0), (String::new(), String::new()));
        assert_eq!(excerpt("a\n", 2..2), ("a\n".into(), String::new()));
    }

    #[test]
    fn wide_lines_are_cut_about_the_place() {
        let source = format!("{}\n{}bad{}\nend", "ä".repeat(1000), "é".repeat(1000), "x".repeat(100_000));
        let at = source.find("bad").unwrap();
        let (text, place) = excerpt(&source, at..at + 3);
        assert_eq!(place, "bad");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.iter().map(|l| l.chars().count()).collect::<Vec<_>>(), [241, 242, 3]);
        assert!(lines[1].starts_with("…é") && lines[1].ends_with("x…"));
        // A place that is wider than what is shown ends with it.
        let (text, place) = excerpt(&source, at..source.len());
        assert!(place.starts_with("badx") && text.len() < 2_000, "{place}");
    }

    #[test]
    fn a_place_of_many_lines_is_cut_as_well() {
        let source = "line\n".repeat(1000);
        let (text, place) = excerpt(&source, 5..4000);
        assert_eq!((text.lines().count(), place.lines().count()), (20, 19));
    }
}
