//! History from a Prometheus: the raw samples, with their own times, of the series that rules read.
//!
//! The query API is asked for `selector[range]`, step by step from the oldest to the newest, several selectors at once. What is
//! too much for one answer is asked for in shorter steps. Staleness markers do not come this way: a series that ended is seen to
//! end after the look-back only.

mod answer;
mod config;
mod fetch;
mod span;

pub use config::PrometheusConfig;
pub use fetch::FetchError;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use self::answer::Part;
use self::fetch::{Server, samples};
use self::span::StepSpan;
use super::decode::TargetLabels;
use super::{Inlet, Progress, SourceEvent};
use crate::base::{Batch, BatchBuilder, Limits, Millis};
use crate::http_client::{HttpClient, Purpose};
use crate::telemetry::OneSource;

/// Notes shown; the rest is not.
const NOTES_MAX: usize = 20;

/// A history to be fetched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Selectors, as in PromQL, without ranges.
    pub selectors: Vec<String>,
    /// First instant, included.
    pub from: Millis,
    /// Last instant, included.
    pub to: Millis,
}

/// Fetches step by step. Memory holds one step.
#[derive(Debug)]
pub struct PrometheusHistory {
    server: Arc<Server>,
    concurrency: usize,
    wanted: Wanted,
    limits: Limits,
    span: StepSpan,
    /// Everything up to here has been given.
    done: Millis,
    progress: Arc<Progress>,
    told: HashSet<String>,
}

impl PrometheusHistory {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(
        config: &PrometheusConfig,
        wanted: Wanted,
        limits: &Limits,
        progress: Arc<Progress>,
    ) -> Result<Self, FetchError> {
        config.validate()?;
        let client = HttpClient::new(&config.http_config, Purpose::Write, config.timeout.0)?;
        let mut url = config.url.clone();
        let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let labels = TargetLabels::new(config.labels.clone(), true);
        let done = wanted.from.saturating_sub(1);
        progress.expect(seconds(done, wanted.to));
        Ok(Self {
            server: Arc::new(Server { client, url, labels, limits: limits.clone() }),
            concurrency: config.concurrency,
            wanted,
            limits: limits.clone(),
            span: StepSpan::new(),
            done,
            progress,
            told: HashSet::new(),
        })
    }

    /// The samples of the next step, and the instant up to which nothing more comes; None at the end. The batch may be empty.
    ///
    /// # Errors
    /// The server does not answer for good, refuses, or cannot answer the shortest of steps.
    pub async fn next(&mut self) -> Result<Option<(Batch, Millis)>, FetchError> {
        loop {
            if self.done >= self.wanted.to {
                return Ok(None);
            }
            let until = self.done.saturating_add(self.span.millis()).min(self.wanted.to);
            let tried = until - self.done;
            match self.step(until).await {
                Ok(batch) => {
                    let samples = batch.all_samples().len();
                    self.span.learn(tried, samples);
                    self.progress.step(seconds(self.done, until), samples as u64);
                    self.done = until;
                    return Ok(Some((batch, until)));
                }
                Err(FetchError::TooMuch(text)) if self.span.shorten(tried) => {
                    tracing::info!(%text, span_ms = self.span.millis(), "asking Prometheus for less at once");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn step(&mut self, until: Millis) -> Result<Batch, FetchError> {
        let after = self.done;
        let mut parts: Vec<Option<Part>> = vec![None; self.wanted.selectors.len()];
        let mut tasks = JoinSet::new();
        let mut selectors = self.wanted.selectors.iter().cloned().enumerate();
        loop {
            while tasks.len() < self.concurrency {
                let Some((index, selector)) = selectors.next() else { break };
                let server = Arc::clone(&self.server);
                tasks.spawn(async move { (index, samples(&server, &selector, after, until).await) });
            }
            match tasks.join_next().await {
                None => break,
                Some(Ok((index, part))) => parts[index] = Some(part?),
                Some(Err(error)) => return Err(FetchError::Unreachable(error.to_string())),
            }
        }
        Ok(self.merged(parts))
    }

    /// In the order of the selectors, whichever was answered first; a series that several select comes once.
    fn merged(&mut self, parts: Vec<Option<Part>>) -> Batch {
        // Labels have passed the limits already.
        let (mut batch, mut seen) = (BatchBuilder::new(&self.limits), HashSet::new());
        for Part { batch: part, notes } in parts.into_iter().flatten() {
            for run in part.runs().iter().filter(|run| seen.insert(run.key)) {
                batch.series(part.labels(run));
                part.samples(run).iter().for_each(|sample| batch.sample(sample.t, sample.v));
            }
            for note in notes {
                // Once each, and not without end.
                if self.told.len() < NOTES_MAX && self.told.insert(note.clone()) {
                    tracing::warn!("Prometheus' history: {note}");
                }
            }
        }
        batch.finish()
    }
}

/// How long a server that has not answered yet is asked again at a first start: it may have been started together with this
/// process, and what it does not tell now nobody asks for later. No rule is evaluated meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Hands a history to the engine's queue, then says that the source has ended, even if by an error: the watermark would wait
/// for it for ever. The trouble stays. A server that has not answered yet is asked for as long as `patience` lasts.
///
/// # Errors
/// As [`PrometheusHistory::next`].
pub async fn run(
    inlet: Inlet,
    mut history: PrometheusHistory,
    metrics: OneSource,
    patience: Duration,
) -> Result<(), FetchError> {
    let began = Instant::now();
    let trouble = async |text: Option<String>| drop(inlet.queue.send(SourceEvent::Trouble(inlet.id, text)).await);
    let (mut has_answered, mut told) = (false, None);
    let result = loop {
        match history.next().await {
            Err(error @ FetchError::Unreachable(_)) if !has_answered && began.elapsed() < patience => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::warn!(%error, "nothing can be learnt from Prometheus yet, and no rule is evaluated until then");
                }
                told = Some(text.clone());
                trouble(Some(text)).await;
            }
            Ok(Some((batch, _))) => {
                if !std::mem::replace(&mut has_answered, true) {
                    trouble(None).await;
                }
                metrics.samples.inc_by(batch.all_samples().len() as u64);
                if inlet.send(batch).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => {
                trouble(Some(format!("ended early: {error}"))).await;
                break Err(error);
            }
        }
    };
    // A closed queue means that nobody waits for the end either.
    let _ = inlet.queue.send(SourceEvent::End(inlet.id)).await;
    result
}

fn seconds(from: Millis, to: Millis) -> u64 {
    ((to.saturating_sub(from)).max(0) / 1000).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;
    use crate::source::SourceId;

    #[tokio::test]
    async fn a_server_that_starts_later_than_we_do_is_waited_for() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = PrometheusConfig::at(format!("http://{address}").parse().unwrap());
        let wanted = Wanted { selectors: vec!["up".to_owned()], from: 0, to: 60_000 };
        let history = PrometheusHistory::new(&config, wanted, &Limits::default(), Arc::default()).unwrap();
        let (queue, mut events) = mpsc::channel(10);
        let metrics = crate::telemetry::Metrics::new().unwrap().source.of("warm_up");
        let run = tokio::spawn(run(Inlet { id: SourceId(0), queue }, history, metrics, PATIENCE));
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            match event {
                SourceEvent::Trouble(_, Some(text)) => {
                    told.push(text);
                    let answer = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
                    let router = Router::new().route("/api/v1/query", post(async move || answer));
                    let listener = TcpListener::bind(address).await.unwrap();
                    tokio::spawn(async move { axum::serve(listener, router).await });
                }
                SourceEvent::Trouble(_, None) => told.push("well".to_owned()),
                SourceEvent::End(_) => told.push("end".to_owned()),
                _ => {}
            }
        }
        assert!(told[0].contains("no answer"), "{told:?}");
        assert_eq!(told[1..], ["well", "end"]);
        run.await.unwrap().unwrap();
    }
}
