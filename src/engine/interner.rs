//! Label sets by number. Nodes pass elements around as ids; the transforms of label sets (dropping the name, keeping some
//! labels) are looked up once for each id and remembered by whoever asked.

use hashbrown::HashTable;

use super::late_names::{LateNames, MARK};
use crate::base::{LabelBuilder, Labels, LabelsRef, METRIC_NAME};

/// Number of a label set within one interner.
pub type LabelId = u32;

/// "Not looked up yet" in tables indexed by [`LabelId`].
pub const UNKNOWN: u32 = u32::MAX;

/// All label sets that one evaluator knows.
#[derive(Debug, Default)]
pub struct Interner {
    table: HashTable<LabelId>,
    entries: Vec<Entry>,
    scratch: Vec<u8>,
    /// Where names are not dropped at once, see [`super::late_names`].
    pub(super) late: Option<Box<LateNames>>,
}

#[derive(Debug)]
struct Entry {
    key: u128,
    stored: Stored,
    nameless: LabelId,
}

#[derive(Debug)]
enum Stored {
    Own(Labels),
    /// The set of this id, but for the name. Most series' nameless sets are never printed, so they are not stored.
    Without(LabelId),
}

impl Interner {
    /// The id of a set.
    pub fn intern(&mut self, labels: LabelsRef<'_>) -> LabelId {
        let key = labels.key();
        self.find(key).unwrap_or_else(|| self.insert(key, Stored::Own(labels.to_labels())))
    }

    /// The id of the set without its name.
    #[inline]
    pub fn nameless(&mut self, id: LabelId) -> LabelId {
        match self.entries[id as usize].nameless {
            UNKNOWN => self.find_nameless(id),
            known => known,
        }
    }

    /// The id of the set with only the labels that `keep` lets pass.
    pub fn filtered(&mut self, id: LabelId, keep: impl FnMut(&str) -> bool) -> LabelId {
        let labels = self.with(id, |labels| labels.filter(keep));
        self.intern(labels.as_ref())
    }

    /// The set.
    #[must_use]
    pub fn labels(&self, id: LabelId) -> Labels {
        match &self.entries[id as usize].stored {
            Stored::Own(labels) => labels.clone(),
            Stored::Without(parent) => self.labels(*parent).as_ref().filter(|n| n != METRIC_NAME),
        }
    }

    /// A builder that starts from the set.
    #[must_use]
    pub fn builder(&self, id: LabelId) -> LabelBuilder {
        self.labels(id).as_ref().to_builder()
    }

    /// The value of one label, empty where there is none.
    #[must_use]
    pub fn value(&self, id: LabelId, name: &str) -> &str {
        match &self.entries[id as usize].stored {
            Stored::Own(labels) => labels.as_ref().get(name).unwrap_or(""),
            Stored::Without(_) if name == METRIC_NAME => "",
            Stored::Without(parent) => self.value(*parent, name),
        }
    }

    /// How many sets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets every set but those of `live`, and says what became of each id ([`UNKNOWN`] for those forgotten).
    pub fn compact(&mut self, live: &[bool]) -> Vec<LabelId> {
        let mut kept = Interner { late: self.late.as_ref().map(|_| Box::default()), ..Interner::default() };
        let mut remap = vec![UNKNOWN; self.entries.len()];
        let is_live = |id: LabelId| live.get(id as usize) == Some(&true);
        for id in (0..self.entries.len() as LabelId).filter(|&id| is_live(id)) {
            if let Stored::Own(labels) = &self.entries[id as usize].stored {
                remap[id as usize] = kept.intern(labels.as_ref());
            }
        }
        for id in (0..self.entries.len() as LabelId).filter(|&id| is_live(id)) {
            if let Stored::Without(parent) = self.entries[id as usize].stored {
                remap[id as usize] = match remap[parent as usize] {
                    UNKNOWN => kept.intern(self.labels(id).as_ref()),
                    parent => kept.nameless(parent),
                };
            }
        }
        *self = kept;
        remap
    }

    /// Looks at the set, without a copy where it is stored.
    pub fn with<R>(&self, id: LabelId, f: impl FnOnce(LabelsRef<'_>) -> R) -> R {
        match &self.entries[id as usize].stored {
            Stored::Own(labels) => f(labels.as_ref()),
            Stored::Without(_) => f(self.labels(id).as_ref()),
        }
    }

    /// The id of the set with this key, if it is known.
    #[must_use]
    pub fn find(&self, key: u128) -> Option<LabelId> {
        self.table.find(key as u64, |&id| self.entries[id as usize].key == key).copied()
    }

    fn insert(&mut self, key: u128, stored: Stored) -> LabelId {
        let id = self.entries.len() as LabelId;
        self.entries.push(Entry { key, stored, nameless: UNKNOWN });
        let entries = &self.entries;
        self.table.insert_unique(key as u64, id, |&other| entries[other as usize].key as u64);
        id
    }

    #[cold]
    fn find_nameless(&mut self, id: LabelId) -> LabelId {
        if self.is_marked(id) {
            let nameless = self.filtered(id, |n| n != METRIC_NAME && n != MARK);
            self.entries[nameless as usize].nameless = nameless;
            self.entries[id as usize].nameless = nameless;
            return nameless;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let named = self.with(id, |labels| {
            let filtered = labels.filter(|n| n != METRIC_NAME);
            scratch.extend_from_slice(filtered.as_bytes());
            scratch.len() != labels.as_bytes().len()
        });
        let nameless = if named {
            let key = LabelsRef::from_canonical(&scratch).key();
            self.find(key).unwrap_or_else(|| self.insert(key, Stored::Without(id)))
        } else {
            id
        };
        self.scratch = scratch;
        self.entries[nameless as usize].nameless = nameless;
        self.entries[id as usize].nameless = nameless;
        nameless
    }
}

/// What was found out about each label set, by id.
#[derive(Debug, Default)]
pub struct IdMap(Vec<u32>);

impl IdMap {
    /// What is remembered of an id, [`UNKNOWN`] if nothing.
    #[inline]
    #[must_use]
    pub fn get(&self, id: LabelId) -> u32 {
        self.0.get(id as usize).copied().unwrap_or(UNKNOWN)
    }

    /// Remembers.
    pub fn set(&mut self, id: LabelId, value: u32) {
        if self.0.len() <= id as usize {
            self.0.resize(id as usize + 1, UNKNOWN);
        }
        self.0[id as usize] = value;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What is remembered, of whatever id.
    pub fn values(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied().filter(|&v| v != UNKNOWN)
    }

    /// Forgets what `keep` does not want kept.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        for value in &mut self.0 {
            if *value != UNKNOWN && !keep(*value) {
                *value = UNKNOWN;
            }
        }
    }

    /// Moves what is remembered to the ids' new numbers.
    pub fn renumber(&mut self, remap: &[LabelId]) {
        let old = std::mem::take(self);
        for (id, value) in old.0.into_iter().enumerate() {
            if value != UNKNOWN && remap[id] != UNKNOWN {
                self.set(remap[id], value);
            }
        }
    }
}

/// A set of small numbers that is emptied in no time: an entry counts only if it bears the current stamp.
#[derive(Debug, Default)]
pub struct Marks {
    stamps: Vec<u32>,
    values: Vec<u32>,
    stamp: u32,
}

impl Marks {
    /// Empties the set.
    pub fn clear(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.stamps.fill(0);
            self.stamp = 1;
        }
    }

    /// Puts a number in with a value; gives the value it had if it was in already, which then stays.
    #[inline]
    pub fn insert(&mut self, at: u32, value: u32) -> Option<u32> {
        let i = at as usize;
        if self.stamps.len() <= i {
            self.stamps.resize(i + 1, 0);
            self.values.resize(i + 1, 0);
        }
        if self.stamps[i] == self.stamp {
            return Some(self.values[i]);
        }
        self.stamps[i] = self.stamp;
        self.values[i] = value;
        None
    }

    /// The value of a number, if it is in.
    #[inline]
    #[must_use]
    pub fn get(&self, at: u32) -> Option<u32> {
        (self.stamps.get(at as usize) == Some(&self.stamp)).then(|| self.values[at as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_one_id_however_they_came_about() {
        let mut interner = Interner::default();
        let up = interner.intern(Labels::from_pairs([("__name__", "up"), ("job", "a"), ("x", "1")]).as_ref());
        let nameless = interner.nameless(up);
        assert_eq!(interner.intern(Labels::from_pairs([("job", "a"), ("x", "1")]).as_ref()), nameless);
        assert_eq!(interner.nameless(nameless), nameless);
        assert_eq!(interner.value(nameless, "__name__"), "");
        let by_job = interner.filtered(nameless, |n| n == "job");
        assert_eq!(interner.labels(by_job).to_string(), r#"{job="a"}"#);
        let mut live = vec![false; interner.len()];
        live[nameless as usize] = true;
        let remap = interner.compact(&live);
        assert_eq!((remap[up as usize], interner.len()), (UNKNOWN, 1));
        assert_eq!(interner.labels(remap[nameless as usize]).to_string(), r#"{job="a", x="1"}"#);
    }
}
