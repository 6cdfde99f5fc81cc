//! Totals, what becomes of them over restarts, and messages that are taken back.

use super::*;

const MS: u64 = 1_000_000;

fn add(totals: &mut DeltaTotals, series: u128, start: u64, time: u64, value: f64) -> Result<f64, DeltaFault> {
    totals.add(series, Delta { start, time, value, is_counter: true }).map(|added| added.value)
}

fn totals(max: usize) -> DeltaTotals {
    DeltaTotals::new(&Limits { delta_series: max, ..Limits::default() })
}

#[test]
fn deltas_add_up_and_old_ones_are_left_out() {
    let mut totals = totals(10);
    assert_eq!(add(&mut totals, 1, 5, 10, 3.0), Ok(3.0));
    assert_eq!(add(&mut totals, 1, 10, 20, 4.0), Ok(7.0));
    assert_eq!(add(&mut totals, 1, 10, 20, 4.0), Err(DeltaFault::OutOfOrder));
    assert_eq!(add(&mut totals, 1, 4, 30, 4.0), Err(DeltaFault::OutOfOrder));
    assert_eq!(add(&mut totals, 1, 20, 30, 1.0), Ok(8.0));
    totals.end(1);
    assert_eq!(add(&mut totals, 1, 30, 40, 1.0), Ok(1.0));
}

#[test]
fn the_number_of_series_is_bounded_and_silent_ones_make_room() {
    let mut totals = totals(1);
    assert_eq!(add(&mut totals, 1, 0, MS, 1.0), Ok(1.0));
    assert_eq!(add(&mut totals, 2, 0, MS, 1.0), Err(DeltaFault::TooMany));
    let later = |generations: u64| generations * GENERATION_MS as u64 * MS + 2 * MS;
    assert_eq!(add(&mut totals, 2, 0, later(1), 1.0), Err(DeltaFault::TooMany));
    assert_eq!(add(&mut totals, 2, 0, later(2), 1.0), Ok(1.0));
    assert_eq!(totals.len(), 1);
}

#[test]
fn a_message_that_is_taken_back_can_come_again() {
    let mut totals = totals(10);
    assert_eq!(add(&mut totals, 1, 0, 10, 3.0), Ok(3.0));
    totals.changes();
    // Of a known series twice, of a new one, and the end of that.
    for again in [true, false] {
        assert_eq!(add(&mut totals, 1, 0, 20, 4.0), Ok(7.0));
        assert_eq!(add(&mut totals, 1, 0, 30, 5.0), Ok(12.0));
        assert_eq!(add(&mut totals, 2, 0, 30, 1.0), Ok(1.0));
        totals.end(2);
        assert_eq!(add(&mut totals, 2, 0, 40, 2.0), Ok(2.0));
        let changes = totals.changes();
        if again {
            totals.undo(changes);
            assert_eq!(totals.len(), 1);
        }
    }
    assert_eq!(add(&mut totals, 1, 0, 30, 5.0), Err(DeltaFault::OutOfOrder), "it stands this time");
}

#[test]
fn what_came_meanwhile_stays() {
    let mut totals = totals(10);
    add(&mut totals, 1, 0, 10, 3.0).unwrap();
    let refused = totals.changes();
    assert_eq!(add(&mut totals, 1, 0, 20, 4.0), Ok(7.0));
    totals.undo(refused);
    assert_eq!(add(&mut totals, 1, 0, 30, 1.0), Ok(8.0));
}

#[test]
fn overlapping_messages_that_are_all_refused_are_all_taken_back() {
    for newer_first in [false, true] {
        let mut totals = totals(10);
        add(&mut totals, 1, 0, 10, 1.0).unwrap();
        totals.changes();
        let mut message = |time, delta| {
            add(&mut totals, 1, 0, time, delta).unwrap();
            add(&mut totals, 2, 0, time, delta).unwrap();
            add(&mut totals, 2, 0, time + 1, delta).unwrap();
            totals.changes()
        };
        let (older, newer) = (message(20, 2.0), message(30, 4.0));
        let (first, second) = if newer_first { (newer, older) } else { (older, newer) };
        totals.undo(first);
        totals.undo(second);
        assert_eq!((totals.len(), totals.skipped.len()), (1, 0), "the second series had begun with them");
        // They come again.
        assert_eq!(add(&mut totals, 1, 0, 20, 2.0), Ok(3.0));
        assert_eq!(add(&mut totals, 1, 0, 30, 4.0), Ok(7.0));
        assert_eq!(add(&mut totals, 2, 0, 20, 2.0), Ok(2.0));
    }
}

#[test]
fn a_delta_that_comes_again_while_another_waits_is_told_of_by_that_one_or_comes_with_it() {
    let mut totals = totals(10);
    add(&mut totals, 1, 0, 10, 1.0).unwrap();
    totals.changes();
    add(&mut totals, 1, 0, 20, 2.0).unwrap();
    let older = totals.changes();
    add(&mut totals, 1, 0, 30, 4.0).unwrap();
    let newer = totals.changes();
    totals.undo(older);
    assert_eq!(add(&mut totals, 1, 0, 20, 2.0), Err(DeltaFault::OutOfOrder), "acknowledged, and in the total");
    totals.undo(newer);
    assert_eq!(add(&mut totals, 1, 0, 30, 4.0), Ok(7.0));
}

#[test]
fn what_was_before_an_end_does_not_come_back_behind_another_beginning() {
    let mut totals = totals(10);
    add(&mut totals, 1, 0, 10, 100.0).unwrap();
    totals.changes();
    totals.end(1);
    let end = totals.changes();
    add(&mut totals, 1, 0, 20, 1.0).unwrap();
    let begin = totals.changes();
    totals.undo(end);
    totals.undo(begin);
    assert_eq!((totals.len(), totals.skipped.len()), (0, 0));
    assert_eq!(add(&mut totals, 1, 0, 20, 1.0), Ok(1.0));
}

#[test]
fn a_large_message_is_taken_back_over_much_that_was_skipped() {
    const SERIES: u128 = 50_000;
    let mut totals = totals(SERIES as usize);
    let mut message = |time| {
        (0..SERIES).for_each(|series| _ = add(&mut totals, series, 0, time, 1.0).unwrap());
        totals.changes()
    };
    let [first, second, third] = [10, 20, 30].map(&mut message);
    let started = std::time::Instant::now();
    totals.undo(first);
    assert!(totals.skipped.len() <= 10_000, "{}", totals.skipped.len());
    totals.undo(second);
    totals.undo(third);
    println!("{:?}", started.elapsed());
    assert!(started.elapsed().as_secs() < 5, "each is looked up, and not searched for");
}

#[test]
fn deltas_that_may_have_been_counted_are_told_one_by_one() {
    let accepted = TimeSpan { oldest: 0, newest: 99 };
    let mut totals = DeltaTotals::since(&Limits::default(), accepted);
    let mut add = |series, time: u64, is_counter| {
        let added = totals.add(series, Delta { start: 1, time: time * MS, value: 2.0, is_counter }).unwrap();
        (added.value, added.standing, added.is_first)
    };
    let [increment, anew] = [Standing::Increment, Standing::Anew(100 * MS)];
    let counter: Vec<_> = [80, 90, 100, 110].map(|time| add(1, time, true)).into();
    assert_eq!(counter, [(2.0, increment, true), (2.0, increment, false), (2.0, anew, true), (4.0, anew, false)]);
    // What it has begun with may have been refused, or late; a minute later it was not, or nobody asks any more.
    assert_eq!(add(1, 60_100, true), (6.0, anew, false));
    assert_eq!(add(1, 60_101, true), (8.0, Standing::Total, false));
    // What can fall has no resets.
    let gauge: Vec<_> = [80, 90, 100, 110].map(|time| add(2, time, false).0).into();
    assert_eq!(gauge, [2.0, 4.0, 6.0, 8.0]);
}

#[test]
fn one_of_them_that_was_refused_is_told_though_another_has_come_meanwhile() {
    let mut totals = DeltaTotals::since(&Limits::default(), TimeSpan { oldest: 0, newest: 99 });
    let add = |totals: &mut DeltaTotals, time: u64, value| {
        let added = totals.add(1, Delta { start: 1, time: time * MS, value, is_counter: true });
        (added.map(|added| (added.value, added.standing)), totals.changes())
    };
    let (_, refused) = add(&mut totals, 50, 2.0);
    let (_, newer) = add(&mut totals, 60, 4.0);
    totals.undo(refused);
    let (told, refused) = add(&mut totals, 50, 2.0);
    assert_eq!(told, Ok((2.0, Standing::Increment)));
    // As often as it takes, the newer one being refused or not.
    totals.undo(refused);
    assert_eq!(add(&mut totals, 50, 2.0).0, Ok((2.0, Standing::Increment)));
    assert_eq!(add(&mut totals, 50, 2.0).0, Err(DeltaFault::OutOfOrder), "it was acknowledged");
    totals.undo(newer);
    assert_eq!(add(&mut totals, 50, 2.0).0, Err(DeltaFault::OutOfOrder));
    assert_eq!(add(&mut totals, 60, 4.0).0, Ok((4.0, Standing::Increment)));
}

#[test]
fn a_series_that_goes_on_is_kept_for_ever() {
    let mut totals = totals(1);
    let total = (1..100).map(|i| add(&mut totals, 1, 0, i * (GENERATION_MS as u64) / 2 * MS, 1.0).unwrap()).last();
    assert_eq!(total, Some(99.0));
}
