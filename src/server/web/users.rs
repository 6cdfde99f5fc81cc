//! Basic authentication (RFC 7617) against bcrypt hashes.
//!
//! A check takes some 50 ms of a processor at the usual cost, and senders come every few seconds: what has proven right is
//! remembered by a keyed digest. One check is made at a time, also where whoever asked has hung up, and few wait for theirs, so
//! that guesses take neither all processors nor the time of those who know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

use super::Refused;
use crate::http_client::Secret;

/// The users that are let in. At least one.
#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, Secret>,
    /// What a stranger's password is held against, so that the time does not tell which names exist: the costliest of all.
    nobody: String,
    /// None where the system gives no random numbers; then nothing is remembered.
    key: Option<hmac::Key>,
    proven: Mutex<BTreeMap<String, hmac::Tag>>,
    one_at_a_time: Arc<Semaphore>,
    places: Semaphore,
}

/// Checks that wait for their turn or have it: at the usual cost the last is done within a second.
const PLACES: usize = 16;

/// What is made of a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Known,
    Unknown,
    /// Too many are to be checked.
    Busy,
}

impl Users {
    /// None where there are none.
    pub fn new(hashes: &BTreeMap<String, Secret>) -> Option<Arc<Self>> {
        let cost = |hash: &&Secret| hash.expose().parse::<bcrypt::HashParts>().map_or(0, |parts| parts.get_cost());
        let nobody = hashes.values().max_by_key(cost)?.expose().to_owned();
        Some(Arc::new(Self {
            hashes: hashes.clone(),
            nobody,
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok(),
            proven: Mutex::default(),
            one_at_a_time: Arc::new(Semaphore::new(1)),
            places: Semaphore::new(PLACES),
        }))
    }

    async fn judge(&self, headers: &HeaderMap) -> Verdict {
        let Some((name, password)) = credentials(headers) else { return Verdict::Unknown };
        let proof = format!("{name}:{password}");
        if self.is_proven(&name, &proof) {
            return Verdict::Known;
        }
        let Ok(_place) = self.places.try_acquire() else { return Verdict::Busy };
        let Ok(turn) = Arc::clone(&self.one_at_a_time).acquire_owned().await else { return Verdict::Busy };
        // Whoever was before may have had the same.
        if self.is_proven(&name, &proof) {
            return Verdict::Known;
        }
        let known = self.hashes.get(&name).map(|hash| hash.expose().to_owned());
        let (is_user, hash) = (known.is_some(), known.unwrap_or_else(|| self.nobody.clone()));
        // The turn goes with the work, which goes on when whoever asked is gone.
        let check = move || (bcrypt::verify(password, &hash).unwrap_or(false), turn);
        let Ok((fits, _turn)) = tokio::task::spawn_blocking(check).await else { return Verdict::Unknown };
        if !fits || !is_user {
            return Verdict::Unknown;
        }
        if let Some(key) = &self.key {
            let tag = hmac::sign(key, proof.as_bytes());
            self.proven.lock().unwrap_or_else(PoisonError::into_inner).insert(name, tag);
        }
        Verdict::Known
    }

    fn is_proven(&self, name: &str, proof: &str) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((key, tag)) = self.key.as_ref().zip(proven.get(name)) else { return false };
        hmac::verify(key, proof.as_bytes(), tag.as_ref()).is_ok()
    }
}

/// Lets requests of users pass.
pub(super) async fn only_users(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    match users.judge(request.headers()).await {
        Verdict::Known => next.run(request).await,
        Verdict::Unknown => {
            let challenge = [(header::WWW_AUTHENTICATE, r#"Basic realm="forewarn", charset="UTF-8""#)];
            let answer = (StatusCode::UNAUTHORIZED, challenge, "name and password, please\n");
            Refused::Unauthorized.mark(answer.into_response())
        }
        Verdict::Busy => {
            let again = [(header::RETRY_AFTER, "5")];
            let answer = (StatusCode::SERVICE_UNAVAILABLE, again, "too many passwords to check: try again\n");
            Refused::PasswordsBusy.mark(answer.into_response())
        }
    }
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, rest) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    fn users() -> Arc<Users> {
        let hash = |password| Secret::new(bcrypt::hash(password, 4).unwrap());
        Users::new(&BTreeMap::from([("ann".to_owned(), hash("right")), ("bob".to_owned(), hash("other"))])).unwrap()
    }

    async fn lets_in(users: &Arc<Users>, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        users.judge(&headers).await == Verdict::Known
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[tokio::test]
    async fn names_and_passwords_must_fit() {
        let users = users();
        for _ in 0..2 {
            assert!(lets_in(&users, &basic("ann:right")).await);
            assert!(lets_in(&users, &basic("bob:other")).await);
            for wrong in ["ann:other", "ann:", "bob:right", "eve:right", "ann", ""] {
                assert!(!lets_in(&users, &basic(wrong)).await, "{wrong}");
            }
        }
        assert!(lets_in(&users, &basic("ann:right").replace("Basic", "basic")).await);
        assert!(!lets_in(&users, "Bearer right").await);
        assert!(!lets_in(&users, "Basic ***").await);
        assert_eq!(users.judge(&HeaderMap::new()).await, Verdict::Unknown);
        assert_eq!(users.proven.lock().unwrap().len(), 2, "only what was right is remembered");
    }

    #[tokio::test]
    async fn guesses_do_not_queue_up_nor_run_side_by_side() {
        let users = users();
        assert!(lets_in(&users, &basic("ann:right")).await);
        let turn = Arc::clone(&users.one_at_a_time).acquire_owned().await.unwrap();
        let guess = |n: usize| {
            let users = Arc::clone(&users);
            tokio::spawn(async move {
                let mut headers = HeaderMap::new();
                headers.insert(header::AUTHORIZATION, basic(&format!("ann:{n}")).parse().unwrap());
                users.judge(&headers).await
            })
        };
        let waiting: Vec<_> = (0..PLACES).map(guess).collect();
        while users.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(guess(99).await.unwrap(), Verdict::Busy);
        assert!(lets_in(&users, &basic("ann:right")).await, "who is known waits for nobody");
        // One that hangs up gives its place back, and not the turn of the check that runs.
        waiting[0].abort();
        drop(turn);
        for guess in waiting.into_iter().skip(1) {
            assert_eq!(guess.await.unwrap(), Verdict::Unknown);
        }
        assert_eq!((users.places.available_permits(), users.one_at_a_time.available_permits()), (PLACES, 1));
    }

    #[tokio::test]
    async fn who_is_not_let_in_is_told_why_and_marked() {
        let users = users();
        let router =
            Router::new().route("/", get(async || "in")).layer(from_fn_with_state(Arc::clone(&users), only_users));
        let ask = async |text: &str| {
            let request = Request::get("/").header(header::AUTHORIZATION, basic(text)).body(Body::empty()).unwrap();
            let answer = router.clone().oneshot(request).await.unwrap();
            (answer.status().as_u16(), Refused::of(&answer))
        };
        assert_eq!(ask("ann:right").await, (200, None));
        assert_eq!(ask("ann:wrong").await, (401, Some(Refused::Unauthorized)));
        let _places = users.places.acquire_many(PLACES as u32).await.unwrap();
        assert_eq!(ask("ann:wrong").await, (503, Some(Refused::PasswordsBusy)));
    }

    #[test]
    fn without_users_nobody_is_asked() {
        assert!(Users::new(&BTreeMap::new()).is_none());
    }
}
