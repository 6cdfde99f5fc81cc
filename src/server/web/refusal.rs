//! Requests that are refused before anything of forewarn has seen them: why, and that each is counted once, on all ports.
//!
//! Whoever refuses marks the answer; one layer outside of all others counts what is marked.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::telemetry::HttpMetrics;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Without the name and password of a user.
    Unauthorized,
    /// Too many passwords wait to be checked.
    PasswordsBusy,
    /// There was no room for its body.
    NoRoom,
    /// It took too long.
    Slow,
    /// A browser asked for a change on behalf of another site's page.
    ForeignPage,
}

impl Refused {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Unauthorized, Self::PasswordsBusy, Self::NoRoom, Self::Slow, Self::ForeignPage];

    /// As a metric's label value.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::PasswordsBusy => "passwords_busy",
            Self::NoRoom => "no_room",
            Self::Slow => "slow",
            Self::ForeignPage => "foreign_page",
        }
    }

    /// The answer, to be counted.
    #[must_use]
    pub fn mark(self, mut answer: Response) -> Response {
        answer.extensions_mut().insert(self);
        answer
    }

    /// Why this answer refuses, if it was marked.
    #[must_use]
    pub fn of(answer: &Response) -> Option<Self> {
        answer.extensions().get().copied()
    }
}

/// Counts answers that refuse.
pub(in crate::server) async fn count(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    if let Some(refused) = Refused::of(&answer) {
        metrics.refused(refused.reason());
    }
    answer
}
