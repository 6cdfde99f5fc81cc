//! The alerts of a rule, found by element and by labels, and walked in the order of their labels.

use rustc_hash::FxHashMap;

use super::alert::Alert;

/// Alerts in slots. Nothing iterates over the maps: whatever leaves goes by `order`.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry {
    slots: Vec<Option<Alert>>,
    free: Vec<u32>,
    by_id: FxHashMap<u32, u32>,
    /// By [`Alert::key`].
    by_key: FxHashMap<u128, u32>,
    /// Occupied slots, sorted by the alerts' labels.
    order: Vec<u32>,
}

impl Registry {
    /// The slot of the alert that an element is known to give.
    pub fn of_id(&self, id: u32) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// The slot of the alert with these labels.
    pub fn of_key(&self, key: u128) -> Option<u32> {
        self.by_key.get(&key).copied()
    }

    /// Notes that an element gives the alert in `slot`.
    pub fn link(&mut self, id: u32, slot: u32) {
        if let Some(alert) = self.get_mut(slot) {
            alert.ids.push(id);
            self.by_id.insert(id, slot);
        }
    }

    /// Takes an alert in. It is not walked before [`Self::admit`].
    pub fn insert(&mut self, alert: Alert) -> u32 {
        let key = alert.key;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(alert);
                slot
            }
            None => {
                self.slots.push(Some(alert));
                (self.slots.len() - 1) as u32
            }
        };
        self.by_key.insert(key, slot);
        slot
    }

    /// Adds inserted alerts to those that are walked.
    pub fn admit(&mut self, fresh: &[u32]) {
        if fresh.is_empty() {
            return;
        }
        self.order.extend_from_slice(fresh);
        let slots = &self.slots;
        let labels = |slot: &u32| slots[*slot as usize].as_ref().map(|alert| &alert.labels);
        // The sort finds that most of it is in order already.
        self.order.sort_by(|a, b| labels(a).cmp(&labels(b)));
    }

    /// Forgets an alert that was never admitted.
    pub fn discard(&mut self, slot: u32) {
        if let Some(alert) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            self.by_key.remove(&alert.key);
            for id in &alert.ids {
                self.by_id.remove(id);
            }
            self.free.push(slot);
        }
    }

    /// Forgets all alerts marked as gone.
    pub fn sweep(&mut self) {
        let is_gone = |alert: &Option<Alert>| alert.as_ref().is_none_or(|alert| alert.gone);
        let gone: Vec<u32> = self.order.iter().copied().filter(|slot| is_gone(&self.slots[*slot as usize])).collect();
        if gone.is_empty() {
            return;
        }
        self.order.retain(|slot| !is_gone(&self.slots[*slot as usize]));
        for slot in gone {
            self.discard(slot);
        }
    }

    /// Gives every element its new id; `None` says that it is gone.
    pub fn remap(&mut self, new_id: impl Fn(u32) -> Option<u32>) {
        self.by_id.clear();
        for &slot in &self.order {
            if let Some(alert) = &mut self.slots[slot as usize] {
                alert.ids = alert.ids.iter().filter_map(|id| new_id(*id)).collect();
                alert.source = alert.source.and_then(&new_id);
                self.by_id.extend(alert.ids.iter().map(|id| (*id, slot)));
            }
        }
    }

    /// The alert in a slot.
    pub fn get(&self, slot: u32) -> Option<&Alert> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The alert in a slot.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Alert> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// All admitted alerts, sorted by labels.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.order.iter().filter_map(|slot| self.slots[*slot as usize].as_ref())
    }

    /// Calls `each` with every admitted alert, sorted by labels.
    pub fn for_each(&mut self, mut each: impl FnMut(&mut Alert)) {
        for slot in &self.order {
            if let Some(alert) = &mut self.slots[*slot as usize] {
                each(alert);
            }
        }
    }
}
