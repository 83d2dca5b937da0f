//! Which fields the documents have that are read, and where: what other programs would take for one of them is found by this.
//!
//! Go, in which most of these programs are written, reads `"OS"` as `os`, and of two spelt so it takes the last. A list in the
//! place of an object is one to serde, of a struct's values in a row. Keys that are anybody's, such as those of labels, are
//! [`Kind::Any`], and differ by case.

/// What a value of a document is to whoever reads it.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Something that nothing is known of.
    Any,
    /// An object with these fields among others.
    Object(Names),
    /// The same, but a field may be spelt in another case, if only once: what people write by hand, and others take.
    ByHand(Names),
    /// A list of such values.
    List(&'static Kind),
}

type Names = &'static [(&'static str, &'static Kind)];

impl Kind {
    /// The field that a key is, or would be to those who do not mind case: its name and kind.
    pub(crate) fn field(&self, key: &str) -> Option<(&'static str, &'static Self)> {
        let (Self::Object(names) | Self::ByHand(names)) = self else { return None };
        names.iter().find(|(name, _)| is_same(name, key)).copied()
    }
}

/// Says whether Go takes a key for a field: by Unicode's folding, two letters of which are ASCII in other cases.
pub(super) fn is_same(name: &str, key: &str) -> bool {
    let folded = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(folded).eq(key.chars().map(folded))
}

const ANY: &Kind = &Kind::Any;

/// A pointer to a blob.
static DESCRIPTOR: Kind = Kind::Object(&[
    ("mediaType", ANY),
    ("digest", ANY),
    ("size", ANY),
    ("urls", ANY),
    ("annotations", ANY),
    ("platform", &PLATFORM),
    ("artifactType", ANY),
]);

static PLATFORM: Kind = Kind::Object(&[("os", ANY), ("architecture", ANY), ("variant", ANY)]);

/// A manifest or an index: what is one may not be the other.
pub(crate) static MANIFEST: Kind = Kind::Object(&[
    ("schemaVersion", ANY),
    ("mediaType", ANY),
    ("artifactType", ANY),
    ("config", &DESCRIPTOR),
    ("layers", &Kind::List(&DESCRIPTOR)),
    ("manifests", &Kind::List(&DESCRIPTOR)),
    ("subject", &DESCRIPTOR),
    ("annotations", ANY),
]);

/// The file that says a tree is an OCI layout.
pub(crate) static LAYOUT: Kind = Kind::Object(&[("imageLayoutVersion", ANY)]);

/// The list of images in a docker-archive.
pub(crate) static ENTRIES: Kind = Kind::List(&Kind::Object(&[("Config", ANY), ("RepoTags", ANY), ("Layers", ANY)]));

/// The config of an image.
pub(crate) static CONFIG: Kind = Kind::Object(&[
    ("created", ANY),
    ("author", ANY),
    ("architecture", ANY),
    ("variant", ANY),
    ("os", ANY),
    ("os.version", ANY),
    ("os.features", ANY),
    ("config", &EXECUTION),
    ("container_config", &EXECUTION),
    ("rootfs", &Kind::Object(&[("type", ANY), ("diff_ids", ANY)])),
    ("history", &Kind::List(&TOLD)),
]);

static TOLD: Kind =
    Kind::Object(&[("created", ANY), ("created_by", ANY), ("author", ANY), ("comment", ANY), ("empty_layer", ANY)]);

/// What a config says of containers.
pub(crate) static EXECUTION: Kind = Kind::ByHand(&[
    ("User", ANY),
    ("ExposedPorts", ANY),
    ("Env", ANY),
    ("Entrypoint", ANY),
    ("Cmd", ANY),
    ("Volumes", ANY),
    ("WorkingDir", ANY),
    ("Labels", ANY),
    ("StopSignal", ANY),
    ("StopTimeout", ANY),
    ("Shell", ANY),
    ("OnBuild", ANY),
    ("Healthcheck", &HEALTH),
    // What docker adds.
    ("Hostname", ANY),
    ("Domainname", ANY),
    ("MacAddress", ANY),
    ("Image", ANY),
    ("AttachStdin", ANY),
    ("AttachStdout", ANY),
    ("AttachStderr", ANY),
    ("OpenStdin", ANY),
    ("StdinOnce", ANY),
    ("Tty", ANY),
    ("NetworkDisabled", ANY),
    ("ArgsEscaped", ANY),
]);

/// What a config says of the check of a container.
pub(crate) static HEALTH: Kind = Kind::ByHand(&[
    ("Test", ANY),
    ("Interval", ANY),
    ("Timeout", ANY),
    ("StartPeriod", ANY),
    ("StartInterval", ANY),
    ("Retries", ANY),
]);
