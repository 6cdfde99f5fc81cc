//! The series `ALERTS` and `ALERTS_FOR_STATE` that an alert gives while it is pending or firing.

use crate::alert::AlertState;
use crate::base::{Labels, LabelsRef, METRIC_NAME, Millis};

/// Names a series of a machine for as long as the series lasts; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesHandle(pub u64);

/// The sample of a series at the tick that was stepped last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertSample<'a> {
    /// Names the series without looking at its labels.
    pub series: SeriesHandle,
    /// The alert's labels, with `__name__`, and `alertstate` for `ALERTS`.
    pub labels: &'a Labels,
    /// 1 for `ALERTS`; when the expression began to hold, in seconds since the epoch, for `ALERTS_FOR_STATE`.
    pub value: f64,
}

/// A series that had a sample at the tick before and has none any more: it gets a staleness marker.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedSeries {
    /// The handle under which its samples were given.
    pub series: SeriesHandle,
    /// Its labels.
    pub labels: Labels,
}

/// Both series of an alert.
#[derive(Clone, Debug)]
pub(super) struct AlertSeriesPair {
    state: AlertState,
    alerts: EndedSeries,
    for_state: EndedSeries,
}

impl AlertSeriesPair {
    /// Brings an alert's series in line with its state; what ends goes to `ended`.
    pub fn update(
        current: &mut Option<Self>,
        labels: LabelsRef<'_>,
        state: AlertState,
        next: &mut u64,
        ended: &mut Vec<EndedSeries>,
    ) {
        match current {
            Some(pair) if pair.state == state => {}
            Some(pair) if state != AlertState::Inactive => {
                pair.state = state;
                ended.push(std::mem::replace(&mut pair.alerts, alerts_series(labels, state, next)));
            }
            _ => {
                if let Some(pair) = current.take() {
                    ended.extend([pair.alerts, pair.for_state]);
                }
                if state != AlertState::Inactive {
                    let alerts = alerts_series(labels, state, next);
                    let for_state = begin(named(labels, "ALERTS_FOR_STATE", None), next);
                    *current = Some(Self { state, alerts, for_state });
                }
            }
        }
    }

    /// The state that `ALERTS` says, and the handles of both.
    pub fn saved(&self) -> (AlertState, [u64; 2]) {
        (self.state, [self.alerts.series.0, self.for_state.series.0])
    }

    /// The series that were saved of an alert with these labels.
    pub fn restore(labels: LabelsRef<'_>, (state, [mut alerts, mut for_state]): (AlertState, [u64; 2])) -> Self {
        (alerts, for_state) = (alerts.wrapping_sub(1), for_state.wrapping_sub(1));
        Self {
            state,
            alerts: alerts_series(labels, state, &mut alerts),
            for_state: begin(named(labels, "ALERTS_FOR_STATE", None), &mut for_state),
        }
    }

    /// The samples of both.
    pub fn samples(&self, active_at: Millis) -> [AlertSample<'_>; 2] {
        [
            AlertSample { series: self.alerts.series, labels: &self.alerts.labels, value: 1.0 },
            AlertSample {
                series: self.for_state.series,
                labels: &self.for_state.labels,
                value: active_at.div_euclid(1000) as f64,
            },
        ]
    }
}

fn alerts_series(labels: LabelsRef<'_>, state: AlertState, next: &mut u64) -> EndedSeries {
    let state = if state == AlertState::Firing { "firing" } else { "pending" };
    begin(named(labels, "ALERTS", Some(state)), next)
}

fn begin(labels: Labels, next: &mut u64) -> EndedSeries {
    *next = next.wrapping_add(1);
    EndedSeries { series: SeriesHandle(*next), labels }
}

fn named(labels: LabelsRef<'_>, name: &str, state: Option<&str>) -> Labels {
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, name);
    if let Some(state) = state {
        builder.set("alertstate", state);
    }
    builder.build()
}
