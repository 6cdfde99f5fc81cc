//! Where selectors and subqueries look: back, ahead, at instants.

use forewarn::base::Millis;
use forewarn::promql::{parse, reach};

use super::super::hard_series::Edition;
use super::Writer;
use super::noise::plain;

/// What the expressions of a run look at.
#[derive(Clone, Copy, Debug)]
pub enum Looks {
    /// The past.
    Back,
    /// Up to so far ahead as well, or at instants (from and to, in seconds) that lie so far back: rules that wait for as long.
    AheadOrAt { ahead: Millis, back: Millis, instants: (i64, i64) },
    /// Anywhere: queries, which have a start and an end.
    About { instants: (i64, i64) },
}

impl Looks {
    /// Whether an expression looks like that.
    pub(super) fn takes(self, expr: &str, edition: Edition) -> bool {
        let looks = expr.contains(" @ ") || expr.contains("offset -");
        // Prometheus 3.5 now and then gives the time of an older sample than the newest; and of an aggregation of what is the
        // same at all steps of a query it evaluates the parameter at the first one only.
        let unsound_at = ["timestamp(", " (scalar(avg(up)), "];
        let is_sound = !(expr.contains(" @ ") && unsound_at.iter().any(|part| expr.contains(part)))
            // To Prometheus 2 an infinite value is NaN wherever it lies.
            && (edition.is_new() || !expr.contains("predict_linear("));
        match self {
            Self::Back => true,
            Self::AheadOrAt { ahead, back, .. } => {
                let reach = reach(&parse(&plain(expr)).unwrap(), None).unwrap();
                // A subquery's step from before an instant that is named in it has what had come by then.
                looks && is_sound && reach.ahead <= ahead && reach.back <= back
            }
            Self::About { .. } => looks && is_sound,
        }
    }
}

impl Writer {
    /// `offset` and `@`, often neither.
    pub(super) fn offset(&mut self) -> String {
        let back = self.one_of(&["", "", "", "", " offset 1m", " offset 4m10s", " offset 11m"]);
        let (instants, has_ends) = match self.looks {
            Looks::Back => return back.to_owned(),
            Looks::AheadOrAt { instants, .. } => (instants, false),
            Looks::About { instants } => (instants, true),
        };
        let t = self.rng.i64(instants.0..instants.1);
        match self.rng.u8(..10) {
            0 => " offset -1m".to_owned(),
            1 => " offset -7m20s".to_owned(),
            2 => format!(" @ {t}{back}"),
            // Prometheus 2 has closed ranges, whose left edge must not be a sample's time.
            3 if self.edition.is_new() => format!(" @ {t}.5 offset -3m"),
            3 => format!(" offset -3m @ {t}"),
            4 if has_ends => " @ start() offset 90s".to_owned(),
            5 if has_ends => " @ end()".to_owned(),
            _ => back.to_owned(),
        }
    }
}
