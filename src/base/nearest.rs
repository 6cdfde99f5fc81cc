//! Which known name a misspelt one is likely to mean.

use std::cmp::Reverse;

/// The known name with the smallest edit distance, if that is at most two and less than half of the name.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // Among equally near names the one with the longest common beginning.
    let beginning = |k: &str| name.bytes().zip(k.bytes()).take_while(|(a, b)| a == b).count();
    known
        .into_iter()
        .map(|k| (edit_distance(name, k), Reverse(beginning(k)), k))
        .filter(|(distance, _, _)| *distance <= 2 && 2 * distance <= name.len())
        .min()
        .map(|(_, _, k)| k)
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = (diagonal + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = cost;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let known = ["for", "expr", "labels", "annotations"];
        for (name, found) in [("label", Some("labels")), ("exp", Some("expr")), ("form", Some("for")), ("a", None)] {
            assert_eq!(nearest(name, known), found, "{name}");
        }
    }
}
