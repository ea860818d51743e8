use super::*;

#[test]
fn what_both_data_planes_take_is_let_through() {
    for fine in [
        "",
        "100%% of %REQ(:PATH)% took %DURATION%",
        "[%START_TIME(%Y-%m-%d %H:%M:%S.%3f %E3S)%] %REQ(X?Y):10% %UPSTREAM_HOST% %UPSTREAM_PEER_SUBJECT%",
        r#"{"a": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}"#,
        "%START_TIME%%%%GRPC_STATUS%%GRPC_STATUS(NUMBER)%%RESP(a)%%%",
        "%FILTER_STATE(a)% %FILTER_STATE(a:TYPED):5% %FILTER_STATE(a:FIELD:b)% %ENVIRONMENT(X)%",
        r#"%METADATA(ROUTE:istio:config)% %UPSTREAM_METADATA(["a", "b"])% %CLUSTER_METADATA(a:b)%"#,
    ] {
        assert!(problems(fine).is_empty(), "{fine}: {:?}", problems(fine));
        assert!(header_problems(fine).is_empty(), "{fine}");
    }
    let path = "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%";
    assert!(problems(path).is_empty() && header_problems(path).len() == 1);
    assert!(header_problems("%%REQ_WITHOUT_QUERY(:PATH)%%").is_empty(), "that is text");
}

#[test]
fn what_one_of_them_refuses_is_named() {
    for (text, written) in [
        ("%NOPE% %DURATION% %NOPE%", "NOPE"),
        ("%REQS(a)%", "REQS(a)"),
        ("50% of 20%", " of 20"),
        ("%req(a)%", "req(a)"),
        ("%QUERY_PARAM(a)%", "QUERY_PARAM(a)"),
    ] {
        assert_eq!(problems(text), [Problem::Unknown(written)]);
    }
    for (text, rest) in [("50%", ""), ("50% off", " off"), ("%START_TIME%%", ""), ("%REQ(a", "REQ(a")] {
        assert_eq!(problems(text), [Problem::Lone(rest)]);
    }
    for text in [
        "REQ",
        "REQ()",
        "REQ(a b)",
        "REQ(a?b?c)",
        "REQ(a?)",
        "REQ(:other)",
        "REQ(a)x",
        "REQ(a):x",
        "REQ:5",
        "REQ(a):99999999999",
        "DURATION(a)",
        "DURATION()",
        "DURATION:5",
        "START_TIME:5",
        "START_TIME(%Q)",
        "START_TIME(%n)",
        "START_TIME(%Y(%m)%d)",
        "GRPC_STATUS(X)",
        "FILTER_STATE(a:b)",
        "METADATA(a)",
        "METADATA",
        "ENVIRONMENT",
        "UPSTREAM_METADATA(a):5",
        "RESPONSE_CODE_DETAILS(a)",
        "REQ_WITHOUT_QUERY(a)",
    ] {
        let format = format!("%{text}%");
        let found = problems(&format);
        assert!(
            matches!(found[..], [Problem::Malformed(written, _)] if written == text),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn formats_may_be_json() {
    for (format, json, problem) in [
        ("[%START_TIME%] 100%%\n", false, None),
        ("", true, None),
        (r#"{"a": "%DURATION%", "b": {"c": ["%REQ(:PATH)%"]}, "d": 5}"#, true, None),
        (r#"{"b": {"c": ["%NOPE%"]}}"#, true, Some("%NOPE%")),
        ("%DURATION%", true, Some("not JSON")),
        ("[]", true, Some("must be an object")),
        ("50% off", false, Some("write %%")),
    ] {
        let found = format_problem(format, json);
        assert_eq!(found.is_some(), problem.is_some(), "{format}: {found:?}");
        assert!(found.unwrap_or_default().contains(problem.unwrap_or_default()), "{format}");
    }
}

#[test]
fn a_problem_is_told_with_its_remedy() {
    let told = |text: &str| problems(text).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(told("%FOO%"), "%FOO% is no operator that proxies know; write %% for a percent sign");
    assert_eq!(told("50% off"), "there is a lone % before \" off\"; write %% for a percent sign");
    assert_eq!(
        told("%DURATION:5%"),
        "%DURATION:5% is not written as proxies read it: it takes no argument and no length; write %% for a \
         percent sign"
    );
}
