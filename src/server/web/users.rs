//! Basic authentication (RFC 7617) against bcrypt hashes.
//!
//! A check takes some 50 ms of a processor at the usual cost, and senders come every few seconds: what has proven right is
//! remembered by a keyed digest. One check is made at a time, so that guesses cannot take all processors.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tokio::sync::Semaphore;

use crate::http_client::Secret;

/// The users that are let in. At least one.
#[derive(Debug)]
pub(super) struct Users {
    hashes: BTreeMap<String, Secret>,
    /// What a stranger's password is held against, so that the time does not tell which names exist.
    nobody: String,
    key: hmac::Key,
    proven: Mutex<BTreeMap<String, hmac::Tag>>,
    one_at_a_time: Semaphore,
}

impl Users {
    /// None where there are none.
    pub fn new(hashes: &BTreeMap<String, Secret>) -> Option<Arc<Self>> {
        let nobody = hashes.values().next()?.expose().to_owned();
        let secret: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        Some(Arc::new(Self {
            hashes: hashes.clone(),
            nobody,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            proven: Mutex::default(),
            one_at_a_time: Semaphore::new(1),
        }))
    }

    async fn know(self: &Arc<Self>, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else { return false };
        let proof = format!("{name}:{password}");
        let is_proven = |name: &str| {
            let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
            proven.get(name).is_some_and(|tag| hmac::verify(&self.key, proof.as_bytes(), tag.as_ref()).is_ok())
        };
        if is_proven(&name) {
            return true;
        }
        let Ok(_turn) = self.one_at_a_time.acquire().await else { return false };
        // Whoever was before may have had the same.
        if is_proven(&name) {
            return true;
        }
        let known = self.hashes.get(&name).map(|hash| hash.expose().to_owned());
        let (is_user, hash) = (known.is_some(), known.unwrap_or_else(|| self.nobody.clone()));
        let fits = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        if !fits.await.unwrap_or(false) || !is_user {
            return false;
        }
        let tag = hmac::sign(&self.key, proof.as_bytes());
        self.proven.lock().unwrap_or_else(PoisonError::into_inner).insert(name, tag);
        true
    }
}

/// Lets requests of users pass.
pub(super) async fn only_users(State(users): State<Arc<Users>>, request: Request, next: Next) -> Response {
    if users.know(request.headers()).await {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, r#"Basic realm="forewarn", charset="UTF-8""#)];
    (StatusCode::UNAUTHORIZED, challenge, "name and password, please\n").into_response()
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
    use super::*;

    fn users() -> Arc<Users> {
        let hash = |password| Secret::new(bcrypt::hash(password, 4).unwrap());
        Users::new(&BTreeMap::from([("ann".to_owned(), hash("right")), ("bob".to_owned(), hash("other"))])).unwrap()
    }

    async fn lets_in(users: &Arc<Users>, authorization: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        users.know(&headers).await
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
        assert!(!users.know(&HeaderMap::new()).await);
        assert_eq!(users.proven.lock().unwrap().len(), 2, "only what was right is remembered");
    }

    #[test]
    fn without_users_nobody_is_asked() {
        assert!(Users::new(&BTreeMap::new()).is_none());
    }
}
