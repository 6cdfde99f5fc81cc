//! A strict fake of a remote-write receiver, as Prometheus is one: a request is taken whole or not at all, samples that are
//! older than the series' newest or differ from it are refused with 400. What it took can be asked for; faults are queued.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use forewarn::base::{Labels, Millis};
use prost::Message as _;
use tokio::net::TcpListener;

/// What happens to the next request instead of the right thing.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Status(u16),
    RetryAfter(u16, u64),
    /// No answer for so long, and the request is not taken.
    Hang(Duration),
    /// Taken, and no answer.
    TakenUnanswered,
}

/// Samples by series, in the order of their arrival.
pub type Taken = BTreeMap<Labels, Vec<(Millis, f64)>>;

#[derive(Default)]
struct State {
    taken: Taken,
    faults: VecDeque<Fault>,
    /// When each request came, and with how many samples.
    requests: Vec<(Instant, usize)>,
    /// What is wrong with requests as such.
    misuse: Vec<String>,
}

/// The server. Ends when dropped.
pub struct WriteReceiver {
    pub address: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl WriteReceiver {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let router = Router::new().fallback(move |method: Method, headers: HeaderMap, body: Bytes| {
            let shared = Arc::clone(&shared);
            async move { answer(&shared, &method, &headers, &body).await }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, state, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Faults for the next requests.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    /// What was taken so far; panics where a request was wrong in itself.
    pub fn taken(&self) -> Taken {
        let state = self.state.lock().unwrap();
        assert_eq!(state.misuse, Vec::<String>::new());
        state.taken.clone()
    }

    pub fn requests(&self) -> Vec<(Instant, usize)> {
        self.state.lock().unwrap().requests.clone()
    }
}

impl Drop for WriteReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(state: &Mutex<State>, method: &Method, headers: &HeaderMap, body: &[u8]) -> Response {
    let read = read(method, headers, body);
    let fault = {
        let mut state = state.lock().unwrap();
        match &read {
            Ok(request) => {
                let samples = request.timeseries.iter().map(|series| series.samples.len()).sum();
                state.requests.push((Instant::now(), samples));
            }
            Err(misuse) => state.misuse.push(misuse.clone()),
        }
        state.faults.pop_front()
    };
    let status = |code: u16| StatusCode::from_u16(code).unwrap();
    let Ok(request) = read else { return status(400).into_response() };
    match fault {
        Some(Fault::Status(code)) => status(code).into_response(),
        Some(Fault::RetryAfter(code, seconds)) => {
            (status(code), [("retry-after", seconds.to_string())]).into_response()
        }
        Some(Fault::Hang(time)) => {
            tokio::time::sleep(time).await;
            status(503).into_response()
        }
        Some(Fault::TakenUnanswered) => {
            take(&mut state.lock().unwrap().taken, request).unwrap();
            std::future::pending().await
        }
        None => match take(&mut state.lock().unwrap().taken, request) {
            Ok(()) => status(204).into_response(),
            Err(why) => (status(400), why).into_response(),
        },
    }
}

/// What the specification asks of a request.
fn read(method: &Method, headers: &HeaderMap, body: &[u8]) -> Result<WriteRequest, String> {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    if method != Method::POST
        || header("content-type") != "application/x-protobuf"
        || header("content-encoding") != "snappy"
        || header("x-prometheus-remote-write-version") != "0.1.0"
        || !header("user-agent").starts_with("forewarn/")
    {
        return Err(format!("{method} {headers:?}"));
    }
    let message = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| e.to_string())?;
    let request = WriteRequest::decode(&*message).map_err(|e| e.to_string())?;
    for series in &request.timeseries {
        let sorted = series.labels.windows(2).all(|pair| pair[0].name < pair[1].name);
        let named = series.labels.iter().any(|label| label.name == "__name__");
        let whole = series.labels.iter().all(|label| !label.name.is_empty() && !label.value.is_empty());
        let ordered = series.samples.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp);
        if !(sorted && named && whole && ordered && !series.samples.is_empty()) {
            return Err(format!("{series:?}"));
        }
    }
    Ok(request)
}

/// All of it, or nothing.
fn take(taken: &mut Taken, request: WriteRequest) -> Result<(), &'static str> {
    let mut after = taken.clone();
    for series in request.timeseries {
        let labels = Labels::from_pairs(series.labels.into_iter().map(|label| (label.name, label.value)));
        let samples = after.entry(labels).or_default();
        for Sample { value, timestamp } in series.samples {
            match samples.last() {
                Some((newest, _)) if *newest > timestamp => return Err("out of order sample"),
                Some((newest, v)) if *newest == timestamp => {
                    if v.to_bits() != value.to_bits() {
                        return Err("duplicate sample for timestamp");
                    }
                }
                _ => samples.push((timestamp, value)),
            }
        }
    }
    *taken = after;
    Ok(())
}

// `prompb/remote.proto` and `prompb/types.proto` of Prometheus, as far as it matters here.

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}
