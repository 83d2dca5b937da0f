//! `commit --change` beside what a real docker makes of the same instructions.

use plyfs_testkit::peers::Docker;
use plyfs_testkit::process::output;
use plyfs_testkit::{require_root, require_tool};
use serde_json::Value;

use crate::bench::Bench;

/// What instructions change, together each; docker takes all of them.
const CHANGES: [&[&str]; 12] = [
    &["ENV PATH=$PATH:/opt A='$PATH' B=\\$PATH C=\"${PATH:+x y}\" D=${NONE:-$PATH}"],
    &["ENV A=1", "ENV A=2 B=$A", "LABEL \"a b\"=$B c=\"d  e\" f=g\\ h"],
    &["ENV A one  'two' $PATH", "LABEL a b"],
    &["ENV A=\"a\\b\" B=a\\b C=$ D=x$/ E=$$ F=$1"],
    &["USER app:app", "WORKDIR a/../b/$PATH", "VOLUME $PATH /x", "VOLUME [\"/y\"]"],
    &["WORKDIR /a  b", "EXPOSE 80 53/UDP 8000-8002", "ENV P=90", "EXPOSE $P"],
    &["ONBUILD RUN echo \"a   $b\"", "onbuild ENTRYPOINT [\"a\", \"b\"]"],
    &["HEALTHCHECK --interval=5m --timeout=1m1.5s --start-period=2s --retries=3 CMD curl -f http://localhost/"],
    &["HEALTHCHECK CMD [\"a\", \"b\"]"],
    &["ENTRYPOINT [\"x\"]"],
    &["CMD [\"y\"]", "ENTRYPOINT x y"],
    &["ENV A=1 \\\n B=2"],
];

#[test]
fn root_instructions_change_a_config_as_docker_commit_does() {
    require_root!();
    require_tool!("dockerd", "containerd", "docker");
    let bench = Bench::with_image();
    bench.ok(["create", "app:1", "web-1"]);
    let base = ["ENV PATH=/bin LEVEL=info", "CMD [\"/bin/sh\"]", "WORKDIR /srv"];
    let flags = |changes: &[&'static str]| changes.iter().flat_map(|change| ["--change", change]).collect::<Vec<_>>();
    bench.ok(["commit", "web-1", "localhost/base:1"].into_iter().chain(flags(&base)));
    bench.ok(["create", "base:1", "web-2"]);
    bench.ok(["save", "localhost/base:1", "-o", "base.tar"]);
    let docker = Docker::start();
    docker.load(&bench.temp.join("base.tar"));
    let container = docker.create("localhost/base:1");
    for changes in CHANGES {
        output(docker.command().arg("commit").args(flags(changes)).args([&container, "localhost/theirs:1"]));
        let theirs = docker.inspect("localhost/theirs:1", "{{json .Config}}");
        bench.ok(["commit", "web-2", "localhost/ours:1"].into_iter().chain(flags(changes)));
        let ours: Value = serde_json::from_str(&bench.ok(["inspect", "localhost/ours:1"])).expect("JSON");
        let theirs = serde_json::from_str(&theirs).expect("JSON");
        assert_eq!(said(&ours["Config"]), said(&theirs), "{changes:?}");
    }
    for refused in ["ONBUILD FROM x", "HEALTHCHECK --retries=0 CMD x", "CMD [\"a\", 1]", "ENV A=${", "LABEL a", "USER"]
    {
        assert!(
            !docker.command().args(["commit", "--change", refused, &container]).output().expect("run").status.success()
        );
        bench.refused(5, ["commit", "web-2", "localhost/ours:2", "--change", refused]);
    }
}

/// The fields that say something, but for what docker says of the container it commits.
fn said(config: &Value) -> Vec<(&String, &Value)> {
    let is_said = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    let of_the_container = ["Hostname", "Domainname", "Image", "AttachStdout", "AttachStderr"];
    let fields = config.as_object().expect("an object").iter();
    let mut said: Vec<_> =
        fields.filter(|(name, value)| is_said(value) && !of_the_container.contains(&name.as_str())).collect();
    said.sort_by_key(|(name, _)| *name);
    said
}
