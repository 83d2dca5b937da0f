//! The containers of the demo: made, mounted, changed from inside, measured, removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::image::CONFIG;
use super::plyfs::Plyfs;
use crate::run::{check, command, output};

/// What runs first in the new namespaces: /proc of the container, then its root. `$1` is the root, the rest a command.
const ENTER: &str = r#"root=$1; shift; mount -t proc proc "$root/proc" && exec chroot "$root" "$@""#;

/// What runs in each container; it prints its own process id as its /proc tells it.
const CHANGE: &str =
    r#"echo "instance=$1" >> /app/config.properties && read -r pid rest < /proc/self/stat && echo "$pid""#;

/// One mounted container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    root: PathBuf,
    /// Creating and mounting it, two commands.
    took: Duration,
}

impl Container {
    fn make(store: &Plyfs, image: &str, name: &str) -> Result<Self> {
        let started = Instant::now();
        let name = store.ask(&["create", image, name])?.trim_end().to_owned();
        let root = PathBuf::from(store.ask(&["mount", &name])?.trim_end_matches('\n'));
        Ok(Self { name, root, took: started.elapsed() })
    }

    /// Runs a command in it as a container engine would, on the smallest scale: own mounts, own processes, own root.
    fn run(&self, program: &[&str]) -> Result<String> {
        let mut enter = command("unshare");
        enter.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--"]);
        enter.args(["sh", "-c", ENTER, "enter"]).arg(&self.root).args(program);
        enter.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        output(&mut enter).with_context(|| format!("in {}", self.name))
    }

    fn change_config(&self) -> Result<()> {
        let pid = self.run(&["/bin/sh", "-c", CHANGE, "change", &self.name])?;
        // The first process of its namespace: the /proc it reads is its own.
        if pid.trim() != "1" {
            bail!("{}: process {} of a namespace of its own", self.name, pid.trim());
        }
        Ok(())
    }

    /// The lines that containers added, as this one sees them.
    fn instances(&self) -> Result<Vec<String>> {
        let file = self.root.join(CONFIG);
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(text.lines().filter_map(|line| line.strip_prefix("instance=")).map(str::to_owned).collect())
    }

    /// What `java -version` says in it.
    pub(super) fn java_version(&self, java: &Path) -> Result<String> {
        let java = java.to_str().context("the path of java is not UTF-8")?;
        let said = self.run(&["/bin/sh", "-c", r#""$1" -version 2>&1"#, "java", java])?;
        Ok(said.trim_end().to_owned())
    }

    /// Copies its whole root, as an engine without layers would, and says how long that took.
    pub(super) fn copy(&self, to: &Path) -> Result<Duration> {
        let started = Instant::now();
        check(command("cp").arg("-a").arg(&self.root).arg(to))?;
        let took = started.elapsed();
        fs::remove_dir_all(to).with_context(|| format!("delete {}", to.display()))?;
        Ok(took)
    }
}

/// All containers of the demo, at least one.
#[derive(Debug)]
pub(super) struct Fleet {
    store: Plyfs,
    containers: Vec<Container>,
}

impl Fleet {
    pub(super) fn make(store: &Plyfs, image: &str, count: u32) -> Result<Self> {
        let started = Instant::now();
        let name = |n| format!("demo-{n:03}");
        let containers = (0..count).map(|n| Container::make(store, image, &name(n))).collect::<Result<Vec<_>>>()?;
        println!("    {} in {}", name_range(&containers), super::duration(started.elapsed()));
        Ok(Self { store: store.clone(), containers })
    }

    pub(super) fn first(&self) -> &Container {
        self.containers.first().expect("there is at least one")
    }

    pub(super) fn last(&self) -> &Container {
        self.containers.last().expect("there is at least one")
    }

    /// Changes the file in each, then looks into all: each sees its own change and no other.
    pub(super) fn change_config(&self) -> Result<()> {
        self.containers.iter().try_for_each(Container::change_config)?;
        for container in &self.containers {
            let seen = container.instances()?;
            if seen != [container.name.as_str()] {
                bail!("{}: sees the changes of {seen:?}", container.name);
            }
        }
        Ok(())
    }

    /// How long each took to create and mount.
    pub(super) fn timings(&self) -> Vec<Duration> {
        self.containers.iter().map(|container| container.took).collect()
    }

    /// Unmounts and removes all.
    pub(super) fn end(self) -> Result<()> {
        for container in &self.containers {
            self.store.quiet(&["umount", &container.name])?;
        }
        let mut rm = vec!["rm"];
        rm.extend(self.containers.iter().map(|container| container.name.as_str()));
        self.store.quiet(&rm)?;
        println!("    {} unmounted and removed", name_range(&self.containers));
        Ok(())
    }
}

fn name_range(containers: &[Container]) -> String {
    match containers {
        [] => "none".to_owned(),
        [only] => only.name.clone(),
        [first, .., last] => format!("{} to {}", first.name, last.name),
    }
}

/// What `plyfs df --measure` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) objects: [u64; 3],
    /// Bytes of all layers, each stored once.
    pub(super) stored: u64,
    /// Bytes a full copy for each container would take.
    pub(super) as_copies: u64,
    /// Bytes the containers wrote.
    pub(super) own: u64,
}

impl Added {
    pub(super) fn measure(store: &Plyfs) -> Result<Self> {
        Self::read(&store.json(&["df", "--measure"])?)
    }

    fn read(df: &Value) -> Result<Self> {
        let number = |path: &str| df.pointer(path).and_then(Value::as_u64).with_context(|| format!("df: no {path}"));
        let containers = df.get("containers").and_then(Value::as_array).context("df: no list of containers")?;
        Ok(Self {
            objects: [number("/images")?, number("/layers")?, containers.len() as u64],
            stored: number("/stored/allocated_bytes")?,
            as_copies: number("/as_copies/allocated_bytes")?,
            own: number("/containers_own/allocated_bytes")?,
        })
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self { objects: [0; 3], stored: 0, as_copies: 0, own: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn df_is_read_and_a_missing_number_is_named() {
        let mut df = json!({
            "images": 1, "layers": 3, "containers": [{}, {}],
            "stored": { "apparent_bytes": 1, "allocated_bytes": 2 },
            "as_copies": { "allocated_bytes": 200 },
            "containers_own": { "allocated_bytes": 7 },
        });
        let added = Added::read(&df).expect("all there");
        assert_eq!(added, Added { objects: [1, 3, 2], stored: 2, as_copies: 200, own: 7 });
        assert!(!added.is_zero());
        df["stored"] = json!({});
        assert_eq!(Added::read(&df).expect_err("one is missing").to_string(), "df: no /stored/allocated_bytes");
    }
}
