//! Conditions on the claims of a request's token.

use serde_json::Value;

use super::matcher::StringMatch;

/// A condition on one claim.
#[derive(Debug, Clone)]
pub struct ClaimMatch {
    /// The way to it from the token's payload.
    pub path: Vec<Box<str>>,
    /// What a text, or an item of a list, must be. `None`: it need only be there.
    pub value: Option<StringMatch>,
    /// Whether the claim must not be so.
    pub invert: bool,
}

impl ClaimMatch {
    /// Whether it holds for the payload of a verified token, if there is one.
    pub fn matches(&self, payload: Option<&Value>) -> bool {
        let claim = self.path.iter().try_fold(payload, |at, key| at.map(|at| at.get(&**key)));
        let holds = claim.flatten().is_some_and(|claim| match &self.value {
            None => true,
            Some(wanted) => {
                let fits = |text: &Value| text.as_str().is_some_and(|text| wanted.matches(text));
                fits(claim) || claim.as_array().is_some_and(|items| items.iter().any(fits))
            }
        });
        holds != self.invert
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_a_text_or_a_list_of_them() {
        let token = json!({ "group": "admin", "roles": ["a", "b"], "deep": { "er": "x" } });
        let holds = |path: &[&str], value: Option<&str>, invert| {
            let path = path.iter().map(|key| Box::from(*key)).collect();
            let value = value.map(|text| StringMatch::exact(text, false));
            ClaimMatch { path, value, invert }.matches(Some(&token))
        };
        assert!(holds(&["group"], Some("admin"), false));
        assert!(!holds(&["group"], Some("user"), false));
        assert!(holds(&["roles"], Some("b"), false));
        assert!(holds(&["deep", "er"], Some("x"), false));
        assert!(holds(&["group"], None, false));
        assert!(!holds(&["nothing"], None, false));
        assert!(holds(&["nothing"], Some("x"), true));
        assert!(!holds(&["group"], Some("admin"), true));
    }

    #[test]
    fn without_a_token_there_is_no_claim() {
        let group = ClaimMatch { path: vec!["group".into()], value: None, invert: false };
        assert!(!group.matches(None));
        assert!(ClaimMatch { invert: true, ..group }.matches(None));
    }
}
