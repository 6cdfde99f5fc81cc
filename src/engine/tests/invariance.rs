//! What must not depend on the number of shards, on how the samples are spread over time, or on what was reloaded when.

use super::*;
use crate::model::Profile;

/// So many label sets that each of a few shards holds some.
const ELEMENTS: usize = 12;

#[test]
fn an_ambiguous_right_side_fails_in_any_number_of_shards() {
    for shards in [1, 2, 4, 7] {
        for expr in [r#"a > {__name__=~"b|c"}"#, r#"sum(a + {__name__=~"b|c"})"#, r#"a > last_over_time({k="v"}[1m])"#]
        {
            let mut bench = Bench::new(shards, &one_rule(expr));
            bench.send(&[("__name__", "a"), ("x", "0")], &[(15, 1.0), (30, 1.0)]);
            for x in 0..ELEMENTS {
                let x = x.to_string();
                bench.send(&[("__name__", "b"), ("x", &x), ("k", "v")], &[(15, 0.0)]);
            }
            // From 16s on there are two for a match group that the left side has nothing for.
            bench.send(&[("__name__", "c"), ("x", "1"), ("k", "v")], &[(16, 0.0)]);
            bench.advance(30);
            let error = bench.engine.groups()[0].rules[0].last_error.clone();
            assert!(error.is_some_and(|e| e.contains("many-to-many")), "{shards} {expr}");
        }
    }
}

#[test]
fn no_model_learns_from_an_argument_that_fails_somewhere() {
    let profiles: Profiles = [("default".to_owned(), Arc::new(Profile::builtin("default").unwrap()))].into();
    for shards in [1, 2, 4, 7] {
        for arg in [
            r#"{__name__=~"a|b"}"#,
            r#"-{__name__=~"a|b"}"#,
            r#"rate({__name__=~"a|b"}[1m])"#,
            r#"max_over_time(abs({__name__=~"a|b"})[1m:15s])"#,
            r#"{__name__=~"a|b"} - a"#,
        ] {
            let mut bench = Bench::new(shards, "groups: []");
            let (groups, faults) = load_file("test.yml", &one_rule(&format!("predict_anomaly({arg})")));
            assert!(faults.is_empty(), "{faults:?}");
            let rules = RuleSet { groups: groups.into_iter().map(Arc::new).collect() };
            bench.engine.load(&rules, &profiles, &mut bench.out).unwrap();
            for x in 0..ELEMENTS {
                let x = x.to_string();
                bench.send(&[("__name__", "a"), ("x", &x)], &[(14, 0.0), (15, 0.0)]);
            }
            bench.send(&[("__name__", "b"), ("x", "1")], &[(14, 0.0), (15, 0.0)]);
            bench.advance(15);
            assert!(bench.engine.groups()[0].rules[0].last_error.is_some(), "{shards} {arg}");
            assert_eq!(bench.engine.holdings().models, 0, "{shards} {arg}");
        }
    }
}
