//! Lines that differ between what was expected and what came.

use std::collections::BTreeSet;

/// Most lines that are compared by place; the comparison costs their square.
const LINES_MAX: usize = 2_000;

/// Both lists in one, in order: `- ` before what was expected only, `+ ` before what came only, blanks before both. Of lists
/// too long for that, only what the other one does not have.
pub(super) fn diff(expected: &[String], got: &[String]) -> Vec<String> {
    if expected.len().max(got.len()) > LINES_MAX {
        let (wanted, came) = (BTreeSet::from_iter(expected), BTreeSet::from_iter(got));
        let missing = expected.iter().filter(|line| !came.contains(line)).map(|line| format!("- {line}"));
        let excess = got.iter().filter(|line| !wanted.contains(line)).map(|line| format!("+ {line}"));
        return missing.chain(excess).collect();
    }
    // Length of the longest common part of what follows each pair of places.
    let mut common = vec![vec![0usize; got.len() + 1]; expected.len() + 1];
    for (i, e) in expected.iter().enumerate().rev() {
        for (j, g) in got.iter().enumerate().rev() {
            common[i][j] = if e == g { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    loop {
        match (expected.get(i), got.get(j)) {
            (Some(e), Some(g)) if e == g => {
                out.push(format!("  {e}"));
                (i, j) = (i + 1, j + 1);
            }
            (Some(e), g) if g.is_none() || common[i + 1][j] >= common[i][j + 1] => {
                out.push(format!("- {e}"));
                i += 1;
            }
            (_, Some(g)) => {
                out.push(format!("+ {g}"));
                j += 1;
            }
            (_, None) => return out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(expected: &str, got: &str) -> String {
        let lines = |s: &str| s.chars().map(String::from).collect::<Vec<_>>();
        diff(&lines(expected), &lines(got)).concat()
    }

    #[test]
    fn what_is_common_stands_once() {
        assert_eq!(shown("abc", "abc"), "  a  b  c");
        assert_eq!(shown("abc", "axc"), "  a- b+ x  c");
        assert_eq!(shown("", "ab"), "+ a+ b");
        assert_eq!(shown("ab", ""), "- a- b");
        assert_eq!(shown("", ""), "");
    }

    #[test]
    fn long_lists_give_what_the_other_lacks() {
        let lines = |from: usize| (from..from + LINES_MAX + 1).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(diff(&lines(0), &lines(1)), ["- 0".to_owned(), format!("+ {}", LINES_MAX + 1)]);
    }
}
