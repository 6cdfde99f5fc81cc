//! When annotations that query are made, and how often.

use std::cell::Cell;

use super::*;
use crate::alert::Queries;

/// Answers with the instant, and counts the questions.
#[derive(Debug, Default)]
struct Counting(Cell<usize>);

impl Queries for Counting {
    fn query(&self, _expr: &str, at: Millis) -> Result<Vec<(Labels, f64)>, String> {
        self.0.set(self.0.get() + 1);
        Ok(vec![(Labels::default(), at as f64)])
    }
}

const ASKS: &str = r#"{{ query "m" | first | value }}"#;

fn shown(machine: &AlertMachine, context: &AlertContext<'_>) -> Vec<String> {
    machine.active(context).into_iter().map(|alert| alert.annotations[0].1.clone()).collect()
}

#[test]
fn what_is_shown_is_asked_for_once_a_tick() {
    let (counting, external) = (Counting::default(), Labels::default());
    let context = AlertContext { queries: &counting, ..context(&external) };
    let settings = AlertSettings { keep_firing: 60 * S, ..AlertSettings::default() };
    let mut machine = AlertMachine::new(rule(settings, &[], &[("at", ASKS)]));
    let mut out = AlertOutput::default();
    let mut step = |machine: &mut AlertMachine, t, elements: &[(u32, f64)]| {
        machine.step(t, elements, &labels_of, &context, &mut out).unwrap();
    };
    // Two alerts are told of; what was told is shown.
    step(&mut machine, S, &[(0, 1.0), (1, 1.0)]);
    assert_eq!((shown(&machine, &context), counting.0.get()), (vec!["1000".to_owned(); 2], 2));
    // Nothing is told at the next tick, and nothing asked before somebody looks.
    step(&mut machine, 2 * S, &[(0, 1.0), (1, 1.0)]);
    assert_eq!(counting.0.get(), 2);
    for _ in 0..3 {
        assert_eq!((shown(&machine, &context), counting.0.get()), (vec!["2000".to_owned(); 2], 4));
    }
    // One is kept: its text is made once more, of the instant that it last held at, and then stays.
    for t in [3, 4, 5] {
        step(&mut machine, t * S, &[(1, 1.0)]);
    }
    assert_eq!(counting.0.get(), 5);
    assert_eq!((shown(&machine, &context), counting.0.get()), (vec!["2000".to_owned(), "5000".to_owned()], 6));
}

#[test]
fn a_new_text_is_made_when_the_expression_holds_unless_it_asks_nothing() {
    let (counting, external) = (Counting::default(), Labels::default());
    let context = AlertContext { queries: &counting, ..context(&external) };
    let settings = AlertSettings { keep_firing: 60 * S, ..AlertSettings::default() };
    let mut machine = AlertMachine::new(rule(settings, &[], &[("at", ASKS)]));
    let mut out = AlertOutput::default();
    machine.step(S, &[(0, 1.0)], &labels_of, &context, &mut out).unwrap();
    machine.step(2 * S, &[], &labels_of, &context, &mut out).unwrap();
    machine.keep_texts(&context);
    machine.change_rule(rule(settings, &[], &[("at", &format!("now {ASKS}"))]));
    assert_eq!(shown(&machine, &context), ["1000"]);
    machine.step(3 * S, &[(0, 1.0)], &labels_of, &context, &mut out).unwrap();
    assert_eq!(shown(&machine, &context), ["now 3000"]);
    machine.change_rule(rule(settings, &[], &[("at", "of {{ $labels.instance }}")]));
    assert_eq!(shown(&machine, &context), ["of i0"]);
}
