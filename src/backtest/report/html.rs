//! One HTML file that needs nothing else: no network, no other file. A person can zoom into it and read values off.
//!
//! Texts of others (labels, annotations, expressions) are only ever data: they stand in a JSON block whose `<` are escaped,
//! and the script puts them on the page as text.

use super::Report;
use super::data::data;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const CHART: &str = include_str!("chart.js");

/// The report as an HTML document of at most about 10 MB: 100 charts of 1,024 buckets, 500 alerts a rule.
#[must_use]
pub fn html(report: &Report<'_>) -> String {
    // `</script>` and `<!--` would end or change the block they stand in.
    let data =
        data(report).to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let mut page = String::with_capacity(data.len() + 32_768);
    let mut rest = PAGE;
    // Each part once, in the page's order, so that nothing within a part is taken for a mark.
    for (mark, part) in [("{{style}}", STYLE), ("{{data}}", &data), ("{{chart}}", CHART), ("{{script}}", SCRIPT)] {
        if let Some((before, after)) = rest.split_once(mark) {
            page.push_str(before);
            page.push_str(part);
            rest = after;
        }
    }
    page + rest
}
