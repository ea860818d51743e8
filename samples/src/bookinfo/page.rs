//! The page's HTML. It says who answered, so that a person sees the mesh work.

use serde_json::Value;

use crate::identity::Identity;

pub(super) const TITLE: &str = "The Comedy of Errors";
pub(super) const DESCRIPTION: &str =
    "Two brothers, two servants, all in pairs and all in the same town on the same day.";

/// What a call to another service brought.
type Called = Result<Value, (u16, String)>;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left}\
.columns{display:flex;gap:4rem;flex-wrap:wrap}.by{color:#667;font-size:.85rem}.error{color:#b00}";

pub(super) fn index() -> String {
    document(
        "<h1>Simple Bookstore App</h1>\
         <p>A page out of four services. <a href=\"/productpage\">Go to the product page</a>, \
         or <a href=\"/productpage?u=jason\">as the user jason</a>.</p>",
    )
}

pub(super) fn product(identity: &Identity, user: Option<&str>, details: &Called, reviews: &Called) -> String {
    let who = match user {
        Some(user) => format!("<p>{} (<a href=\"/logout\">sign out</a>)</p>", escape(user)),
        None => {
            "<form method=\"post\" action=\"/login\"><input name=\"username\" placeholder=\"user\" required>\
                 <button>Sign in</button></form>"
                .to_owned()
        }
    };
    document(&format!(
        "{who}<h1>{TITLE}</h1><p>{DESCRIPTION}</p><div class=\"columns\">\
         <section><h2>Book Details</h2>{}</section><section><h2>Book Reviews</h2>{}</section></div>\
         <p class=\"by\">Page served by: {} ({})</p>",
        details_of(details),
        reviews_of(reviews),
        escape(&identity.pod),
        escape(&identity.version),
    ))
}

fn details_of(called: &Called) -> String {
    let details = match called {
        Ok(details) => details,
        Err(error) => return failed("product details", error),
    };
    let rows: String = ["type", "pages", "publisher", "language", "ISBN-10", "ISBN-13"]
        .iter()
        .map(|fact| ["<tr><th>", fact, "</th><td>", &text(&details[*fact]), "</td></tr>"].concat())
        .collect();
    format!("<table>{rows}</table>{}", served_by("Details", details))
}

fn reviews_of(called: &Called) -> String {
    let answer = match called {
        Ok(answer) => answer,
        Err(error) => return failed("product reviews", error),
    };
    let quotes: String = answer["reviews"].as_array().into_iter().flatten().map(review).collect();
    format!("{quotes}{}", served_by("Reviews", answer))
}

fn review(review: &Value) -> String {
    let rating = &review["rating"];
    let stars = match (rating["stars"].as_u64(), rating["error"].as_str()) {
        (Some(stars), _) => {
            let filled = "\u{2605}".repeat(stars.min(5) as usize);
            let hollow = "\u{2606}".repeat(5 - stars.min(5) as usize);
            format!("<div class=\"stars\" style=\"color:{}\">{filled}{hollow}</div>", text(&rating["color"]))
        }
        (None, Some(error)) => format!("<div class=\"error\">{}</div>", escape(error)),
        (None, None) => String::new(),
    };
    format!(
        "<blockquote><p>{}</p><small>{}</small>{stars}</blockquote>",
        text(&review["text"]),
        text(&review["reviewer"])
    )
}

fn served_by(what: &str, answer: &Value) -> String {
    format!(
        "<p class=\"by\">{what} served by: {} ({})</p>",
        text(&answer["podname"]),
        text(&answer["version"])
    )
}

fn failed(what: &str, (status, reason): &(u16, String)) -> String {
    format!("<p class=\"error\">Sorry, {what} are currently unavailable ({status}: {}).</p>", escape(reason))
}

fn document(body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Simple Bookstore App</title>\
         <style>{STYLE}</style></head><body>{body}</body></html>\n"
    )
}

fn text(value: &Value) -> String {
    escape(&value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity() -> Identity {
        Identity { service: "productpage".into(), version: "v1".into(), pod: "productpage-v1-a".into() }
    }

    #[test]
    fn the_page_says_which_version_and_pod_answered() {
        let reviews = json!({"podname": "reviews-v3-b", "version": "v3", "reviews": [
            {"reviewer": "Reviewer1", "text": "Good", "rating": {"stars": 4, "color": "red"}}]});
        let page = product(&identity(), Some("jason"), &Ok(json!({"pages": 200})), &Ok(reviews));
        for expected in ["reviews-v3-b (v3)", "productpage-v1-a (v1)", "jason", "color:red", "<td>200</td>"] {
            assert!(page.contains(expected), "{expected} in {page}");
        }
    }

    #[test]
    fn a_service_that_is_away_is_named_and_the_rest_of_the_page_stays() {
        let page = product(&identity(), None, &Ok(json!({})), &Err((503, "no <healthy> upstream".into())));
        assert!(
            page.contains("product reviews are currently unavailable (503: no &lt;healthy&gt; upstream)")
        );
        assert!(page.contains("Details served by"));
    }
}
