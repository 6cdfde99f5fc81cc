//! Who holds time back, and for how long.

use proptest::prelude::*;

use super::*;

const A: SourceId = SourceId(0);
const B: SourceId = SourceId(1);
const FILE: SourceId = SourceId(2);
const LIVE: Pace = Pace::Live { lateness: 10, idle_timeout: 100 };

fn two_live() -> Watermarks {
    let mut marks = Watermarks::default();
    marks.register(A, LIVE, 0);
    marks.register(B, LIVE, 0);
    marks
}

#[test]
fn the_slowest_source_holds_back_until_it_is_silent() {
    let mut marks = two_live();
    assert_eq!(marks.current(50), None, "nobody has sent, nobody is silent for long");
    marks.observe(A, 1_000, 1_000);
    assert_eq!(marks.current(1_000), Some(990), "a source that never sent holds nobody back");
    marks.observe(B, 995, 1_001);
    marks.observe(A, 1_090, 1_090);
    assert_eq!(marks.current(1_090), Some(990), "never back");
    marks.observe(B, 1_005, 1_095);
    assert_eq!(marks.current(1_100), Some(995));
    let holder = |id| Some(Holder { id, lateness: 10, blocks: false });
    assert_eq!(marks.slowest(1_100), holder(B));
    marks.observe(A, 1_190, 1_190);
    assert_eq!(marks.current(1_195), Some(1_180), "B is silent");
    assert_eq!((marks.slowest(1_195), marks.slowest(9_000)), (holder(A), None));
}

#[test]
fn with_all_silent_time_follows_the_clock() {
    let mut marks = two_live();
    marks.observe(A, 1_000, 1_000);
    assert_eq!(marks.current(1_099), Some(990));
    assert_eq!(marks.current(1_150), Some(1_040));
    assert_eq!(marks.current(1_100), Some(1_040));
    marks.end(A);
    marks.end(B);
    assert_eq!(marks.current(9_000), Some(1_040), "nobody is left to be waited for");
}

#[test]
fn a_recording_holds_live_sources_back_until_its_end() {
    let mut marks = two_live();
    marks.register(FILE, Pace::Recorded, 0);
    marks.observe(A, 1_000, 1_000);
    assert_eq!(marks.current(1_000), None);
    marks.observe(FILE, 300, 1_001);
    assert_eq!(marks.current(5_000), Some(300));
    marks.end(FILE);
    marks.observe(A, 5_000, 5_000);
    assert_eq!(marks.current(5_000), Some(4_990));
}

#[test]
fn a_replay_alone_ends_at_its_newest_sample() {
    let mut marks = Watermarks::default();
    marks.register(FILE, Pace::Recorded, 0);
    marks.observe(FILE, 300, 1);
    assert_eq!(marks.current(1_000_000), Some(300));
    marks.end(FILE);
    assert_eq!(marks.current(1_000_000), Some(300));
    marks.register(A, LIVE, 1_000_000);
    assert_eq!(marks.current(1_000_001), Some(300));
    assert_eq!(marks.current(1_000_100), Some(1_000_100 - 110));
}

#[test]
fn a_clock_ahead_does_not_make_others_late() {
    let mut marks = two_live();
    marks.observe(A, 50_000, 1_000);
    assert_eq!(marks.current(1_000), Some(990));
    marks.observe(A, i64::MIN, 1_000);
    assert_eq!(marks.of(A), Some(990));
}

proptest! {
    #[test]
    fn never_back_and_never_ahead_of_what_is_known(
        steps in proptest::collection::vec((0usize..3, -500i64..500, 0i64..200, any::<bool>()), 1..60)
    ) {
        let mut marks = two_live();
        marks.register(FILE, Pace::Recorded, 0);
        let (mut now, mut before, mut recorded) = (0, None, i64::MIN);
        for (source, ahead, wait, ends) in steps {
            now += wait;
            marks.observe(SourceId(source), now + ahead, now);
            if source == FILE.0 {
                recorded = recorded.max(now + ahead);
                if ends {
                    marks.end(FILE);
                }
            }
            let current = marks.current(now);
            prop_assert!(current >= before);
            prop_assert!(current.is_none_or(|t| t <= now.max(recorded)));
            before = current;
        }
    }
}

#[test]
fn a_sender_that_pauses_is_not_late_when_it_speaks_again() {
    let mut marks = Watermarks::default();
    marks.register(A, Pace::Live { lateness: 0, idle_timeout: 100 }, 0);
    marks.register(B, Pace::Live { lateness: 50, idle_timeout: 100 }, 0);
    for pause in 0..20 {
        let now = 1_000 + pause * 300;
        // Its samples are 30 old when they come.
        assert!(marks.current(now).is_none_or(|mark| mark < now - 30), "{now}");
        marks.observe(B, now - 30, now);
        for t in (now..now + 300).step_by(10) {
            marks.observe(A, t, t);
            marks.current(t);
        }
    }
    // Nor does its silence stop time.
    assert_eq!(marks.current(6_990), Some(6_940));
}

#[test]
fn a_scheduled_source_holds_time_back_only_as_far_as_it_has_not_promised() {
    let mut marks = Watermarks::default();
    marks.register(A, Pace::Scheduled, 0);
    marks.register(B, Pace::Scheduled, 0);
    let hour = 3_600_000;
    // A reads every second, B every hour; both promise every second.
    for t in (hour..hour + 600_000).step_by(1_000) {
        marks.observe(A, t, t + 20);
        if t == hour {
            marks.observe(B, t, t + 20);
        }
        assert!(marks.current(t + 20) < Some(t), "its own sample does not come too late, and nobody else's");
        marks.quiet(A, t + 20, t + 20);
        marks.quiet(B, t + 30, t + 30);
        assert_eq!(marks.current(t + 30), Some(t + 20));
    }
    let last = hour + 599_000;
    // B's next scrape takes its time: nothing moves, whatever A says.
    marks.quiet(A, last + 9_000, last + 9_000);
    assert_eq!(marks.current(last + 9_000), Some(last + 30));
    // B has died.
    marks.quiet(A, last + 70_000, last + 70_000);
    assert_eq!(marks.current(last + 70_000), Some(last + 10_000));
    // No promise about the future counts.
    marks.quiet(B, i64::MAX, last + 71_000);
    assert_eq!(marks.of(B), Some(last + 71_000));
}

#[test]
fn a_promise_does_not_wake_a_receiver_that_is_silent() {
    let mut marks = two_live();
    marks.observe(A, 1_000, 1_000);
    marks.observe(B, 1_000, 1_000);
    marks.quiet(B, 1_050, 1_050);
    marks.observe(A, 1_060, 1_060);
    assert_eq!(marks.current(1_060), Some(1_050));
    marks.observe(A, 1_140, 1_140);
    assert_eq!(marks.current(1_140), Some(1_130), "silent since 1000");
}

#[test]
fn a_restart_holds_time_where_the_sources_were_until_they_had_time_to_speak() {
    let mut before = two_live();
    before.observe(A, 1_000, 1_000);
    before.observe(B, 950, 1_000);
    let mut marks = two_live();
    marks.resume(A, before.kept(A), 9_000);
    marks.resume(B, before.kept(B), 9_000);
    assert_eq!(marks.current(9_000), Some(940));
    marks.listen(9_050);
    marks.observe(A, 9_100, 9_100);
    assert_eq!(marks.current(9_149), Some(940));
    assert_eq!(marks.current(9_150), Some(9_090), "B is silent");
}

#[test]
fn samples_out_of_time_are_dropped_and_counted() {
    let limits = Limits { future_seconds: 1, past_seconds: 10, ..Limits::default() };
    let mut builder = BatchBuilder::new(&limits);
    for (name, times) in [("a", [500, 2_001]), ("b", [9_999, i64::MAX]), ("c", [-9_001, i64::MIN])] {
        builder.label("x", name);
        builder.end_labels().unwrap();
        times.iter().for_each(|t| builder.sample(*t, 1.0));
    }
    let got = drop_out_of_time(Decoded { batch: builder.finish(), ..Decoded::default() }, 1_000, &limits);
    assert_eq!(got.batch.newest(), Some(500));
    assert_eq!(got.batch.runs().len(), 1);
    assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("future", 3), ("too_old", 2)]);
}

#[test]
fn a_counter_begins_only_where_it_has_a_sample() {
    let limits = Limits { future_seconds: 1, past_seconds: 10, ..Limits::default() };
    let mut builder = BatchBuilder::new(&limits);
    // In time; its beginning is not; its sample is not; the first of its samples is not.
    for (name, begin, times) in [
        ("a", 100, &[500][..]),
        ("b", -9_500, &[500]),
        ("c", 100, &[9_999]),
        ("d", -9_300, &[-9_200, 500, 9_999]),
        ("e", 100, &[9_999, 500]),
    ] {
        builder.label("x", name);
        builder.end_labels().unwrap();
        builder.counter_start(begin, CounterStart::Created);
        times.iter().for_each(|t| builder.sample(*t, 1.0));
    }
    let got = drop_out_of_time(Decoded { batch: builder.finish(), ..Decoded::default() }, 1_000, &limits);
    let times = |run| got.batch.samples(run).iter().map(|s| s.t).collect::<Vec<_>>();
    let all: Vec<_> = got.batch.runs().iter().map(times).collect();
    assert_eq!(all, [vec![100, 500], vec![500], vec![500], vec![100, 500]]);
    assert_eq!(got.dropped.iter().collect::<Vec<_>>(), [("future", 3), ("too_old", 1)]);
}

const LOG: Pace = Pace::Log { lateness: 10, idle_timeout: 100, patience: 1_000 };

#[test]
fn a_log_with_something_in_store_is_waited_for_and_one_at_its_end_is_not() {
    let mut marks = Watermarks::default();
    marks.register(A, LOG, 10_000);
    marks.register(B, LIVE, 10_000);
    marks.observe(B, 10_000, 10_000);
    assert_eq!(marks.current(10_001), None, "what it has in store may be old");
    assert_eq!(marks.slowest(10_001), Some(Holder { id: A, lateness: 10, blocks: true }), "and it is the one to blame");
    marks.observe(A, 2_000, 10_010);
    assert_eq!(marks.current(10_010), Some(1_990));
    assert_eq!(marks.slowest(10_010), Some(Holder { id: A, lateness: 10, blocks: false }));
    marks.observe(B, 10_400, 10_400);
    assert_eq!(marks.current(10_400), Some(1_990), "silent, but not at its end: it cannot be read");
    marks.observe(A, 10_350, 10_410);
    marks.at_end(A, true, 10_420);
    assert_eq!(marks.current(10_420), Some(10_340));
    marks.observe(B, 10_500, 10_500);
    assert_eq!(marks.current(10_509), Some(10_340));
    assert_eq!(marks.current(10_510), Some(10_490), "at its end and silent");
    // The broker goes while nobody waits for the log: nobody does then.
    marks.at_end(A, false, 10_600);
    marks.observe(B, 10_700, 10_700);
    assert_eq!(marks.current(10_700), Some(10_690));
}

#[test]
fn a_log_that_cannot_be_read_is_waited_for_until_patience_ends() {
    let mut marks = Watermarks::default();
    marks.register(A, LOG, 0);
    marks.register(B, LIVE, 0);
    marks.observe(A, 500, 500);
    marks.at_end(A, true, 510);
    marks.at_end(A, false, 520);
    marks.observe(B, 1_400, 1_400);
    assert_eq!(marks.current(1_499), Some(490));
    marks.observe(B, 1_490, 1_490);
    assert_eq!(marks.current(1_500), Some(1_480));
}

#[test]
fn logs_come_and_go_while_time_goes_on() {
    let mut marks = Watermarks::default();
    marks.register(A, LOG, 0);
    marks.at_end(A, true, 0);
    assert_eq!(marks.current(50), None, "nothing is in it, and it is not silent for long");
    marks.register(B, LOG, 50);
    marks.observe(B, 60, 60);
    assert_eq!(marks.current(60), Some(50));
    // Another one with a backlog does not take time back, but stops it.
    marks.register(FILE, LOG, 70);
    marks.observe(B, 80, 80);
    assert_eq!(marks.current(80), Some(50));
    marks.observe(FILE, 20, 85);
    assert_eq!(marks.current(85), Some(50));
    marks.close(FILE);
    assert_eq!(marks.current(86), Some(70));
    marks.close(A);
    marks.close(B);
    assert_eq!(marks.current(9_000), Some(70), "nobody is left to tell the time");
}

#[test]
fn a_log_whose_reader_lets_it_wait_is_not_taken_for_silent() {
    let mut marks = Watermarks::default();
    let log = Pace::Log { lateness: 0, idle_timeout: 100, patience: 200 };
    marks.register(A, log, 0);
    marks.register(B, Pace::Live { lateness: 0, idle_timeout: 10_000 }, 0);
    marks.observe(A, 50, 50);
    for now in (100..1_000).step_by(100) {
        marks.observe(B, now, now);
        marks.waits(A, now);
        assert_eq!(marks.current(now), Some(50));
    }
    // When it can no longer be read, patience begins.
    assert_eq!(marks.current(1_099), Some(50));
    marks.observe(B, 1_100, 1_100);
    assert_eq!(marks.current(1_100), Some(1_100));
    marks.waits(A, 1_100);
    marks.observe(B, 1_200, 1_200);
    assert_eq!(marks.current(1_200), Some(1_200), "it was passed over already");
}

#[test]
fn a_time_in_which_nobody_looked_is_no_silence() {
    let mut marks = Watermarks::default();
    marks.register(A, Pace::Live { lateness: 0, idle_timeout: 60_000 }, 0);
    let mut at = |now: Millis, newest: Option<Millis>| {
        marks.look(now);
        newest.into_iter().for_each(|t| marks.observe(A, t, now));
        marks.current(now)
    };
    for t in (0..30_000).step_by(1_000) {
        assert_eq!(at(t, Some(t)), Some(t));
    }
    // The machine sleeps for ten minutes. What was sent meanwhile comes when it has woken up.
    assert_eq!(at(629_000, None), Some(29_000));
    assert_eq!(at(640_000, Some(35_000)), Some(35_000));
    // Silence that was watched counts, what was before the sleep as well.
    for now in (641_000..700_000).step_by(1_000) {
        assert_eq!(at(now, None), Some(35_000), "{now}");
    }
    assert_eq!(at(700_000, None), Some(640_000));
    // A clock that is hours ahead for a moment, and right again.
    assert_eq!(at(700_100, Some(700_000)), Some(700_000));
    for now in [7_900_000, 7_901_000, 702_000, 703_000] {
        assert_eq!(at(now, None), Some(700_000), "{now}");
    }
    for now in (704_000..762_000).step_by(1_000) {
        at(now, None);
    }
    assert_eq!(at(763_000, None), Some(703_000), "silent since the clock was set right");
}
