//! Scrapes `/metrics` of one target at a steady interval, as Prometheus does.
//!
//! Every scrape gives one batch at its scheduled time: the target's samples, `up`, `scrape_duration_seconds`,
//! `scrape_samples_scraped`, and staleness markers for the series that were there last time and are not now. A failed
//! scrape gives `up` 0 and ends all its series. Between scrapes, and while one is under way, the target's source promises
//! that nothing comes before it: event time waits neither for a target that is down nor for one that is rarely scraped.

mod fetch;
mod stale;

pub use fetch::{FAILURES, ScrapeError};

use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use super::config::Target;
use super::decode::text::{self, Format, TextOptions};
use super::decode::{Decoded, TargetLabels};
use super::schedule::{following_slot, next_slot, promise_quiet, tell_set_back};
use super::watermark::drop_out_of_time;
use super::{Closed, Inlet, clock};
use crate::base::{Batch, BatchBuilder, Limits, METRIC_NAME, Millis, stale_nan};
use crate::http_client::{HttpClient, Purpose};
use crate::telemetry::{OneSource, ScrapeMetrics};
use stale::SeenSeries;

/// Bytes up to which a body is parsed on the runtime's own thread (some 2 ms); larger ones go to a blocking thread.
const INLINE_BYTES: usize = 256 << 10;

/// The series about the scrape itself.
const REPORTS: [&str; 3] = ["up", "scrape_duration_seconds", "scrape_samples_scraped"];

/// What a scraper needs of its host.
#[derive(Clone, Debug)]
pub struct ScrapeHost {
    /// Where batches go. Each target needs its own: it makes promises in its name, see [`super::watermark::Pace::Scheduled`].
    pub inlet: Inlet,
    /// Bounds on bodies and samples.
    pub limits: Arc<Limits>,
    /// Metrics of the source.
    pub source: OneSource,
    /// Metrics of scraping.
    pub metrics: ScrapeMetrics,
}

/// Scrapes a target until `stop` is ready, which says that the target is no longer configured: its series then end with
/// staleness markers, as in Prometheus. When the process ends, drop the future instead: a restart is no gap.
///
/// # Errors
/// The engine has shut down.
pub async fn run(target: Target, host: ScrapeHost, stop: impl Future<Output = ()>) -> Result<(), Closed> {
    let (interval, offset) = (millis(target.interval), offset(&target));
    let inlet = host.inlet.clone();
    let mut scraper = Scraper::new(target, host);
    let mut stop = std::pin::pin!(stop);
    let mut t = next_slot(clock::now(), interval, offset);
    loop {
        let behind = scraper.behind;
        let wait = Duration::from_millis((t - clock::now()).max(0).unsigned_abs());
        let batch = tokio::select! {
            biased;
            () = &mut stop => {
                // One later than what may have been promised just now.
                let last = scraper.end(1 + clock::now().max(t - interval));
                return inlet.send(last).await;
            }
            batch = async {
                tokio::time::sleep(wait).await;
                scraper.scrape(t).await
            } => batch,
            Err(closed) = promise_quiet(&inlet, t, behind) => return Err(closed),
        };
        inlet.send(batch).await?;
        let (now, done) = (clock::now(), t);
        let set_back;
        (t, set_back) = following_slot(done, now, interval, offset);
        if set_back {
            tell_set_back(scraper.host.source.name(), done, now);
            scraper.host.source.clock_set_back();
        }
    }
}

/// One target and what its last scrape showed.
#[derive(Debug)]
pub struct Scraper {
    target: Target,
    host: ScrapeHost,
    client: Option<HttpClient>,
    seen: SeenSeries,
    failing: bool,
    /// How far behind the slot its samples may lie: some targets (cAdvisor, federation) give timestamps of their own.
    /// Known after the first scrape, whose samples may come too late for that.
    behind: Millis,
}

impl Scraper {
    /// Before the first scrape.
    #[must_use]
    pub fn new(target: Target, host: ScrapeHost) -> Self {
        Self { target, host, client: None, seen: SeenSeries::default(), failing: false, behind: 0 }
    }

    /// Scrapes once, for the scheduled time `t`. Never fails: a failure is `up` 0.
    pub async fn scrape(&mut self, t: Millis) -> Batch {
        let started = Instant::now();
        let read = self.read(t).await;
        let seconds = started.elapsed().as_secs_f64();
        self.host.metrics.took(&self.target.job, seconds);
        self.tell(read.as_ref().err());
        let limits = &self.host.limits;
        let (up, scraped, gone, batch) = match read {
            Ok(decoded) => {
                let scraped = decoded.batch.all_samples().len() as u64 + decoded.dropped.total();
                let decoded = drop_out_of_time(decoded, clock::now(), limits);
                // As far as the scrape timeout, which is also how far behind a scrape's end its own samples may lie.
                let own_times = decoded.batch.all_samples().iter().any(|s| s.t < t);
                self.behind = if own_times { millis(self.target.timeout) } else { 0 };
                for (reason, samples) in decoded.dropped.iter() {
                    self.host.source.dropped(reason, samples);
                }
                (1.0, scraped, self.seen.replace(&decoded.batch, t), decoded.batch)
            }
            Err(_) => (0.0, 0, self.seen.clear(), Batch::default()),
        };
        let mut builder = BatchBuilder::extending(batch, limits);
        stale::mark(&gone, t, &mut builder);
        for (name, v) in REPORTS.iter().zip([up, seconds, scraped as f64]) {
            report(&mut builder, &self.target.labels, name, t, v);
        }
        self.host.source.samples.inc_by(builder.sample_count() as u64);
        builder.finish()
    }

    /// Ends all series of the target, those about the scrape among them.
    pub fn end(&mut self, t: Millis) -> Batch {
        let mut builder = BatchBuilder::new(&self.host.limits);
        stale::mark(&self.seen.clear(), t, &mut builder);
        for name in REPORTS {
            report(&mut builder, &self.target.labels, name, t, stale_nan());
        }
        builder.finish()
    }

    async fn read(&mut self, t: Millis) -> Result<Decoded, ScrapeError> {
        let client = match &self.client {
            Some(client) => client,
            None => self.client.insert(HttpClient::new(&self.target.http, Purpose::Read, self.target.timeout)?),
        };
        let fetched = fetch::fetch(client, &self.target, self.host.limits.scrape_bytes);
        let (body, format) =
            tokio::time::timeout(self.target.timeout, fetched).await.map_err(|_| ScrapeError::Timeout)??;
        if body.len() <= INLINE_BYTES {
            return parse(&body, format, t, &self.target, &self.host.limits);
        }
        let (target, limits) = (self.target.clone(), Arc::clone(&self.host.limits));
        let task = tokio::task::spawn_blocking(move || parse(&body, format, t, &target, &limits));
        task.await.map_err(|_| ScrapeError::Parser)?
    }

    /// Counts every failure and logs the first of a row, so that a dead target does not fill the log.
    fn tell(&mut self, error: Option<&ScrapeError>) {
        if let Some(error) = error {
            self.host.metrics.failed(&self.target.job, error.reason());
            if !self.failing {
                let (job, host) = (&self.target.job, self.target.url.authority());
                tracing::warn!(%job, target = host, %error, "scrape failed");
            }
        }
        self.failing = error.is_some();
    }
}

fn parse(body: &[u8], format: Format, t: Millis, target: &Target, limits: &Limits) -> Result<Decoded, ScrapeError> {
    let honor_timestamps = target.honor_timestamps;
    let options = TextOptions { format, default_time: t, honor_timestamps, target: &target.labels };
    Ok(text::decode(body, &options, limits)?)
}

/// Adds one series about the source itself.
pub(super) fn report(builder: &mut BatchBuilder, labels: &TargetLabels, name: &str, t: Millis, v: f64) {
    builder.label(METRIC_NAME, name);
    for (label, value) in labels.iter() {
        builder.label(label, value);
    }
    if builder.end_labels().is_ok() {
        builder.sample(t, v);
    }
}

fn millis(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX).max(1)
}

/// Where in its interval a target is scraped: by hash, so that targets spread evenly and keep their place over restarts.
fn offset(target: &Target) -> Millis {
    let mut identity = target.url.as_str().to_owned();
    for (name, value) in target.labels.iter() {
        identity.extend(["\0", name, "\0", value]);
    }
    (xxh3_64(identity.as_bytes()) % millis(target.interval).unsigned_abs()) as Millis
}

#[cfg(test)]
mod tests;
