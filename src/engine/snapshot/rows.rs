//! One row of a leaf: a window with what is summed up, to the last bit. What is summed up again would round otherwise.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Fault;
use super::record::{Reader, put};
use crate::engine::interner::LabelId;
use crate::engine::table::{Intake, Kept, Rows, Table, on_rows};
use crate::window::{Accumulator, Cursor, Ring, SavedRing, Window};

/// The bytes that spare capacity of rings may take in all.
pub(super) struct Room(pub usize);

impl Room {
    /// The ring that was saved.
    pub fn ring(&mut self, saved: &SavedRing<'_>) -> Result<Ring, Fault> {
        saved.restore(&mut self.0).ok_or_else(|| "the samples of a series do not lead to its newest".into())
    }
}

impl Table {
    /// Saves a row.
    pub(super) fn save_row(&self, row: u32, out: &mut Vec<u8>) {
        match &self.kept {
            Kept::Retained(tails) => put(out, &tails[row as usize]),
            kept => on_rows!(kept, rows => rows.save(row as usize, out), ()),
        }
    }

    /// Adds a row that was saved, of a series with this ring; gives its number.
    pub(super) fn adopt(
        &mut self,
        (slot, id, nameless): (u32, LabelId, LabelId),
        ring: &Ring,
        reader: &mut Reader<'_>,
        room: &mut Room,
    ) -> Result<u32, Fault> {
        let intake = self.intake;
        match &mut self.kept {
            Kept::Retained(tails) => {
                let tail: Cursor = reader.take()?;
                if !ring.holds(tail) {
                    return Err("samples are kept from a place that is in no ring".into());
                }
                tails.push(tail);
            }
            kept => on_rows!(kept, rows => rows.adopt(ring, intake, reader, room)?, ()),
        }
        self.slots.push(slot);
        self.ids.push(id);
        self.nameless.push(nameless);
        Ok(self.slots.len() as u32 - 1)
    }
}

impl<A: Accumulator + Serialize + DeserializeOwned> Rows<A> {
    fn save(&self, row: usize, out: &mut Vec<u8>) {
        put(out, &self.windows[row]);
        if let Some(head) = self.heads.get(row) {
            put(out, head);
        }
        if let Some(own) = self.own.get(row) {
            put(out, &own.saved());
        }
    }

    fn adopt(&mut self, ring: &Ring, intake: Intake, reader: &mut Reader<'_>, room: &mut Room) -> Result<(), Fault> {
        let window: Window<A> = reader.take()?;
        let fits = match intake {
            Intake::AtOnce => window.fits(ring, ring.head()),
            Intake::Lagging => {
                let head: Cursor = reader.take()?;
                self.heads.push(head);
                // What an empty one holds on to is long gone.
                ring.holds(head) && (window.count() == 0 || window.fits(ring, head))
            }
            Intake::Pinned { .. } => {
                let own = room.ring(&reader.take()?)?;
                let fits = window.fits(&own, own.head());
                self.own.push(own);
                fits
            }
        };
        self.windows.push(window);
        if fits { Ok(()) } else { Err("a window does not fit the samples of its series".into()) }
    }
}
