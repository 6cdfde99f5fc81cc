//! Which series are alike: density-based clusters (DBSCAN, Ester, Kriegel, Sander, Xu, KDD 1996) of their features.
//!
//! DBSCAN and not k-means: the number of kinds is not known, it needs no random start, and with two points to a dense place
//! the groups are the same whatever the order of the series.

use linfa::traits::Transformer;
use linfa_clustering::Dbscan;
use ndarray::Array2;

use super::Features;
use super::features::COLUMNS;
use super::kind::POINTS_MIN;

/// How far apart two series may be to be alike: opposites in one feature are 1 apart.
const ALIKE: f64 = 0.25;
/// Series that are alike in a group.
const MEMBERS_MIN: usize = 2;

/// The groups, each with the indexes of its members, ascending. A series like no other is a group of its own; those too
/// short to say are one, lest chance shapes join what differs.
pub(super) fn groups(all: &[Features]) -> Vec<Vec<usize>> {
    let (known, short): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|i| all[*i].points >= POINTS_MIN);
    let rows: Vec<f64> = known.iter().flat_map(|i| all[*i].row()).collect();
    // The shape is that of the rows, and the settings are valid.
    let found = Array2::from_shape_vec((known.len(), COLUMNS), rows)
        .ok()
        .and_then(|matrix| Dbscan::params(MEMBERS_MIN).tolerance(ALIKE).transform(&matrix).ok());
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut alone = Vec::new();
    for (i, group) in known.into_iter().zip(found.into_iter().flatten()) {
        match group {
            Some(at) => {
                groups.resize_with(groups.len().max(at + 1), Vec::new);
                groups[at].push(i);
            }
            None => alone.push(vec![i]),
        }
    }
    groups.extend(alone);
    groups.extend(Some(short).filter(|short| !short.is_empty()));
    groups
}

/// The member that is nearest to all others.
pub(super) fn typical(members: &[usize], all: &[Features]) -> usize {
    let distance = |a: &Features, b: &Features| -> f64 {
        a.row().iter().zip(b.row()).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    };
    let farness = |i: usize| members.iter().map(|j| distance(&all[i], &all[*j])).sum::<f64>();
    members.iter().copied().min_by(|a, b| farness(*a).total_cmp(&farness(*b))).unwrap_or(0)
}
