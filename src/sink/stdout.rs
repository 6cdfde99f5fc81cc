//! Standard output: every transition but repetitions, one line each, as JSON or as readable text.
//!
//! A thread of its own writes, so that a slow reader behind a pipe delays nobody; when too many lines wait, the oldest
//! are dropped and counted. A line counts as delivered when it has been given to the operating system. A closed pipe ends
//! the printing, not the process.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::alert::Transition;
use crate::base::Millis;

use super::failure::{Failure, Verdict};
use super::pending::{Order, Outgoing, Policy};
use super::transition_text::{json_line, text_line};
use super::worker::Receiver;

/// Lines written at once.
const LINES: usize = 1_000;

/// Settings of the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutConfig {
    /// How a line looks.
    pub format: StdoutFormat,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StdoutFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// JSON lines.
    Json,
    /// Readable text; coloured on a terminal unless `NO_COLOR` is set.
    Text,
}

/// Writes a transition in a settled form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// JSON.
    Json,
    /// Text.
    Text {
        /// With ANSI colours.
        colour: bool,
    },
}

impl StdoutFormat {
    /// The form for this process' standard output.
    #[must_use]
    pub fn settle(self) -> LineFormat {
        let terminal = io::stdout().is_terminal();
        // https://no-color.org
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        match self {
            Self::Json => LineFormat::Json,
            Self::Auto if !terminal => LineFormat::Json,
            Self::Auto | Self::Text => LineFormat::Text { colour },
        }
    }
}

impl LineFormat {
    /// The line, without its break.
    #[must_use]
    pub fn line(self, transition: &Transition) -> String {
        match self {
            Self::Json => json_line(transition),
            Self::Text { colour } => text_line(transition, colour),
        }
    }
}

/// The receiver: a thread that writes, and the way to it.
#[derive(Debug)]
pub(super) struct Printer {
    jobs: std::sync::mpsc::Sender<Job>,
    format: LineFormat,
}

/// Lines, and whom to tell that they are written.
type Job = (Vec<String>, oneshot::Sender<io::Result<()>>);

impl Printer {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static, format: LineFormat) -> io::Result<Self> {
        // As long as the one delivery that is under way.
        let (jobs, work) = std::sync::mpsc::channel::<Job>();
        let mut out = BufWriter::new(out);
        std::thread::Builder::new().name("forewarn-stdout".to_owned()).spawn(move || {
            while let Ok((lines, done)) = work.recv() {
                let written = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
                let closed = written.is_err();
                // Nobody may be waiting any more.
                let _ = done.send(written);
                if closed {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, format })
    }

    /// Every transition but repetitions.
    pub(super) fn policy(capacity: usize) -> Policy {
        let order = Order::Every { pending: true };
        Policy { capacity, batch: LINES, one_rule: false, repeats: false, resolved: true, points: false, order }
    }
}

impl Receiver for Printer {
    /// Waits for as long as the reader does: nobody else waits for this sink.
    async fn deliver(&self, batch: &[Outgoing], _now: Millis) -> Result<(), Failure> {
        let lines = batch.iter().map(|sent| self.format.line(&sent.transition)).collect();
        let (done, written) = oneshot::channel();
        let closed = |error: &dyn std::fmt::Display| Failure {
            reason: "write",
            message: format!("standard output cannot be written to, alerts are not printed any more: {error}"),
            verdict: Verdict::Gone,
        };
        self.jobs.send((lines, done)).map_err(|_| closed(&"it was closed"))?;
        written.await.map_err(|_| closed(&"it was closed"))?.map_err(|error| closed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use prometheus::Registry;

    use super::super::outbox::Numbered;
    use super::super::worker::{Mailbox, supervise};
    use super::super::{Backoff, SinkMetrics, testing};
    use super::*;
    use crate::alert::Reason;

    /// A pipe that keeps what it is given, or is closed.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>, bool);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn transitions() -> Vec<Numbered> {
        let resent = Transition { reason: Reason::Resent, ..testing::firing("a", 2) };
        let all = [testing::firing("a", 1), resent, testing::resolved("a", 1, 3)];
        all.map(|transition| Numbered { seq: 0, transition: Arc::new(transition) }).to_vec()
    }

    /// Prints to its end.
    async fn print(pipe: Pipe, registry: &Registry) {
        let meter = SinkMetrics::register(registry).unwrap().sink("stdout", 10);
        let mailbox = Arc::new(Mailbox::new(Printer::policy(10), meter));
        mailbox.put(&transitions(), 0);
        mailbox.close();
        let printer = Printer::start(pipe, LineFormat::Json).unwrap();
        let limit = Duration::from_secs(5);
        tokio::time::timeout(limit, supervise(mailbox, Arc::new(printer), Backoff::default())).await.unwrap();
    }

    #[tokio::test]
    async fn all_is_printed_but_repetitions() {
        let pipe = Pipe::default();
        print(pipe.clone(), &Registry::new()).await;
        let text = String::from_utf8(pipe.0.lock().unwrap().clone()).unwrap();
        let states: Vec<_> =
            text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["to"].clone()).collect();
        assert_eq!(states, ["firing", "inactive"]);
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_printing_only() {
        let registry = Registry::new();
        print(Pipe(Arc::default(), true), &registry).await;
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        assert!(text.contains(r#"forewarn_sink_errors_total{reason="write",sink="stdout"} 1"#), "{text}");
        assert!(text.contains(r#"forewarn_sink_dropped_total{reason="closed",sink="stdout"} "#), "{text}");
    }
}
