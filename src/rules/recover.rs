//! Going on behind a fault of YAML: the item of a list that has it is taken out, so that it hides no other fault.
//!
//! Works on lines, as people write rule files; a file on one line is read up to its first fault.

/// Most faults of YAML that are told of one file.
pub(super) const FAULTS_MAX: usize = 20;

/// The text with blanks in place of the list's item that holds a byte; None if there is no such item. All other bytes stay
/// where they are.
pub(super) fn without_item(text: &str, at: usize) -> Option<String> {
    let mut start = text[..at.min(text.len())].rfind('\n').map_or(0, |i| i + 1);
    let line = |start: usize| text[start..].split_inclusive('\n').next().unwrap_or_default();
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    // Lines above belong to it if they are indented less than what was seen so far, up to the one with the dash.
    let mut least = usize::MAX;
    let dash = loop {
        let here = line(start);
        let indentation = indentation(here);
        if is_content(here) && indentation < least {
            if here.trim_start().starts_with("- ") {
                break indentation;
            }
            least = indentation;
        }
        start = text[..start.checked_sub(1)?].rfind('\n').map_or(0, |i| i + 1);
    };
    let mut end = start + line(start).len();
    while end < text.len() && (!is_content(line(end)) || indentation(line(end)) > dash) {
        end += line(end).len();
    }
    let blanks = |c: char| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) };
    let item: String = text[start..end].chars().map(blanks).collect();
    Some(format!("{}{item}{}", &text[..start], &text[end..]))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_item_with_the_fault_goes_and_nothing_moves() {
        let text =
            "groups:\n  - name: é\n    rules:\n      - alert: A\n        labels:\n          a: é\n\n      - alert: B\n";
        let without = |part: &str| {
            let found = without_item(text, text.find(part).unwrap()).unwrap();
            assert_eq!(found.len(), text.len());
            found.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("|")
        };
        assert_eq!(without("a: é"), "groups:|  - name: é|    rules:|      - alert: B");
        assert_eq!(without("A\n"), "groups:|  - name: é|    rules:|      - alert: B");
        assert_eq!(without("B"), "groups:|  - name: é|    rules:|      - alert: A|        labels:|          a: é");
        assert_eq!(without("rules"), "groups:");
        assert_eq!(without_item(text, 0), None);
        assert_eq!(without_item("", 5), None);
    }
}
