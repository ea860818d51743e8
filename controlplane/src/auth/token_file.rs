//! Tokens without Kubernetes: a file of JSON lines, for the local mesh and tests. Read again whenever it changes.
//!
//! `{"token": "...", "identity": "namespace/serviceaccount", "audiences": ["istio-ca"], "expires": "2030-01-01T00:00:00Z"}`;
//! the last two may be left out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Deserialize;

use super::{AUDIENCE, AuthError, Caller};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    token: String,
    identity: String,
    #[serde(default)]
    audiences: Option<Vec<String>>,
    #[serde(default)]
    expires: Option<jiff::Timestamp>,
}

#[derive(Debug, Default)]
struct Content {
    modified: Option<(SystemTime, u64)>,
    lines: HashMap<String, Line>,
}

/// The file and what was last read from it.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    content: Mutex<Content>,
}

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, content: Mutex::default() }
    }

    pub(crate) fn caller(&self, token: &str) -> Result<Caller, AuthError> {
        let mut content = self.content.lock();
        self.refresh(&mut content)
            .map_err(|e| AuthError::Unavailable(format!("{}: {e}", self.path.display())))?;
        let line = content.lines.get(token).ok_or_else(|| AuthError::Refused("it is not known".into()))?;
        if line.expires.is_some_and(|end| end <= jiff::Timestamp::now()) {
            return Err(AuthError::Refused("it has expired".into()));
        }
        if let Some(audiences) = &line.audiences
            && !audiences.iter().any(|one| one == AUDIENCE)
        {
            return Err(AuthError::WrongAudience(audiences.clone()));
        }
        match line.identity.split_once('/') {
            Some((namespace, account)) => {
                Ok(Caller { namespace: namespace.to_owned(), service_account: account.to_owned() })
            }
            None => Err(AuthError::NotServiceAccount(line.identity.clone())),
        }
    }

    fn refresh(&self, content: &mut Content) -> std::io::Result<()> {
        let metadata = std::fs::metadata(&self.path)?;
        let modified = Some((metadata.modified()?, metadata.len()));
        if content.modified == modified {
            return Ok(());
        }
        let text = std::fs::read_to_string(&self.path)?;
        content.lines =
            text.lines().filter(|line| !line.trim().is_empty()).filter_map(|line| self.read(line)).collect();
        content.modified = modified;
        Ok(())
    }

    fn read(&self, line: &str) -> Option<(String, Line)> {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => Some((line.token.clone(), line)),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "ignoring a line of the token file");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_judged_and_the_file_is_read_again_when_it_changes() {
        let path = std::env::temp_dir().join(format!("tokens-{}", uuid::Uuid::new_v4()));
        let lines = [
            r#"{"token": "good", "identity": "shop/web"}"#,
            r#"{"token": "old", "identity": "shop/web", "expires": "2020-01-01T00:00:00Z"}"#,
            r#"{"token": "other", "identity": "shop/web", "audiences": ["vault"]}"#,
            "not json",
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let file = TokenFile::new(path.clone());
        assert_eq!(file.caller("good").unwrap().to_string(), "shop/web");
        assert!(matches!(file.caller("forged"), Err(AuthError::Refused(_))));
        assert!(matches!(file.caller("old"), Err(AuthError::Refused(_))));
        assert!(matches!(file.caller("other"), Err(AuthError::WrongAudience(_))));
        std::fs::write(&path, r#"{"token": "new", "identity": "shop/web"}"#).unwrap();
        assert!(file.caller("new").is_ok());
        assert!(file.caller("good").is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.caller("new"), Err(AuthError::Unavailable(_))));
    }
}
