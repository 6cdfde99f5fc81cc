//! Random PromQL over [`super::hard_series`]: every function and operator that forewarn takes, in proportion to how much can
//! go wrong with it. Only expressions whose value is defined: no `topk` of values that may be equal, no changes of what
//! was rounded, no calendar of what is no time.

mod leaves;
mod looks;
pub mod noise;

use fastrand::Rng;

use super::hard_series::Edition;
pub use looks::Looks;

/// Writes expressions.
pub struct Writer {
    rng: Rng,
    edition: Edition,
    looks: Looks,
}

impl Writer {
    /// The same seed gives the same expressions.
    pub fn new(seed: u64, edition: Edition, looks: Looks) -> Self {
        Self { rng: Rng::with_seed(seed), edition, looks }
    }

    /// One expression, with marks around whatever rounds: see [`plain`] and [`noisy`].
    pub fn expression(&mut self) -> String {
        loop {
            let depth = [0, 1, 1, 2, 2, 3, 4][self.rng.usize(..7)];
            let expr = self.vector(depth);
            if self.looks.takes(&expr, self.edition) {
                return expr;
            }
        }
    }

    fn one_of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.rng.usize(..items.len())]
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.leaf();
        }
        let d = depth - 1;
        match self.rng.u8(..24) {
            0..=3 => self.leaf(),
            4..=7 => self.aggregate(d),
            8 | 9 => self.with_number(d),
            10..=12 => self.matched(d),
            13 => self.set(d),
            14 | 15 => self.math(d),
            16 => self.clamped(d),
            17 => self.relabelled(d),
            18 | 19 => self.histogram(),
            20 => self.absence(d),
            21 => self.calendar(d),
            _ => self.subquery(d),
        }
    }

    /// Arithmetic and comparisons with a number.
    fn with_number(&mut self, d: u32) -> String {
        let atan2 = self.atan2();
        let op = self.one_of(&["+", "-", "*", "/", "^", "%", "<", ">=", "!=", "==", "> bool", "<= bool", atan2]);
        let number = self.one_of(&["2", "-0.5", "1e9", "NaN", "100", "0", "Inf", "scalar(sum(up))", "time()", "pi()"]);
        let arg = match op {
            // A remainder of a giant is noise; equality is for what is exact.
            "%" | "==" | "!=" => self.exact_leaf(),
            _ => self.vector(d),
        };
        let text = if self.rng.bool() { format!("({arg}) {op} {number}") } else { format!("{number} {op} ({arg})") };
        if matches!(op, "<" | ">=" | "!=" | "==") { text } else { mark(text) }
    }

    /// Prometheus 2 keeps the name of its left side.
    fn atan2(&self) -> &'static str {
        if self.edition.is_new() { "atan2" } else { "*" }
    }

    /// Two vectors.
    fn matched(&mut self, d: u32) -> String {
        let atan2 = self.atan2();
        let op = self.one_of(&["+", "-", "*", "/", ">", "<=", "< bool", atan2]);
        let text = match self.rng.u8(..6) {
            0 => format!("({}) {op} on (instance) group_left (zone) info", self.vector(d)),
            1 => format!("sum by (job) ({}) {op} on (job) group_right () ({})", self.leaf(), self.vector(d)),
            2 => format!("({}) {op} ignoring (path) ({})", self.vector(d), self.vector(d)),
            3 => format!("({}) {op} ({})", self.vector(d), self.vector(d)),
            _ => {
                let by = self.one_of(&["job", "instance", "job, path"]);
                format!("sum by ({by}) ({}) {op} max by ({by}) ({})", self.vector(d), self.vector(d))
            }
        };
        if matches!(op, ">" | "<=") { text } else { mark(text) }
    }

    fn set(&mut self, d: u32) -> String {
        let op = self.one_of(&["and", "or", "unless"]);
        let on = self.one_of(&["", "on (job)", "on (instance)", "ignoring (path, le)", "on ()"]);
        format!("({}) {op} {on} ({})", self.vector(d), self.vector(d))
    }

    fn math(&mut self, d: u32) -> String {
        let arg = self.vector(d);
        match self.rng.u8(..6) {
            0 => format!("{}({arg})", self.one_of(&["abs", "sgn", "sort", "sort_desc"])),
            1 => {
                let arg = self.exact_leaf();
                format!("{}({arg})", self.one_of(&["ceil", "floor", "round"]))
            }
            2 => format!("round({}, {})", self.exact_leaf(), self.one_of(&["0.25", "10", "-3", "scalar(sum(up))"])),
            3 => format!("-({arg})"),
            // The angle of a giant is noise.
            4 => {
                let f = self.one_of(&["sin", "cos", "tan", "sinh", "cosh", "acosh", "asin", "acos", "atanh", "exp"]);
                mark(format!("{f}(clamp({arg}, -20, 20))"))
            }
            _ => {
                let f = self.one_of(&["sqrt", "ln", "log2", "log10", "asinh", "atan", "tanh", "deg", "rad"]);
                mark(format!("{f}({arg})"))
            }
        }
    }

    fn clamped(&mut self, d: u32) -> String {
        let arg = self.vector(d);
        match self.rng.u8(..3) {
            0 => format!("clamp({arg}, -1e6, 1e8)"),
            1 => format!("clamp_min({arg}, scalar(sum(up)))"),
            _ => format!("clamp_max({arg}, {})", self.one_of(&["10", "NaN", "scalar(avg(memory_bytes))"])),
        }
    }

    fn relabelled(&mut self, d: u32) -> String {
        let arg = self.vector(d);
        match self.rng.u8(..5) {
            0 => format!(r#"label_replace({arg}, "x", "$2-$1", "instance", "(.*)-(.*)")"#),
            1 => format!(r#"label_join({arg}, "x", "/", "job", "instance", "none")"#),
            2 => format!(r#"label_replace({arg}, "path", "", "path", ".*a.*")"#),
            3 => format!(r#"label_replace({arg}, "job", "${{who}}", "instance", "(?P<who>[a-z]+)-.*")"#),
            _ => format!(r#"sum by (x) (label_replace({arg}, "x", "$1", "job", "(.).*"))"#),
        }
    }

    fn histogram(&mut self) -> String {
        let by = self.one_of(&["by (le)", "by (job, le)", "without (instance)"]);
        let f = self.one_of(&["rate", "increase"]);
        let range = self.one_of(&leaves::RANGES);
        let buckets = match self.rng.u8(..3) {
            0 => mark(format!("{f}(latency_bucket[{range}])")),
            1 => format!("latency_bucket{}", self.matchers()),
            _ => mark(format!("sum {by} ({})", mark(format!("{f}(latency_bucket[{range}])")))),
        };
        match self.rng.u8(..6) {
            0 if self.edition.has_fractions() => {
                let (lower, upper) = (self.one_of(&["1", "-Inf", "1.5", "5"]), self.one_of(&["1", "3", "+Inf", "NaN"]));
                return mark(format!("histogram_fraction({lower}, {upper}, size_bucket)"));
            }
            1 if self.edition.has_sound_fractions() => {
                let (lower, upper) =
                    (self.one_of(&["0", "-1", "0.05", "-Inf"]), self.one_of(&["0.1", "2", "30", "+Inf"]));
                return mark(format!("histogram_fraction({lower}, {upper}, {buckets})"));
            }
            _ => {}
        }
        let phi = self.one_of(&["0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN", "scalar(avg(up))"]);
        mark(format!("histogram_quantile({phi}, {buckets})"))
    }

    fn absence(&mut self, d: u32) -> String {
        match self.rng.u8(..5) {
            0 => format!("absent({})", self.vector(d)),
            1 => format!("absent({}{})", self.selector(), self.offset()),
            2 => format!("absent_over_time({}[{}])", self.selector(), self.one_of(&leaves::RANGES)),
            3 => r#"absent(none{job="web", instance!="x", path=~"y", job="db"})"#.to_owned(),
            _ => format!("vector(scalar({}))", self.vector(d)),
        }
    }

    fn calendar(&mut self, d: u32) -> String {
        let fields = ["day_of_week", "day_of_month", "day_of_year", "days_in_month", "hour", "minute", "month", "year"];
        let f = self.one_of(&fields);
        match self.rng.u8(..4) {
            0 => format!("{f}()"),
            1 => format!("{f}(vector(time() - 86400 * {}))", self.rng.u32(..2000)),
            2 => format!("{f}(timestamp({}))", self.selector()),
            _ => mark(format!("time() - timestamp({})", self.vector(d))),
        }
    }

    fn subquery(&mut self, d: u32) -> String {
        let inner = self.vector(d);
        let (range, step) = (self.one_of(&["3m", "10m", "2m30s", "29m"]), self.one_of(&["7s", "30s", "1m", "90s", ""]));
        // A closed range would hold a step at its left edge.
        let range = if !self.edition.is_new() { format!("{range}1ms") } else { range.to_owned() };
        let offset = self.offset();
        self.over_time(&format!("({inner})[{range}:{step}]{offset}"), true)
    }

    fn aggregate(&mut self, d: u32) -> String {
        let grouping = self.one_of(&["", "by (job)", "by (job, zone)", "without (instance)", "without (le, path)"]);
        match self.rng.u8(..10) {
            0 => {
                let phi = self.one_of(&["0.5", "0.9", "2", "-1", "scalar(avg(up))"]);
                mark(format!("quantile {grouping} ({phi}, {})", self.vector(d)))
            }
            1 | 2 => {
                let k = self.one_of(&["0", "1", "2", "5", "scalar(count(up) or vector(1)) - 4"]);
                let distinct = self.distinct();
                format!("{} {grouping} ({k}, {distinct})", self.one_of(&["topk", "bottomk"]))
            }
            3 => {
                let counted = self.one_of(&["up", "resets(requests_total[8m])", "hour()", "limit_ratio_configured"]);
                format!(r#"count_values {grouping} ("{}", {counted})"#, self.one_of(&["v", "job"]))
            }
            4 => format!("{} {grouping} ({})", self.one_of(&["min", "max", "count", "group"]), self.vector(d)),
            // The spread of a single NaN is 0 in Prometheus 2.
            5 if self.edition.is_new() => {
                mark(format!("{} {grouping} ({})", self.one_of(&["stddev", "stdvar"]), self.vector(d)))
            }
            _ => mark(format!("{} {grouping} ({})", self.one_of(&["sum", "sum", "avg"]), self.vector(d))),
        }
    }
}

/// Around what rounds.
fn mark(text: String) -> String {
    format!("{}{text}{}", noise::BEGIN, noise::END)
}
