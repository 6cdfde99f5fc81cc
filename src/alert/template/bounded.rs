//! Text that is being written, with a bound: whatever a template does, no text grows beyond it.

use std::fmt;

/// A text that refuses to grow beyond its limit.
#[derive(Debug)]
pub(super) struct Bounded {
    text: String,
    /// Bytes.
    limit: usize,
}

impl Bounded {
    /// An empty text of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }

    /// Appends.
    pub fn push(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > self.limit {
            return Err(too_long(self.limit));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Appends what `arguments` give, without writing more than fits.
    pub fn write(&mut self, arguments: fmt::Arguments<'_>) -> Result<(), String> {
        fmt::write(self, arguments).map_err(|_| too_long(self.limit))
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text).map_err(|_| fmt::Error)
    }
}

/// The error for a text beyond its limit.
pub(super) fn too_long(limit: usize) -> String {
    format!("the text is longer than the limit of {limit} bytes")
}
