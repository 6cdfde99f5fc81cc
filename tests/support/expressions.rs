//! Random PromQL over the series of [`super::series`]. Only expressions whose value is defined to the digit: no `topk` of
//! values that may be equal, no modulo of giants, no dates of what is no time.

use fastrand::Rng;

const COUNTERS: [&str; 3] = ["requests_total", "errors_total", "latency_bucket"];
const GAUGES: [&str; 2] = ["memory_bytes", "disk_free"];
const RANGES: [&str; 6] = ["20s", "1m", "2m", "5m", "8m30s", "17m"];
const STEPS: [&str; 5] = ["7s", "30s", "1m", "90s", ""];

/// One expression.
pub fn expression(rng: &mut Rng) -> String {
    vector(rng, 3)
}

/// One expression that looks ahead, at fixed instants (seconds), or takes parameters from series.
pub fn looking_about(rng: &mut Rng, instants: std::ops::Range<i64>) -> String {
    loop {
        let mut expr = expression(rng);
        while let Some(at) = expr.find(" offset 1m").or_else(|| expr.find(" offset 4m10s")) {
            let end = at + if expr[at..].starts_with(" offset 1m") { " offset 1m" } else { " offset 4m10s" }.len();
            let t = rng.i64(instants.clone());
            let looks = match rng.u8(..6) {
                0 => " offset -1m".to_owned(),
                1 => " offset -7m20s".to_owned(),
                2 => format!(" @ {t}"),
                3 => format!(" @ {t}.5 offset -3m"),
                4 => " @ start() offset 90s".to_owned(),
                _ => " @ end()".to_owned(),
            };
            expr.replace_range(at..end, &looks);
        }
        let expr =
            expr.replace("_over_time(0.3,", "_over_time(scalar(avg(up)),").replace(", 3600)", ", scalar(sum(up)))");
        // Prometheus 3.5 now and then gives the time of an older sample than the newest.
        if expr.contains("timestamp(") && expr.contains(" @ ") {
            continue;
        }
        if [" @ ", "offset -", "scalar(avg", ", scalar(sum(up)))"].iter().any(|part| expr.contains(part)) {
            return expr;
        }
    }
}

fn one_of<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.usize(..items.len())]
}

fn vector(rng: &mut Rng, depth: u32) -> String {
    if depth == 0 {
        return leaf(rng);
    }
    let d = depth - 1;
    match rng.u8(..20) {
        0..=4 => leaf(rng),
        5..=7 => aggregate(rng, d),
        8 | 9 => {
            let op = one_of(rng, &["+", "-", "*", "/", "<", ">=", "!=", "> bool", "<= bool", "atan2"]);
            let number = one_of(rng, &["2", "-0.5", "1e9", "NaN", "100"]);
            let arg = vector(rng, d);
            if rng.bool() { format!("({arg}) {op} {number}") } else { format!("{number} {op} ({arg})") }
        }
        10 | 11 => matched(rng, d),
        12 => {
            let op = one_of(rng, &["and", "or", "unless"]);
            let on = one_of(rng, &["", "on (job)", "on (instance)", "ignoring (path, le)"]);
            format!("({}) {op} {on} ({})", vector(rng, d), vector(rng, d))
        }
        13 => {
            let f = one_of(rng, &["abs", "ceil", "floor", "sqrt", "ln", "log2", "sgn", "-", "sort", "round"]);
            format!("{f}({})", vector(rng, d))
        }
        14 => match rng.u8(..4) {
            0 => format!("clamp({}, -1e6, 1e8)", vector(rng, d)),
            1 => format!("clamp_min({}, scalar(sum(up)))", vector(rng, d)),
            2 => format!("round({}, 0.25)", vector(rng, d)),
            _ => format!("{}(timestamp({}))", one_of(rng, &["", "day_of_week", "minute"]), vector(rng, d)),
        },
        15 => match rng.u8(..3) {
            0 => format!(r#"label_replace({}, "x", "$2-$1", "instance", "(.*)-(.*)")"#, vector(rng, d)),
            1 => format!(r#"label_join({}, "x", "/", "job", "instance", "none")"#, vector(rng, d)),
            _ => format!(r#"label_replace({}, "path", "", "path", ".*a.*")"#, vector(rng, d)),
        },
        16 => {
            let phi = one_of(rng, &["0.5", "0.99", "0", "1", "-1", "NaN"]);
            let by = one_of(rng, &["by (le)", "by (job, le)", "without (instance)"]);
            let f = one_of(rng, &["rate", "increase"]);
            let range = one_of(rng, &RANGES);
            match rng.bool() {
                true => format!("histogram_quantile({phi}, sum {by} ({f}(latency_bucket[{range}])))"),
                false => format!("histogram_quantile({phi}, {f}(latency_bucket[{range}]))"),
            }
        }
        17 => match rng.u8(..4) {
            0 => format!("absent({})", vector(rng, d)),
            1 => format!("absent_over_time({}[{}])", selector(rng), one_of(rng, &RANGES)),
            2 => format!("vector(scalar({}))", vector(rng, d)),
            _ => format!("time() - {}", leaf(rng)),
        },
        _ => {
            let inner = vector(rng, d);
            let f = over_time(rng, true);
            let (range, step) = (one_of(rng, &["3m", "10m", "2m30s"]), one_of(rng, &STEPS));
            f.replace("RANGE", &format!("({inner})[{range}:{step}]{}", offset(rng)))
        }
    }
}

fn leaf(rng: &mut Rng) -> String {
    let range = one_of(rng, &RANGES);
    match rng.u8(..10) {
        0..=2 => format!("{}{}", selector(rng), offset(rng)),
        3..=5 => {
            let metric = one_of(rng, &COUNTERS);
            let f = one_of(rng, &["rate", "increase", "irate", "resets", "changes", "delta"]);
            format!("{f}({metric}{}[{range}]{})", matchers(rng), offset(rng))
        }
        _ => over_time(rng, false).replace("RANGE", &format!("{}[{range}]{}", selector(rng), offset(rng))),
    }
}

/// Functions of any range.
const OVER_TIME: [&str; 12] = [
    "sum_over_time",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "deriv",
    "idelta",
    "delta",
];

/// A function of a range that is written `RANGE`. Of what was computed nobody should count the changes: rounding is one.
fn over_time(rng: &mut Rng, computed: bool) -> String {
    match rng.u8(..9) {
        0 => format!("quantile_over_time({}, RANGE)", one_of(rng, &["0.3", "0.99", "1.5"])),
        1 => "predict_linear(RANGE, 3600)".to_owned(),
        2 if !computed => format!("{}(RANGE)", one_of(rng, &["changes", "resets"])),
        _ => format!("{}(RANGE)", one_of(rng, &OVER_TIME)),
    }
}

fn selector(rng: &mut Rng) -> String {
    let metric = match rng.u8(..4) {
        0 => one_of(rng, &COUNTERS),
        1 => one_of(rng, &["up", "info"]),
        _ => one_of(rng, &GAUGES),
    };
    format!("{metric}{}", matchers(rng))
}

fn matchers(rng: &mut Rng) -> &'static str {
    match rng.u8(..8) {
        0 => r#"{job="web"}"#,
        1 => r#"{instance=~"(web|db)-.*"}"#,
        2 => r#"{job!="db", instance!~".*0:80"}"#,
        3 => r#"{path!="/"}"#,
        _ => "",
    }
}

fn offset(rng: &mut Rng) -> &'static str {
    match rng.u8(..6) {
        0 => " offset 1m",
        1 => " offset 4m10s",
        _ => "",
    }
}

fn aggregate(rng: &mut Rng, depth: u32) -> String {
    let grouping = one_of(rng, &["", "by (job)", "by (job, zone)", "without (instance)", "without (le, path)"]);
    match rng.u8(..10) {
        0 => format!("quantile {grouping} ({}, {})", one_of(rng, &["0.5", "0.9", "2"]), vector(rng, depth)),
        1 => format!("topk {grouping} (2, {}{})", one_of(rng, &["memory_bytes", "requests_total"]), matchers(rng)),
        2 => format!("bottomk {grouping} (1, {}{})", one_of(rng, &["disk_free", "memory_bytes"]), matchers(rng)),
        3 => format!(r#"count_values {grouping} ("v", {})"#, one_of(rng, &["up", "resets(requests_total[8m])"])),
        _ => {
            let op = one_of(rng, &["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            format!("{op} {grouping} ({})", vector(rng, depth))
        }
    }
}

fn matched(rng: &mut Rng, depth: u32) -> String {
    let op = one_of(rng, &["+", "-", "*", "/", ">", "< bool"]);
    match rng.u8(..5) {
        0 => format!("({}) {op} on (instance) group_left (zone) info", vector(rng, depth)),
        1 => format!("sum by (job) ({}) {op} on (job) group_right () ({})", leaf(rng), vector(rng, depth)),
        2 => format!("({}) {op} ignoring (path) ({})", vector(rng, depth), vector(rng, depth)),
        _ => {
            let by = one_of(rng, &["job", "instance", "job, path"]);
            format!("sum by ({by}) ({}) {op} max by ({by}) ({})", vector(rng, depth), vector(rng, depth))
        }
    }
}
