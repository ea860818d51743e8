//! Tokens with Kubernetes: the API server judges each one.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Semaphore;

use super::{AUDIENCE, AuthError, Caller, of_username};

/// Reviews at once; a fleet that reconnects must not flood the API server.
const CONCURRENT: usize = 64;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the API server.
pub(crate) struct TokenReviews {
    api: Api<TokenReview>,
    slots: Semaphore,
}

impl TokenReviews {
    pub(crate) fn new(client: Client) -> Self {
        Self { api: Api::all(client), slots: Semaphore::new(CONCURRENT) }
    }

    pub(crate) async fn caller(&self, token: &str) -> Result<Caller, AuthError> {
        let unavailable = |problem: String| AuthError::Unavailable(problem);
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let _slot = self.slots.acquire().await.map_err(|e| unavailable(e.to_string()))?;
        let parameters = PostParams::default();
        let answer = tokio::time::timeout(TIMEOUT, self.api.create(&parameters, &review)).await;
        let answer = answer.map_err(|_| unavailable("the API server does not answer".into()))?;
        judge(answer.map_err(|e| unavailable(e.to_string()))?.status.unwrap_or_default())
    }
}

/// An API server that does not know audiences leaves them out and would let any token pass, so they are checked here too.
fn judge(status: TokenReviewStatus) -> Result<Caller, AuthError> {
    if status.authenticated != Some(true) {
        return Err(AuthError::Refused(
            status.error.unwrap_or_else(|| "the API server does not accept it".into()),
        ));
    }
    let audiences = status.audiences.unwrap_or_default();
    if !audiences.iter().any(|one| one == AUDIENCE) {
        return Err(AuthError::WrongAudience(audiences));
    }
    of_username(status.user.and_then(|user| user.username).as_deref().unwrap_or_default())
}

impl std::fmt::Debug for TokenReviews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenReviews").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;

    fn status(authenticated: bool, username: &str, audiences: &[&str]) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: Some(audiences.iter().map(|one| (*one).to_owned()).collect()),
            user: Some(UserInfo { username: Some(username.to_owned()), ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    #[test]
    fn the_verdict_needs_authentication_audience_and_a_service_account() {
        let account = "system:serviceaccount:shop:web";
        assert_eq!(judge(status(true, account, &[AUDIENCE])).unwrap().to_string(), "shop/web");
        assert!(matches!(judge(status(false, account, &[AUDIENCE])), Err(AuthError::Refused(_))));
        assert!(matches!(judge(status(true, account, &[])), Err(AuthError::WrongAudience(_))));
        assert!(matches!(judge(status(true, account, &["vault"])), Err(AuthError::WrongAudience(_))));
        assert!(matches!(judge(status(true, "admin", &[AUDIENCE])), Err(AuthError::NotServiceAccount(_))));
        assert!(matches!(judge(TokenReviewStatus::default()), Err(AuthError::Refused(_))));
    }
}
