//! The alerts of a machine as they are saved and read back. Which elements they were made of is known by their labels
//! alone, as after a reload: the ids of elements do not outlive the process.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::AlertMachine;
use super::alert::Alert;
use super::registry::Registry;
use super::series::AlertSeriesPair;
use crate::alert::AlertState;
use crate::base::{Labels, Millis, label_bytes};

/// All alerts of a machine, with its counters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAlerts {
    steps: u64,
    series: u64,
    /// Sorted by labels.
    alerts: Vec<SavedAlert>,
}

/// An alert, see [`Alert`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedAlert {
    #[serde(with = "label_bytes")]
    labels: Labels,
    #[serde(with = "label_bytes")]
    element: Labels,
    state: AlertState,
    reported: AlertState,
    value: f64,
    evaluated_at: Millis,
    active_at: Millis,
    fired_at: Option<Millis>,
    resolved_at: Option<Millis>,
    sent_at: Option<Millis>,
    keep_firing_since: Option<Millis>,
    seen_in: u64,
    text: Option<Vec<(String, String)>>,
    shown: Option<Vec<(String, String)>>,
    series: Option<(AlertState, [u64; 2])>,
}

impl AlertMachine {
    /// Its alerts.
    #[must_use]
    pub fn save(&self) -> SavedAlerts {
        SavedAlerts { steps: self.steps, series: self.series, alerts: self.alerts.iter().map(saved).collect() }
    }

    /// Goes on with alerts that were saved; those it has are forgotten. False, and without any, if two have the same labels.
    pub fn restore(&mut self, saved: SavedAlerts) -> bool {
        (self.steps, self.series, self.alerts) = (saved.steps, saved.series, Registry::default());
        let mut slots = Vec::new();
        for alert in saved.alerts.into_iter().map(restored) {
            if self.alerts.of_key(alert.key).is_some() {
                self.alerts = Registry::default();
                return false;
            }
            slots.push(self.alerts.insert(alert));
        }
        self.alerts.admit(&slots);
        true
    }
}

fn saved(alert: &Alert) -> SavedAlert {
    SavedAlert {
        labels: alert.labels.clone(),
        element: alert.element.clone(),
        state: alert.state,
        reported: alert.reported,
        value: alert.value,
        evaluated_at: alert.evaluated_at,
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        resolved_at: alert.resolved_at,
        sent_at: alert.sent_at,
        keep_firing_since: alert.keep_firing_since,
        seen_in: alert.seen_in,
        text: alert.text.clone(),
        shown: alert.shown.get().cloned(),
        series: alert.series.as_ref().map(AlertSeriesPair::saved),
    }
}

fn restored(saved: SavedAlert) -> Alert {
    let series = saved.series.map(|pair| AlertSeriesPair::restore(saved.labels.as_ref(), pair));
    Alert {
        key: saved.labels.as_ref().key(),
        labels: saved.labels,
        element: saved.element,
        source: None,
        ids: Vec::new(),
        state: saved.state,
        reported: saved.reported,
        value: saved.value,
        evaluated_at: saved.evaluated_at,
        active_at: saved.active_at,
        fired_at: saved.fired_at,
        resolved_at: saved.resolved_at,
        sent_at: saved.sent_at,
        keep_firing_since: saved.keep_firing_since,
        seen_in: saved.seen_in,
        text: saved.text,
        shown: saved.shown.map_or_else(OnceLock::new, OnceLock::from),
        gone: false,
        series,
    }
}
