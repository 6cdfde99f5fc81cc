//! One transition as the outbox keeps it on disk: a version byte, then postcard. Pure.
//!
//! States and reasons are numbers of `sink/key.rs`, so that the order of an enum in the code means nothing on disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alert::{AlertState, Reason, RuleRef, Transition};
use crate::base::{Labels, Millis};

use super::super::key::{reason_code, state_code};

/// The version that is written. Every earlier one is read.
const VERSION: u8 = 1;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// From a later release.
    #[error("a record of version {0}; this forewarn reads versions up to {VERSION}")]
    Version(u8),
    /// Damaged.
    #[error("a damaged record: {0}")]
    Damaged(String),
}

/// Version 1. Fields are never reordered; what is added needs a new version.
#[derive(Serialize, Deserialize)]
struct V1 {
    received: Millis,
    at: Millis,
    file: String,
    group: String,
    alert: String,
    expr: String,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    from: u8,
    to: u8,
    reason: u8,
    value: f64,
    active_at: Millis,
    fired_at: Option<Millis>,
    resolved_at: Option<Millis>,
    ends_at: Millis,
}

/// The bytes of a transition that came in at wall-clock time `received`.
pub(super) fn encode(t: &Transition, received: Millis) -> Vec<u8> {
    let pairs = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let record = V1 {
        received,
        at: t.at,
        file: t.rule.file.clone(),
        group: t.rule.group.clone(),
        alert: t.rule.alert.clone(),
        expr: t.rule.expr.clone(),
        labels: t.labels.as_ref().iter().map(pairs).collect(),
        annotations: t.annotations.clone(),
        from: state_code(t.from),
        to: state_code(t.to),
        reason: reason_code(t.reason),
        value: t.value,
        active_at: t.active_at,
        fired_at: t.fired_at,
        resolved_at: t.resolved_at,
        ends_at: t.ends_at,
    };
    // Into memory, and every type has a form: nothing there can fail.
    postcard::to_extend(&record, vec![VERSION]).unwrap_or_default()
}

/// A transition and when it came in, from its bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<(Transition, Millis), RecordError> {
    let damaged = |text: String| RecordError::Damaged(text);
    let (version, rest) = bytes.split_first().ok_or_else(|| damaged("it is empty".to_owned()))?;
    if *version != VERSION {
        return Err(RecordError::Version(*version));
    }
    let r: V1 = postcard::from_bytes(rest).map_err(|e| damaged(e.to_string()))?;
    let state = |code: u8| {
        let states = [AlertState::Inactive, AlertState::Pending, AlertState::Firing];
        states.into_iter().find(|s| state_code(*s) == code).ok_or_else(|| damaged(format!("state {code}")))
    };
    let reason = REASONS.into_iter().find(|reason| reason_code(*reason) == r.reason);
    let transition = Transition {
        at: r.at,
        rule: Arc::new(RuleRef { file: r.file, group: r.group, alert: r.alert, expr: r.expr }),
        labels: Labels::from_pairs(r.labels),
        annotations: r.annotations,
        from: state(r.from)?,
        to: state(r.to)?,
        reason: reason.ok_or_else(|| damaged(format!("reason {}", r.reason)))?,
        value: r.value,
        active_at: r.active_at,
        fired_at: r.fired_at,
        resolved_at: r.resolved_at,
        ends_at: r.ends_at,
    };
    Ok((transition, r.received))
}

const REASONS: [Reason; 8] = [
    Reason::Began,
    Reason::HeldLongEnough,
    Reason::ClearedWhilePending,
    Reason::Cleared,
    Reason::KeptFiring,
    Reason::Resent,
    Reason::RuleRemoved,
    Reason::OverLimit,
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing;
    use super::*;

    /// A record as the first release with an outbox wrote it.
    const FIXTURE: &str = "01f08d0ba0fe0a0f72756c65732f686f73742e79616d6c04686f737404446f776e077570203d3d20300309616c6572746e616d6504446f776e08696e7374616e636506613a393130300873657665726974790470616765010773756d6d6172790c446f776e20697320646f776e020003000000000000e03f0001c0a90701a0fe0aa0fe0a";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn records_of_this_release_are_read_for_ever() {
        let transition = testing::resolved("Down", 60_000, 90_000);
        assert_eq!(hex(&encode(&transition, 91_000)), FIXTURE);
        let bytes: Vec<u8> =
            (0..FIXTURE.len()).step_by(2).map(|i| u8::from_str_radix(&FIXTURE[i..i + 2], 16).unwrap()).collect();
        assert_eq!(decode(&bytes).unwrap(), (transition, 91_000));
    }

    #[test]
    fn damage_and_later_versions_are_told_apart() {
        let mut bytes = encode(&testing::firing("Down", 60_000), 0);
        assert!(matches!(decode(&bytes[..bytes.len() / 2]), Err(RecordError::Damaged(_))));
        assert!(matches!(decode(&[]), Err(RecordError::Damaged(_))));
        bytes[0] = 2;
        assert_eq!(decode(&bytes), Err(RecordError::Version(2)));
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            at: i64, value: u64, fired_at: Option<i64>, resolved_at: Option<i64>, state in 0usize..3, reason in 0usize..8,
            labels in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{1,20}", 0..5), text in "\\PC{0,200}",
        ) {
            let states = [AlertState::Inactive, AlertState::Pending, AlertState::Firing];
            let transition = Transition {
                at, fired_at, resolved_at, to: states[state], reason: REASONS[reason],
                // Any finite value: NaN is unequal to itself.
                value: Some(f64::from_bits(value)).filter(|v| !v.is_nan()).unwrap_or(0.0),
                labels: Labels::from_pairs(labels), annotations: vec![("summary".to_owned(), text)],
                ..testing::firing("Down", 60_000)
            };
            prop_assert_eq!(decode(&encode(&transition, at)).unwrap(), (transition, at));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = decode(&[&[VERSION], &bytes[..]].concat());
        }
    }
}
