//! What each instruction makes of a config, and what is none.

use super::*;

/// What `instructions` make of `config`.
fn changed(config: Value, instructions: &[&str]) -> Value {
    let parsed: Vec<Instruction> = instructions.iter().map(|text| text.parse().expect("an instruction")).collect();
    let Value::Object(mut config) = config else { panic!("no object") };
    apply(&parsed, &mut config).expect("applied");
    Value::Object(config)
}

#[test]
fn each_word_sets_its_field() {
    for (text, expected) in [
        (r#"CMD ["a", "b c"]"#, json!({"Cmd": ["a", "b c"]})),
        ("CMD a b", json!({"Cmd": ["/bin/sh", "-c", "a b"]})),
        ("CMD", json!({"Cmd": []})),
        (r#"entrypoint ["/app"]"#, json!({"Entrypoint": ["/app"]})),
        ("ENV A=1 B='x y' C=\"q\\\"r\"", json!({"Env": ["A=1", "B=x y", "C=q\"r"]})),
        ("ENV A one two", json!({"Env": ["A=one two"]})),
        (
            "EXPOSE 80 53/udp 8000-8002",
            json!({"ExposedPorts":
            {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}}}),
        ),
        ("LABEL a=1 \"b c\"=2", json!({"Labels": {"a": "1", "b c": "2"}})),
        ("ONBUILD RUN make", json!({"OnBuild": ["RUN make"]})),
        ("STOPSIGNAL SIGINT", json!({"StopSignal": "SIGINT"})),
        ("USER app:app", json!({"User": "app:app"})),
        (r#"VOLUME ["/data", "/log"]"#, json!({"Volumes": {"/data": {}, "/log": {}}})),
        ("VOLUME /data /log", json!({"Volumes": {"/data": {}, "/log": {}}})),
        ("WORKDIR /srv//app/../web/", json!({"WorkingDir": "/srv/web"})),
    ] {
        assert_eq!(changed(json!({}), &[text]), expected, "{text}");
    }
}

#[test]
fn what_was_there_is_kept_replaced_or_grown() {
    let before = json!({"Env": ["PATH=/bin", "A=1"], "Labels": {"z": "1"}, "WorkingDir": "/srv", "User": "old",
                        "Volumes": null, "Unknown": [1]});
    let after = changed(before, &["ENV A=2 B=3", "LABEL a=x", "WORKDIR app", "USER new", "VOLUME /v"]);
    let expected = json!({"Env": ["PATH=/bin", "A=2", "B=3"], "Labels": {"a": "x", "z": "1"}, "WorkingDir": "/srv/app",
                          "User": "new", "Volumes": {"/v": {}}, "Unknown": [1]});
    assert_eq!(after, expected);
}

#[test]
fn an_entrypoint_takes_the_inherited_command_away_unless_one_is_given() {
    let before = || json!({"Entrypoint": ["old"], "Cmd": ["for old"]});
    assert_eq!(changed(before(), &[r#"ENTRYPOINT ["new"]"#]), json!({"Entrypoint": ["new"]}));
    for both in [[r#"ENTRYPOINT ["new"]"#, r#"CMD ["for new"]"#], [r#"CMD ["for new"]"#, r#"ENTRYPOINT ["new"]"#]] {
        assert_eq!(changed(before(), &both), json!({"Entrypoint": ["new"], "Cmd": ["for new"]}));
    }
}

#[test]
fn what_is_no_instruction_is_refused_and_named() {
    for text in [
        "",
        "RUN make",
        "FROM x",
        "ENV",
        "ENV A",
        "ENV =1",
        "ENV A=1 B",
        "EXPOSE",
        "EXPOSE 0",
        "EXPOSE 65536",
        "EXPOSE 9-8",
        "EXPOSE 80/icmp",
        "EXPOSE http",
        "USER",
        "VOLUME",
        "VOLUME []",
        "WORKDIR",
        "LABEL a='x",
        "USER x\\",
        "STOPSIGNAL",
    ] {
        let error = text.parse::<Instruction>().expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert!(error.to_string().starts_with("change "), "{error}");
    }
    let long = format!("USER {}", "x".repeat(MAX_LENGTH));
    assert!(long.parse::<Instruction>().is_err());
}

#[test]
fn a_config_that_is_malformed_is_refused_by_its_field() {
    for (config, text, field) in
        [(json!({"Env": {}}), "ENV A=1", "Env"), (json!({"Labels": []}), "LABEL a=1", "Labels")]
    {
        let Value::Object(mut config) = config else { panic!("no object") };
        let error = apply(&[text.parse().expect("an instruction")], &mut config).expect_err("refused");
        assert!(error.to_string().contains(field), "{error}");
    }
}
