//! A strict fake of Grafana's annotations API, as its public documentation and behaviour say (HTTP API, "Annotations" and
//! "Authentication"): refuses what Grafana would refuse, treats tags as Grafana does, and can fail in named ways.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The token that is let in.
pub const TOKEN: &str = "glsa_test";
/// The dashboard that is there.
pub const DASHBOARD: &str = "there";
/// A dashboard on which nobody may write.
pub const FORBIDDEN: &str = "forbidden";

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does what it is asked, and the answer is lost.
    AnswerLost,
    /// The client gives up before it is done; it is done all the same, after this time.
    DoneLate(Duration),
    /// An answer without doing anything.
    Status(u16),
    /// 429 or 503 with `Retry-After`, in seconds.
    Retry(u16, u64),
    /// 200 with a log-in page.
    LogInPage,
}

/// An annotation as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub dashboard: Option<String>,
    pub panel: Option<i64>,
    pub time: i64,
    pub time_end: i64,
    pub tags: Vec<String>,
    pub text: String,
}

#[derive(Default)]
struct Inner {
    kept: BTreeMap<u64, Kept>,
    next_id: u64,
    /// The method and what goes wrong with its next requests, in order.
    faults: Vec<(&'static str, Fault)>,
    /// Method and query of every request, with the status of its answer (0: none).
    log: Vec<(String, u16)>,
    org: Option<&'static str>,
    /// Requests that no Grafana would understand.
    wrong: Vec<String>,
}

/// The fake. Ends when dropped.
pub struct Grafana {
    pub address: String,
    inner: Arc<Mutex<Inner>>,
    task: tokio::task::JoinHandle<()>,
}

impl Grafana {
    /// Serves at `path`, where Grafana has `/api/annotations`.
    pub async fn at(path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Mutex::new(Inner { next_id: 1, ..Inner::default() }));
        let router = Router::new()
            .route(path, get(find).post(create))
            .route(&format!("{path}/{{id}}"), axum::routing::patch(patch).delete(delete))
            .fallback(|State(inner): State<Shared>, method: axum::http::Method| async move {
                lock(&inner).log.push((method.to_string(), 404));
                (StatusCode::NOT_FOUND, axum::Json(json!({"message": "Not found"}))).into_response()
            })
            .with_state(Arc::clone(&inner));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, task }
    }

    pub async fn start() -> Self {
        Self::at("/api/annotations").await
    }

    /// Asks for this organisation's header from now on.
    pub fn want_org(&self, org: &'static str) {
        lock(&self.inner).org = Some(org);
    }

    /// The next request of this method goes wrong.
    pub fn fail_next(&self, method: &'static str, fault: Fault) {
        lock(&self.inner).faults.push((method, fault));
    }

    /// Everything that is there, the oldest first.
    pub fn kept(&self) -> Vec<Kept> {
        let inner = lock(&self.inner);
        assert!(inner.wrong.is_empty(), "{:?}", inner.wrong);
        inner.kept.values().cloned().collect()
    }

    /// Somebody deletes all by hand.
    pub fn clear(&self) {
        lock(&self.inner).kept.clear();
    }

    /// Methods and the answers' statuses so far.
    pub fn log(&self) -> Vec<(String, u16)> {
        lock(&self.inner).log.clone()
    }

    /// How many requests of this method came.
    pub fn count(&self, method: &str) -> usize {
        self.log().iter().filter(|(m, _)| m == method).count()
    }
}

impl Drop for Grafana {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Shared = Arc<Mutex<Inner>>;

fn lock(inner: &Shared) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap()
}

fn message(status: u16, text: &str) -> (u16, Value) {
    (status, json!({"message": text}))
}

/// Does what is asked unless a fault stands in the way, and answers.
async fn serve(
    inner: Shared,
    method: &'static str,
    headers: HeaderMap,
    act: impl FnOnce(&mut Inner) -> (u16, Value) + Send + 'static,
) -> Response {
    let fault = {
        let mut inner = lock(&inner);
        let at = inner.faults.iter().position(|(m, _)| *m == method);
        at.map(|at| inner.faults.remove(at).1)
    };
    let respond = |status: u16, body: Value| (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    let note = |status: u16| lock(&inner).log.push((method.to_owned(), status));
    match fault {
        Some(Fault::Status(status)) => {
            note(status);
            respond(status, json!({"message": "as the test wishes"}))
        }
        Some(Fault::Retry(status, seconds)) => {
            note(status);
            let mut answer = respond(status, json!({"message": "slow down"}));
            answer.headers_mut().insert("retry-after", seconds.to_string().parse().unwrap());
            answer
        }
        Some(Fault::LogInPage) => {
            note(200);
            axum::response::Html("<html>Log in</html>").into_response()
        }
        Some(Fault::DoneLate(after)) => {
            note(0);
            // Goes on when the client has hung up.
            let late = Arc::clone(&inner);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                authorised(&headers, &mut lock(&late), act);
            });
            std::future::pending().await
        }
        Some(Fault::AnswerLost) => {
            authorised(&headers, &mut lock(&inner), act);
            note(0);
            // Ends the connection in the middle of the answer.
            let broken =
                futures_util::stream::iter([Ok(Bytes::from_static(b"{\"mess")), Err(std::io::Error::other("lost"))]);
            axum::body::Body::from_stream(broken).into_response()
        }
        None => {
            let (status, body) = authorised(&headers, &mut lock(&inner), act);
            note(status);
            respond(status, body)
        }
    }
}

fn authorised(headers: &HeaderMap, inner: &mut Inner, act: impl FnOnce(&mut Inner) -> (u16, Value)) -> (u16, Value) {
    let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let basic = "Basic YWRtaW46YWRtaW4="; // admin:admin
    match header("authorization") {
        Some(given) if given == format!("Bearer {TOKEN}") || given == basic => {}
        _ => return message(401, "Invalid API key"),
    }
    if let Some(org) = inner.org
        && header("x-grafana-org-id").as_deref() != Some(org)
    {
        return message(401, "Organization mismatch");
    }
    if header("accept").as_deref() != Some("application/json") {
        inner.wrong.push("a request that does not accept JSON".to_owned());
    }
    act(inner)
}

/// A body as Grafana reads it: an object of known fields of the right kinds.
fn read_body(inner: &mut Inner, headers: &HeaderMap, body: &[u8], known: &[&str]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let mut wrong = |text: String| inner.wrong.push(text);
    if headers.get("content-type").is_none_or(|v| v != "application/json") {
        wrong("a body that is not said to be JSON".to_owned());
    }
    for (name, value) in body.as_object()? {
        let right = match name.as_str() {
            "text" | "dashboardUID" => value.is_string(),
            "time" | "timeEnd" | "panelId" => value.as_i64().is_some_and(|v| v > 0),
            "tags" => value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)),
            _ => false,
        };
        if !right || !known.contains(&name.as_str()) {
            wrong(format!("{name}: {value}"));
        }
    }
    Some(body)
}

/// Grafana keeps of a tag what stands before the first colon and between it and the second.
fn as_kept(tag: &str) -> String {
    let parts: Vec<&str> = tag.split(':').collect();
    match parts[..] {
        [key] => key.trim().to_owned(),
        [key, value, ..] => format!("{}:{}", key.trim(), value.trim()),
        [] => String::new(),
    }
}

async fn create(State(inner): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let of_body = headers.clone();
    serve(inner, "POST", headers, move |inner| {
        let known = ["dashboardUID", "panelId", "time", "timeEnd", "tags", "text"];
        let Some(body) = read_body(inner, &of_body, &body, &known) else { return message(400, "bad request data") };
        let dashboard = body["dashboardUID"].as_str().map(str::to_owned);
        match dashboard.as_deref() {
            None | Some(DASHBOARD) => {}
            Some(FORBIDDEN) => return message(403, "You'll need additional permissions to perform this action"),
            Some(_) => return message(404, "Dashboard not found"),
        }
        let text = body["text"].as_str().unwrap_or("").to_owned();
        if text.is_empty() {
            return message(400, "Failed to save annotation");
        }
        let tags: Vec<String> =
            body["tags"].as_array().into_iter().flatten().map(|t| as_kept(t.as_str().unwrap())).collect();
        if serde_json::to_string(&tags).unwrap().len() > 500 {
            return message(400, "Tags length exceeds the maximum allowed.");
        }
        if tags.iter().flat_map(|t| t.split(':')).any(|part| part.chars().count() > 100) {
            return message(500, "Failed to save annotation");
        }
        let Some(time) = body["time"].as_i64() else { return message(400, "Failed to save annotation") };
        let time_end = body["timeEnd"].as_i64().unwrap_or(time);
        let id = inner.next_id;
        inner.next_id += 1;
        inner.kept.insert(id, Kept { dashboard, panel: body["panelId"].as_i64(), time, time_end, tags, text });
        (200, json!({"message": "Annotation added", "id": id}))
    })
    .await
}

async fn find(State(inner): State<Shared>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    serve(inner, "GET", headers, move |inner| {
        let query = query.unwrap_or_default();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let all = |name: &str| pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect::<Vec<_>>();
        let number = |name: &str| all(name).first().and_then(|v| v.parse::<i64>().ok());
        for (name, _) in &pairs {
            if !["from", "to", "tags", "matchAny", "limit", "dashboardUID", "panelId", "type"].contains(&name.as_str())
            {
                inner.wrong.push(format!("parameter {name}"));
            }
        }
        let tags = all("tags");
        let any = all("matchAny").first().is_some_and(|v| v == "true");
        let has = |kept: &Kept, tag: &String| {
            let tag = as_kept(tag);
            // A key alone finds every value.
            kept.tags.iter().any(|k| *k == tag || !tag.contains(':') && k.split(':').next() == Some(&tag))
        };
        let within = |kept: &Kept| match (number("from"), number("to")) {
            (Some(from), Some(to)) => kept.time <= to && kept.time_end >= from,
            _ => true,
        };
        let found = inner.kept.iter().filter(|(_, kept)| within(kept)).filter(|(_, kept)| {
            tags.is_empty() || if any { tags.iter().any(|t| has(kept, t)) } else { tags.iter().all(|t| has(kept, t)) }
        });
        // The newest first.
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.time_end));
        let limit = number("limit").unwrap_or(100) as usize;
        let shown = found.into_iter().take(limit).map(|(id, kept)| {
            json!({
                "id": id, "alertId": 0, "dashboardUID": kept.dashboard, "panelId": kept.panel.unwrap_or(0), "userId": 1,
                "newState": "", "prevState": "", "time": kept.time, "timeEnd": kept.time_end, "text": kept.text,
                "tags": kept.tags, "data": {},
            })
        });
        (200, Value::Array(shown.collect()))
    })
    .await
}

async fn patch(State(inner): State<Shared>, Path(id): Path<u64>, headers: HeaderMap, body: Bytes) -> Response {
    let of_body = headers.clone();
    serve(inner, "PATCH", headers, move |inner| {
        let Some(body) = read_body(inner, &of_body, &body, &["text", "tags", "time", "timeEnd"]) else {
            return message(400, "bad request data");
        };
        let Some(kept) = inner.kept.get_mut(&id) else { return message(404, "Annotation not found") };
        if let Some(text) = body["text"].as_str() {
            kept.text = text.to_owned();
        }
        if let Some(end) = body["timeEnd"].as_i64() {
            kept.time_end = end;
        }
        if let Some(tags) = body["tags"].as_array() {
            kept.tags = tags.iter().map(|t| as_kept(t.as_str().unwrap())).collect();
        }
        (200, json!({"message": "Annotation patched"}))
    })
    .await
}

async fn delete(State(inner): State<Shared>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    serve(inner, "DELETE", headers, move |inner| match inner.kept.remove(&id) {
        Some(_) => message(200, "Annotation deleted"),
        None => message(404, "Annotation not found"),
    })
    .await
}
