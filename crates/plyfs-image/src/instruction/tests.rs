//! What each instruction makes of a config, and what is none.

use serde_json::json;

use super::*;
use crate::json::object::Object;

/// What `instructions` make of `config`.
fn changed(config: Value, instructions: &[&str]) -> Value {
    let parsed: Vec<Instruction> = instructions.iter().map(|text| text.parse().expect("an instruction")).collect();
    let mut config = object(&config);
    apply(&parsed, &mut config).expect("applied");
    serde_json::to_value(&config).expect("JSON")
}

fn object(config: &Value) -> Object {
    serde_json::from_str(&config.to_string()).expect("an object")
}

#[test]
fn each_word_sets_its_field() {
    for (text, expected) in [
        (r#"CMD ["a", "b c"]"#, json!({"Cmd": ["a", "b c"]})),
        ("CMD a b", json!({"Cmd": ["/bin/sh", "-c", "a b"]})),
        ("CMD", json!({"Cmd": []})),
        ("CMD=/bin/sh", json!({"Cmd": ["/bin/sh", "-c", "/bin/sh"]})),
        (r#"ENTRYPOINT=["/app", "a=b"]"#, json!({"Entrypoint": ["/app", "a=b"]})),
        ("ENV=A=b", json!({"Env": ["A=b"]})),
        ("LABEL=blue=image", json!({"Labels": {"blue": "image"}})),
        ("EXPOSE=80", json!({"ExposedPorts": {"80/tcp": {}}})),
        (r#"entrypoint ["/app"]"#, json!({"Entrypoint": ["/app"]})),
        ("ENV A=1 B='x y' C=\"q\\\"r\"", json!({"Env": ["A=1", "B=x y", "C=q\"r"]})),
        ("ENV A one  'two'", json!({"Env": ["A=one  two"]})),
        ("ENV A=1 \\\n B=2", json!({"Env": ["A=1", "B=2"]})),
        (
            "EXPOSE 80 53/udp 8000-8002",
            json!({"ExposedPorts":
            {"53/udp": {}, "80/tcp": {}, "8000/tcp": {}, "8001/tcp": {}, "8002/tcp": {}}}),
        ),
        ("LABEL a=1 \"b c\"=2", json!({"Labels": {"a": "1", "b c": "2"}})),
        ("LABEL a b", json!({"Labels": {"a": "b"}})),
        (r#"ONBUILD RUN echo "a  $b""#, json!({"OnBuild": [r#"RUN echo "a  $b""#]})),
        (r#"ONBUILD CMD ["a", "b"]"#, json!({"OnBuild": [r#"CMD ["a", "b"]"#]})),
        ("HEALTHCHECK --retries=2 CMD x", json!({"Healthcheck": {"Test": ["CMD-SHELL", "x"], "Retries": 2}})),
        ("STOPSIGNAL SIGINT", json!({"StopSignal": "SIGINT"})),
        ("USER app:app", json!({"User": "app:app"})),
        (r#"VOLUME ["/data", "/log"]"#, json!({"Volumes": {"/data": {}, "/log": {}}})),
        ("VOLUME /data /log", json!({"Volumes": {"/data": {}, "/log": {}}})),
        ("WORKDIR /srv//app/../web/", json!({"WorkingDir": "/srv/web"})),
        ("WORKDIR /a  b", json!({"WorkingDir": "/a  b"})),
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
fn a_field_spelt_in_another_case_is_the_one_that_is_changed() {
    let before =
        json!({"env": ["A=1"], "labels": {"a": "1", "A": "2"}, "CMD": ["old"], "workingdir": "/srv", "shell": ["ash"]});
    let after = changed(before, &["ENV B=$A", "LABEL a=x", "WORKDIR app", "ENTRYPOINT run"]);
    let expected = json!({"env": ["A=1", "B=1"], "labels": {"a": "x", "A": "2"}, "workingdir": "/srv/app", "shell": ["ash"],
                          "Entrypoint": ["ash", "run"]});
    assert_eq!(after, expected);
}

#[test]
fn variables_are_those_of_the_config_and_of_the_instructions_before() {
    let before = json!({"Env": ["PATH=/bin", "PORT=80"], "Shell": ["/bin/bash", "-ec"]});
    let after = changed(
        before,
        &[
            "ENV PATH=$PATH:/opt PORT=8080 SAME=$PORT",
            "ENV NEXT=${PORT}1 NONE=$NONE",
            "EXPOSE $PORT $NONE",
            "LABEL $SAME=\"${NONE:-x y}\"",
            "USER '$USER'",
            "VOLUME [\"$PATH\"]",
            "WORKDIR /srv/$PORT",
            "CMD echo $PORT",
        ],
    );
    let expected = json!({"Env": ["PATH=/bin:/opt", "PORT=8080", "SAME=80", "NEXT=80801", "NONE="],
        "ExposedPorts": {"8080/tcp": {}}, "Labels": {"80": "x y"}, "User": "$USER", "Volumes": {"/bin:/opt": {}},
        "WorkingDir": "/srv/8080", "Shell": ["/bin/bash", "-ec"], "Cmd": ["/bin/bash", "-ec", "echo $PORT"]});
    assert_eq!(after, expected);
}

#[test]
fn what_a_variable_makes_wrong_is_refused_when_it_is_known() {
    for text in ["EXPOSE $PORT", "USER $NONE", "VOLUME $NONE", "WORKDIR \"$NONE\"", "STOPSIGNAL $PORT", "ENV $NONE=1"] {
        let instruction: Instruction = text.parse().expect(text);
        let mut config = object(&json!({"Env": ["PORT=http"]}));
        let error = apply(&[instruction], &mut config).expect_err(text);
        assert!(error.to_string().contains("change ") && error.kind() == ErrorKind::InvalidInput, "{error}");
    }
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
        "STOPSIGNAL banana",
        "CMD [\"a\", 1]",
        "ONBUILD",
        "ONBUILD FROM x",
        "ONBUILD onbuild RUN x",
        "HEALTHCHECK",
        "USER ${",
        "USER ''",
        "USER a\nENV b=1",
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
        let mut config = object(&config);
        let error = apply(&[text.parse().expect("an instruction")], &mut config).expect_err("refused");
        assert!(error.to_string().contains(field), "{error}");
    }
}
