//! Expressions without others in them: selectors, and functions of ranges.

use super::{Writer, mark};

pub(super) const RANGES: [&str; 7] = ["20s", "1m", "2m", "5m", "8m30s", "17m", "30m"];

const COUNTERS: [&str; 3] = ["requests_total", "busy_seconds_total", "latency_bucket"];
const GAUGES: [&str; 3] = ["memory_bytes", "disk_free", "limit_ratio_configured"];

impl Writer {
    pub(super) fn leaf(&mut self) -> String {
        let range = self.one_of(&RANGES);
        match self.rng.u8(..10) {
            0..=2 => self.exact_leaf(),
            3..=5 => {
                let (metric, matchers, offset) = (self.one_of(&COUNTERS), self.matchers(), self.offset());
                match self.one_of(&["rate", "increase", "irate", "rate", "increase", "delta", "resets", "changes"]) {
                    f @ ("resets" | "changes") => format!("{f}({metric}{matchers}[{range}]{offset})"),
                    f => mark(format!("{f}({metric}{matchers}[{range}]{offset})")),
                }
            }
            _ => {
                let (selector, offset) = (self.selector(), self.offset());
                self.over_time(&format!("{selector}[{range}]{offset}"), false)
            }
        }
    }

    /// Samples as they came.
    pub(super) fn exact_leaf(&mut self) -> String {
        format!("{}{}", self.selector(), self.offset())
    }

    /// What has no two equal values, and no NaN: of those, which come first is anybody's guess.
    pub(super) fn distinct(&mut self) -> String {
        let matchers = self.matchers();
        match self.rng.u8(..4) {
            0 => format!("busy_seconds_total{matchers}"),
            1 => format!("memory_bytes{matchers} > 0"),
            2 => mark(format!("rate(busy_seconds_total{matchers}[5m])")),
            _ => format!("{} > 0", mark(format!("avg_over_time(memory_bytes{matchers}[8m30s])"))),
        }
    }

    /// A function of a range. Of what was computed nobody should count the changes: rounding is one.
    pub(super) fn over_time(&mut self, range: &str, computed: bool) -> String {
        let phi = self.one_of(&["0.3", "0.5", "0.99", "0", "1", "1.5", "-1", "scalar(avg(up))"]);
        let exact = ["min_over_time", "max_over_time", "count_over_time", "last_over_time", "present_over_time"];
        let rounded =
            ["sum_over_time", "avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv", "idelta", "delta"];
        // Of gauges, which fall: every fall is a reset. Prometheus 2 extrapolates them differently.
        let counters = ["rate", "increase", "irate"];
        // A line cancels out as nothing else does: what was computed for it counts as rounded.
        let points = || match range.rsplit_once(")[") {
            Some((inner, rest)) if computed => format!("({})[{rest}", mark(inner[1..].to_owned())),
            _ => range.to_owned(),
        };
        match self.rng.u8(..12) {
            0 => mark(format!("quantile_over_time({phi}, {range})")),
            1 => {
                let ahead = self.one_of(&["3600", "-600", "0", "pi() * 100", "scalar(sum(up)) * 60"]);
                mark(format!("predict_linear({}, {ahead})", points()))
            }
            2 if !computed => format!("{}({range})", self.one_of(&["changes", "resets"])),
            3 if self.edition.is_new() && !computed => mark(format!("{}({range})", self.one_of(&counters))),
            4..=7 => format!("{}({range})", self.one_of(&exact)),
            _ => match self.one_of(&rounded) {
                "deriv" => mark(format!("deriv({})", points())),
                f => mark(format!("{f}({range})")),
            },
        }
    }

    pub(super) fn selector(&mut self) -> String {
        let metric = match self.rng.u8(..5) {
            0 => self.one_of(&COUNTERS),
            1 => self.one_of(&["up", "info"]),
            2 => return r#"{__name__=~"up|disk_.*", job!~"d."}"#.to_owned(),
            _ => self.one_of(&GAUGES),
        };
        format!("{metric}{}", self.matchers())
    }

    pub(super) fn matchers(&mut self) -> &'static str {
        match self.rng.u8(..9) {
            0 => r#"{job="web"}"#,
            1 => r#"{instance=~"(web|db)-.*"}"#,
            2 => r#"{job!="db", instance!~".*0:80"}"#,
            3 => r#"{path!="/"}"#,
            4 => r#"{le="", path=~"/.*|"}"#,
            _ => "",
        }
    }
}
