//! HTTP rules by chance.

use serde_json::{Value, json};

use crate::dice::Dice;

const DESTINATIONS: [&str; 8] = [
    "reviews",
    "ratings",
    "auto",
    "reviews.other.svc.cluster.local",
    "details.other.svc.cluster.local",
    "www.example.com",
    "nowhere",
    "pods",
];
pub(crate) const PATHS: [&str; 12] =
    ["/", "/a", "/a/", "/a/b", "/ab", "/A", "/A/b", "/b", "/b/c", "/a.b", "/abc/d", "/aXb"];
/// Other ways to write paths.
pub(crate) const SPELLINGS: [&str; 8] =
    ["/x/../a", "//a", "/a//b", "/%61", "/a%2Fb", "/a/.", "/b\\c", "/%41/./b/..//c%"];
const PATTERNS: [&str; 9] =
    [".*", "/a.*", "/[ab]", "/(a|b)/.*", "*", "/A.?b?", "/a\\.b", "/\\w+", "/[[:alpha:]]/?"];
pub(crate) const HEADERS: [&str; 4] = ["x-a", "x-b", "end-user", "X-Upper"];
pub(crate) const VALUES: [&str; 6] = ["", "v", "v1", "jason", "V1", "v1,v"];
const VALUE_PATTERNS: [&str; 6] = ["v.?", ".*", ".+", "jason|v", "*", "(?i)V1"];
pub(crate) const METHODS: [&str; 5] = ["GET", "POST", "PUT", "HEAD", "DELETE"];

/// A rule, perhaps one that is left to a delegate.
pub(crate) fn rule(dice: &mut Dice, may_delegate: bool) -> Value {
    let conditions: Vec<Value> = match dice.below(10) {
        0 | 1 => Vec::new(),
        2..=7 => vec![condition(dice)],
        _ => vec![condition(dice), condition(dice)],
    };
    let mut rule = json!({"match": conditions});
    if dice.percent(30) {
        rule["name"] = format!("r{}", dice.below(5)).into();
    }
    if may_delegate && dice.percent(15) {
        rule["delegate"] = json!({"name": format!("part{}", dice.below(3)), "namespace": "shop"});
    } else {
        act(dice, &mut rule);
    }
    if dice.percent(15) {
        rule["timeout"] = json!("5s");
    }
    if dice.percent(15) {
        rule["retries"] = json!({"attempts": dice.below(4)});
    }
    if dice.percent(10) {
        rule["headers"] = json!({"request": {"set": {"Host": "set.example.com"}}});
    }
    rule
}

fn act(dice: &mut Dice, rule: &mut Value) {
    match dice.below(10) {
        0 => {
            let mut redirect = json!({"redirectCode": dice.pick(&[0, 301, 302, 307, 308])});
            match dice.below(3) {
                0 => redirect["uri"] = json!("/new"),
                1 => redirect["prefixRewrite"] = dice.one(&["/p", "/p/", "/"]).into(),
                _ => {}
            }
            if dice.percent(40) {
                redirect["authority"] = json!("new.example.com");
            }
            if dice.percent(30) {
                redirect["scheme"] = dice.one(&["https", "http"]).into();
            }
            match dice.below(5) {
                0 => redirect["derivePort"] = json!("FROM_REQUEST_PORT"),
                1 => redirect["derivePort"] = json!("FROM_PROTOCOL_DEFAULT"),
                2 => redirect["port"] = dice.pick(&[80, 443, 8443]).into(),
                _ => {}
            }
            rule["redirect"] = redirect;
        }
        1 => {
            let body = if dice.percent(50) { json!({"string": "hello"}) } else { Value::Null };
            rule["directResponse"] = json!({"status": dice.pick(&[200, 404, 503]), "body": body});
        }
        _ => forward(dice, rule),
    }
}

fn forward(dice: &mut Dice, rule: &mut Value) {
    let count = dice.pick(&[1, 1, 1, 2, 3]);
    let mut route: Vec<Value> = (0..count).map(|_| destination(dice)).collect();
    if count > 1 {
        for one in &mut route {
            one["weight"] = dice.pick(&[0, 0, 1, 10, 33, 90]).into();
        }
        // Weights that add up to nothing are refused at the door.
        route[0]["weight"] = dice.pick(&[1, 50]).into();
    }
    rule["route"] = route.into();
    if dice.percent(25) {
        rule["rewrite"] = match dice.below(4) {
            0 => json!({"uri": dice.one(&["/r", "/r/", "/"])}),
            1 => json!({"authority": "rewritten.example.com"}),
            2 => json!({"uri": "/q", "authority": "rewritten.example.com"}),
            _ => json!({"uriRegexRewrite": {"match": "^/([a-z]+)(.*)$", "rewrite": "/x\\2/\\1"}}),
        };
    }
    if dice.percent(10) {
        let percent = dice.pick(&[0.0, 50.0, 100.0]);
        rule["mirrors"] = json!([{"destination": {"host": "ratings"}, "percentage": {"value": percent}}]);
    }
}

fn destination(dice: &mut Dice) -> Value {
    let subset = if dice.percent(40) { json!(dice.one(&["v1", "v2", "v3"])) } else { Value::Null };
    let port = if dice.percent(30) { json!({"number": dice.pick(&[80, 9080, 7])}) } else { Value::Null };
    let headers = if dice.percent(10) {
        json!({"request": {"set": {":authority": "target.example.com"}}})
    } else {
        Value::Null
    };
    let host = DESTINATIONS[dice.below(DESTINATIONS.len())];
    json!({"destination": {"host": host, "subset": subset, "port": port}, "headers": headers})
}

fn condition(dice: &mut Dice) -> Value {
    let mut all = json!({});
    if dice.percent(60) {
        all["uri"] = match dice.below(3) {
            0 => json!({"exact": PATHS[dice.below(PATHS.len())]}),
            1 => json!({"prefix": PATHS[dice.below(PATHS.len())]}),
            _ => json!({"regex": PATTERNS[dice.below(PATTERNS.len())]}),
        };
        if dice.percent(25) {
            all["ignoreUriCase"] = true.into();
        }
    }
    if dice.percent(20) {
        all["method"] = match dice.below(3) {
            0 => json!({"exact": METHODS[dice.below(METHODS.len())]}),
            1 => json!({"prefix": "P"}),
            _ => json!({"regex": "GET|PUT"}),
        };
    }
    if dice.percent(8) {
        all["authority"] = match dice.below(3) {
            0 => json!({"exact": dice.one(&["reviews:9080", "reviews", "www.example.com"])}),
            1 => json!({"prefix": "rev"}),
            _ => json!({"regex": ".*:9080"}),
        };
    }
    if dice.percent(5) {
        all["scheme"] = json!({"exact": dice.one(&["http", "https"])});
    }
    for (key, percent) in [("headers", 30), ("withoutHeaders", 15)] {
        if dice.percent(percent) {
            let names: Vec<&str> =
                (0..dice.between(1, 2)).map(|_| HEADERS[dice.below(HEADERS.len())]).collect();
            for name in names {
                all[key][name] = text(dice);
            }
        }
    }
    if dice.percent(15) {
        let name = dice.one(&["q", "p"]);
        all["queryParams"][name] = text(dice);
    }
    sender(dice, &mut all);
    if dice.percent(10) {
        all["name"] = format!("c{}", dice.below(3)).into();
    }
    all
}

fn sender(dice: &mut Dice, all: &mut Value) {
    if dice.percent(10) {
        all["port"] = dice.pick(&[80, 9080]).into();
    }
    if dice.percent(10) {
        let key = dice.one(&["version", "app", "zone"]);
        all["sourceLabels"] = json!({key: dice.one(&["v1", "v2", "client"])});
    }
    if dice.percent(8) {
        all["sourceNamespace"] = dice.one(&["shop", "other"]).into();
    }
    if dice.percent(8) {
        all["gateways"] = match dice.below(3) {
            0 => json!(["mesh"]),
            1 => json!(["istio-system/front"]),
            _ => json!(["mesh", "istio-system/front"]),
        };
    }
}

fn text(dice: &mut Dice) -> Value {
    let value = VALUES[dice.below(VALUES.len())];
    match dice.below(4) {
        0 => json!({}),
        1 => json!({"exact": value}),
        2 => json!({"prefix": value}),
        _ => json!({"regex": VALUE_PATTERNS[dice.below(VALUE_PATTERNS.len())]}),
    }
}
