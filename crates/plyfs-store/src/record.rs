//! What the journal says of layers, containers, images, leases and removals.
//!
//! A record is a list of tagged fields. Fields this version does not know are kept as they are when a record
//! is written again. The tags stand in ARCHITECTURE.md; a tag is never given another meaning.

use std::collections::BTreeMap;

use plyfs_diff::{Digest, Usage};
use plyfs_journal::Record;
use plyfs_link::{LayerId, LinkId};

use crate::{ContainerName, Error, ErrorKind, KeptBlob, LeaseId, Reference, Result};

mod tag {
    pub(super) const LINK: u16 = 1;
    pub(super) const PARENT: u16 = 2;
    pub(super) const DIFF_ID: u16 = 3;
    pub(super) const CHAIN_ID: u16 = 4;
    pub(super) const OWN: u16 = 5;
    pub(super) const CHAIN: u16 = 6;
    pub(super) const DEPTH: u16 = 7;
    pub(super) const ARCHIVE_SIZE: u16 = 8;
    pub(super) const CREATED: u16 = 9;
    pub(super) const LAYER: u16 = 10;
    pub(super) const IMAGE: u16 = 11;
    pub(super) const IMAGE_NAME: u16 = 12;
    pub(super) const READ_ONLY: u16 = 13;
    pub(super) const LABELS: u16 = 14;
    pub(super) const MANIFEST: u16 = 15;
    pub(super) const BUILT: u16 = 16;
    pub(super) const ARCHITECTURE: u16 = 17;
    pub(super) const OS: u16 = 18;
    pub(super) const EXPIRES: u16 = 19;
    pub(super) const SURVIVES: u16 = 20;
    pub(super) const BLOBS: u16 = 21;
}

/// A layer: what it stands on, what it holds, how big it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerRecord {
    pub(crate) id: LayerId,
    pub(crate) link: LinkId,
    pub(crate) parent: Option<LayerId>,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) chain_id: Option<Digest>,
    /// What the layer itself takes.
    pub(crate) own: Usage,
    /// What it and all its ancestors take.
    pub(crate) chain: Usage,
    /// How many layers the chain has, this one counted.
    pub(crate) depth: u64,
    pub(crate) archive_size: Option<u64>,
    pub(crate) created: u64,
    /// The compressed forms it came in and that were kept.
    pub(crate) blobs: Vec<KeptBlob>,
    pub(crate) rest: Record,
}

impl LayerRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = self.rest.clone();
        record.set_text(tag::LINK, self.link.as_str());
        set_id(&mut record, tag::PARENT, self.parent.as_ref().map(LayerId::as_bytes));
        set_id(&mut record, tag::DIFF_ID, self.diff_id.as_ref().map(Digest::as_bytes));
        set_id(&mut record, tag::CHAIN_ID, self.chain_id.as_ref().map(Digest::as_bytes));
        set_usage(&mut record, tag::OWN, self.own);
        set_usage(&mut record, tag::CHAIN, self.chain);
        record.set_u64(tag::DEPTH, self.depth);
        if let Some(size) = self.archive_size {
            record.set_u64(tag::ARCHIVE_SIZE, size);
        }
        record.set_u64(tag::CREATED, self.created);
        match self.blobs.is_empty() {
            true => record.remove(tag::BLOBS),
            false => record.set_bytes(tag::BLOBS, &encode_blobs(&self.blobs)),
        }
        record.encode()
    }

    pub(crate) fn decode(id: LayerId, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::decode("layer", &id, bytes)?;
        Ok(Self {
            id,
            link: fields.link()?,
            parent: fields.id(tag::PARENT)?.map(LayerId::from_bytes),
            diff_id: fields.id(tag::DIFF_ID)?.map(Digest::from_bytes),
            chain_id: fields.id(tag::CHAIN_ID)?.map(Digest::from_bytes),
            own: fields.usage(tag::OWN)?,
            chain: fields.usage(tag::CHAIN)?,
            depth: fields.number(tag::DEPTH)?,
            archive_size: fields.try_number(tag::ARCHIVE_SIZE)?,
            created: fields.number(tag::CREATED)?,
            blobs: decode_blobs(fields.record.bytes(tag::BLOBS).unwrap_or_default())
                .ok_or_else(|| fields.missing("blobs"))?,
            rest: fields.record,
        })
    }
}

/// What a mount has to know of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ancestor {
    pub(crate) id: LayerId,
    pub(crate) link: LinkId,
    pub(crate) parent: Option<LayerId>,
}

impl Ancestor {
    /// Reads no more of a layer's record than this.
    pub(crate) fn decode(id: LayerId, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::decode("layer", &id, bytes)?;
        Ok(Self { id, link: fields.link()?, parent: fields.id(tag::PARENT)?.map(LayerId::from_bytes) })
    }
}

/// A container: its own layer, what it was made of, what its owner said of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContainerRecord {
    pub(crate) name: ContainerName,
    pub(crate) layer: LayerId,
    pub(crate) link: LinkId,
    pub(crate) parent: Option<LayerId>,
    pub(crate) image: Option<Digest>,
    pub(crate) image_name: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) created: u64,
    pub(crate) rest: Record,
}

impl ContainerRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = self.rest.clone();
        record.set_bytes(tag::LAYER, self.layer.as_bytes());
        record.set_text(tag::LINK, self.link.as_str());
        set_id(&mut record, tag::PARENT, self.parent.as_ref().map(LayerId::as_bytes));
        set_id(&mut record, tag::IMAGE, self.image.as_ref().map(Digest::as_bytes));
        if let Some(name) = &self.image_name {
            record.set_text(tag::IMAGE_NAME, name);
        }
        record.set_u64(tag::READ_ONLY, u64::from(self.read_only));
        record.set_bytes(tag::LABELS, &encode_labels(&self.labels));
        record.set_u64(tag::CREATED, self.created);
        record.encode()
    }

    pub(crate) fn decode(name: ContainerName, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::decode("container", &name, bytes)?;
        Ok(Self {
            layer: fields.id(tag::LAYER)?.map(LayerId::from_bytes).ok_or_else(|| fields.missing("layer"))?,
            link: fields.link()?,
            parent: fields.id(tag::PARENT)?.map(LayerId::from_bytes),
            image: fields.id(tag::IMAGE)?.map(Digest::from_bytes),
            image_name: fields.text(tag::IMAGE_NAME)?,
            read_only: fields.number(tag::READ_ONLY)? != 0,
            labels: decode_labels(fields.record.bytes(tag::LABELS).unwrap_or_default())
                .ok_or_else(|| fields.missing("labels"))?,
            created: fields.number(tag::CREATED)?,
            rest: fields.record,
            name,
        })
    }
}

/// An image: its config's digest, its uppermost layer, and what listings show of the config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImageRecord {
    pub(crate) id: Digest,
    pub(crate) top: Option<LayerId>,
    pub(crate) manifest: Option<Digest>,
    pub(crate) created: u64,
    pub(crate) built: Option<String>,
    pub(crate) architecture: Option<String>,
    pub(crate) os: Option<String>,
    pub(crate) rest: Record,
}

impl ImageRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = self.rest.clone();
        set_id(&mut record, tag::LAYER, self.top.as_ref().map(LayerId::as_bytes));
        set_id(&mut record, tag::MANIFEST, self.manifest.as_ref().map(Digest::as_bytes));
        record.set_u64(tag::CREATED, self.created);
        let texts = [(tag::BUILT, &self.built), (tag::ARCHITECTURE, &self.architecture), (tag::OS, &self.os)];
        for (tag, text) in texts {
            if let Some(text) = text {
                record.set_text(tag, text);
            }
        }
        record.encode()
    }

    pub(crate) fn decode(id: Digest, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::decode("image", &id, bytes)?;
        Ok(Self {
            id,
            top: fields.id(tag::LAYER)?.map(LayerId::from_bytes),
            manifest: fields.id(tag::MANIFEST)?.map(Digest::from_bytes),
            created: fields.number(tag::CREATED)?,
            built: fields.text(tag::BUILT)?,
            architecture: fields.text(tag::ARCHITECTURE)?,
            os: fields.text(tag::OS)?,
            rest: fields.record,
        })
    }
}

/// A lease: how long it keeps what was made under it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeaseRecord {
    /// In seconds since the epoch, by the wall clock; counts once nobody holds the lease.
    pub(crate) expires: u64,
    /// Says whether it lives on until then without a holder.
    pub(crate) survives: bool,
    pub(crate) created: u64,
    pub(crate) rest: Record,
}

impl LeaseRecord {
    pub(crate) fn new(expires: u64, survives: bool) -> Self {
        Self { expires, survives, created: crate::store::now(), rest: Record::default() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut record = self.rest.clone();
        record.set_u64(tag::EXPIRES, self.expires);
        record.set_u64(tag::SURVIVES, u64::from(self.survives));
        record.set_u64(tag::CREATED, self.created);
        record.encode()
    }

    pub(crate) fn decode(id: LeaseId, bytes: &[u8]) -> Result<Self> {
        let fields = Fields::decode("lease", &id, bytes)?;
        Ok(Self {
            expires: fields.number(tag::EXPIRES)?,
            survives: fields.number(tag::SURVIVES)? != 0,
            created: fields.number(tag::CREATED)?,
            rest: fields.record,
        })
    }
}

/// The value of a tag or of the index from a chain or a container's directory: an id or a name.
pub(crate) fn id_value(bytes: &[u8], of: &str) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| Error::new(ErrorKind::Corrupt, format!("record of {of}: not an id")))
}

/// The link of a layer that is being removed.
pub(crate) fn encode_removal(link: LinkId) -> Vec<u8> {
    let mut record = Record::default();
    record.set_text(tag::LINK, link.as_str());
    record.encode()
}

pub(crate) fn decode_removal(layer: LayerId, bytes: &[u8]) -> Result<LinkId> {
    Fields::decode("removal", &layer, bytes)?.link()
}

/// A decoded record that names itself in errors.
struct Fields<'a> {
    record: Record,
    what: &'a str,
    id: &'a dyn std::fmt::Display,
}

impl<'a> Fields<'a> {
    fn decode(what: &'a str, id: &'a dyn std::fmt::Display, bytes: &[u8]) -> Result<Self> {
        let record = Record::decode(bytes).map_err(|e| Error::journal(format!("record of {what} {id}"), e))?;
        Ok(Self { record, what, id })
    }

    /// Names the record, for an error.
    fn name(&self) -> String {
        format!("record of {} {}", self.what, self.id)
    }

    fn missing(&self, field: &str) -> Error {
        Error::new(ErrorKind::Corrupt, format!("{}: no sound {field}", self.name()))
    }

    fn id(&self, tag: u16) -> Result<Option<[u8; 32]>> {
        let Some(bytes) = self.record.bytes(tag) else { return Ok(None) };
        let id = bytes.try_into().map_err(|_| Error::new(ErrorKind::Corrupt, format!("{}: not an id", self.name())));
        id.map(Some)
    }

    fn link(&self) -> Result<LinkId> {
        let text = self.record.text(tag::LINK).map_err(|e| Error::journal(self.name(), e))?;
        let text = text.ok_or_else(|| self.missing("link"))?;
        text.parse().map_err(|e| Error::link(self.name(), e))
    }

    fn try_number(&self, tag: u16) -> Result<Option<u64>> {
        self.record.u64(tag).map_err(|e| Error::journal(self.name(), e))
    }

    fn number(&self, tag: u16) -> Result<u64> {
        self.try_number(tag)?.ok_or_else(|| self.missing(&format!("field {tag}")))
    }

    fn text(&self, tag: u16) -> Result<Option<String>> {
        let text = self.record.text(tag).map_err(|e| Error::journal(self.name(), e))?;
        Ok(text.map(str::to_owned))
    }

    fn usage(&self, tag: u16) -> Result<Usage> {
        let bytes: Option<[u8; 24]> = self.record.bytes(tag).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| self.missing("usage"))?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of 24"));
        Ok(Usage { apparent: number(0), allocated: number(8), inodes: number(16) })
    }
}

fn set_id(record: &mut Record, tag: u16, id: Option<&[u8; 32]>) {
    match id {
        Some(id) => record.set_bytes(tag, id),
        None => record.remove(tag),
    }
}

/// Apparent bytes, allocated bytes and inodes, eight little-endian bytes each.
fn set_usage(record: &mut Record, tag: u16, usage: Usage) {
    let numbers = [usage.apparent, usage.allocated, usage.inodes];
    record.set_bytes(tag, &numbers.map(u64::to_le_bytes).concat());
}

/// Digest, size and allocated bytes of each, 48 bytes a blob.
fn encode_blobs(blobs: &[KeptBlob]) -> Vec<u8> {
    let blob = |blob: &KeptBlob| {
        let numbers = [blob.usage.apparent, blob.usage.allocated].map(u64::to_le_bytes).concat();
        [&blob.digest.as_bytes()[..], &numbers].concat()
    };
    blobs.iter().flat_map(blob).collect()
}

fn decode_blobs(bytes: &[u8]) -> Option<Vec<KeptBlob>> {
    let (blobs, rest) = bytes.as_chunks::<48>();
    let blob = |bytes: &[u8; 48]| {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of 48"));
        let digest = Digest::from_bytes(bytes[..32].try_into().expect("32 bytes of 48"));
        KeptBlob { digest, usage: Usage { apparent: number(32), allocated: number(40), inodes: 1 } }
    };
    rest.is_empty().then(|| blobs.iter().map(blob).collect())
}

/// Keys and values in turn, each behind its length in four little-endian bytes.
fn encode_labels(labels: &BTreeMap<String, String>) -> Vec<u8> {
    let texts = labels.iter().flat_map(|(key, value)| [key, value]);
    texts.fold(Vec::new(), |mut bytes, text| {
        let length = u32::try_from(text.len()).expect("a label is bounded where it is set");
        bytes.extend(length.to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes
    })
}

fn decode_labels(mut bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    while !bytes.is_empty() {
        let key = take_text(&mut bytes)?;
        labels.insert(key, take_text(&mut bytes)?);
    }
    Some(labels)
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

/// The name of an image in a key.
pub(crate) fn reference(text: &str) -> Result<Reference> {
    let wrong = || Error::new(ErrorKind::Corrupt, format!("journal holds the name {text:?}"));
    Reference::recorded(text).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_keep_fields_they_do_not_know() {
        let mut rest = Record::default();
        rest.set_text(999, "from a later version");
        let record = ContainerRecord {
            name: "web-1".parse().expect("a name"),
            layer: LayerId::random(),
            link: LinkId::random(),
            parent: Some(LayerId::random()),
            image: Some(Digest::of(b"config")),
            image_name: Some("svc:1".to_owned()),
            read_only: true,
            labels: BTreeMap::from([("a".to_owned(), "\u{e4}".to_owned()), (String::new(), String::new())]),
            created: 1_700_000_000,
            rest,
        };
        let back = ContainerRecord::decode(record.name.clone(), &record.encode()).expect("its own bytes");
        assert_eq!(back.rest.text(999).expect("text"), Some("from a later version"));
        assert_eq!(ContainerRecord { rest: record.rest.clone(), ..back }, record);
    }

    #[test]
    fn the_blobs_of_a_layer_read_back_and_half_a_blob_is_damage() {
        let blob = |text: &str, apparent| KeptBlob {
            digest: Digest::of(text),
            usage: Usage { apparent, allocated: apparent + 1, inodes: 1 },
        };
        let blobs = vec![blob("one", 1), blob("two", u64::MAX - 1)];
        let bytes = encode_blobs(&blobs);
        assert_eq!(decode_blobs(&bytes), Some(blobs));
        assert_eq!(decode_blobs(&bytes[..60]), None);
    }

    #[test]
    fn a_record_that_lost_a_field_names_its_owner() {
        let id = LayerId::random();
        let error = LayerRecord::decode(id, &Record::default().encode()).expect_err("no link");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&id.to_string()), "{error}");
    }
}
