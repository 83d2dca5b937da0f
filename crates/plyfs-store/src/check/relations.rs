//! The look-ups and totals that follow from the records, against those that are there.
//!
//! Both are written in the commit that writes the record, so they differ only where something else went wrong. A
//! user's look-up that is missing is the worst of it: the layer could be pruned under its users.

use std::collections::BTreeSet;

use plyfs_diff::Usage;
use plyfs_journal::Snapshot;
use plyfs_link::LayerId;

use super::finding::{FindingKind, Severity};
use super::repair::{Change, Fix};
use super::{Check, report};
use crate::key::Leased;
use crate::record::LayerRecord;
use crate::{Digest, LeaseId, Result, User, key};

/// A record as the check saw it: nothing is changed once it has become another.
type Seen = (Vec<u8>, Option<Vec<u8>>);

/// A look-up that should be there and is not, or cannot be read, and the record it follows from.
struct Missing {
    key: Vec<u8>,
    value: Vec<u8>,
    because: Vec<u8>,
    subject: String,
    error: Option<String>,
}

/// The keys of all look-ups that follow from a record: one for each is what a check of many layers can hold.
#[derive(Default)]
struct Expected {
    keys: BTreeSet<Box<[u8]>>,
    missing: Vec<Missing>,
}

impl Expected {
    /// Looks for one of them, unless it follows from another record as well.
    fn look_for(&mut self, snapshot: &Snapshot, key: Vec<u8>, value: &[u8], because: &[u8], subject: &str) {
        if !self.keys.insert(key.as_slice().into()) {
            return;
        }
        let error = match snapshot.get(&key) {
            Ok(Some(found)) if found == value => return,
            Ok(_) => None,
            Err(error) => Some(report(&error)),
        };
        let (value, because, subject) = (value.to_vec(), because.to_vec(), subject.to_owned());
        self.missing.push(Missing { key, value, because, subject, error });
    }
}

impl Check<'_> {
    pub(super) fn relations(&mut self) -> Result<()> {
        self.totals();
        let Expected { keys, missing } = self.expected();
        for missing in missing {
            self.missing(missing)?;
        }
        if self.is_complete {
            key::LOOK_UPS.into_iter().try_for_each(|kind| self.strays_below(kind, &keys))?;
        }
        Ok(())
    }

    fn expected(&self) -> Expected {
        let mut all = Expected::default();
        for layer in self.layers.values() {
            self.expect_chain(&mut all, layer);
        }
        let mut expect = |key: Vec<u8>, value: &[u8], because: &[u8], subject: &str| {
            all.look_for(&self.snapshot, key, value, because, subject);
        };
        for layer in self.layers.values() {
            let (own, subject) = (key::layer(layer.id), format!("layer {}", layer.id));
            if let Some(parent) = layer.parent {
                expect(key::user(parent, &User::Layer(layer.id)), &[], &own, &subject);
            }
            for blob in &layer.blobs {
                expect(key::blob_layer(&blob.digest, layer.id), &[], &own, &subject);
            }
        }
        for container in &self.containers {
            let (own, subject) = (key::container(&container.name), format!("container {}", container.name));
            let name = container.name.as_str().as_bytes();
            expect(key::container_directory(container.layer).into(), name, &own, &subject);
            if let Some(parent) = container.parent {
                expect(key::user(parent, &User::Container(container.layer)), &[], &own, &subject);
            }
            if let Some(image) = container.image.filter(|image| self.images.contains_key(image)) {
                expect(key::image_container(&image, container.layer), &[], &own, &subject);
            }
        }
        for image in self.images.values() {
            let (own, subject) = (key::image(&image.id), format!("image {}", image.id));
            if let Some(top) = image.top {
                expect(key::user(top, &User::Image(image.id)), &[], &own, &subject);
            }
            if let Some(manifest) = &image.manifest {
                expect(key::manifest_image(manifest, &image.id), &[], &own, &subject);
            }
        }
        for (key, _) in self.snapshot.scan(key::LEASED).flatten() {
            let Some((lease, leased)) = key::parse_leased(&key).ok().filter(|kept| self.is_kept(kept)) else {
                continue;
            };
            let back = match leased {
                Leased::Layer(layer) => key::user(layer, &User::Lease(lease)),
                Leased::Image(image) => key::image_lease(&image, lease),
            };
            expect(back, &[], &key, &format!("lease {lease}"));
        }
        for (key, value) in self.snapshot.scan(key::CACHE).flatten() {
            let (Ok(cached), Ok(id)) = (key::id(&key), <[u8; 32]>::try_from(value.as_slice())) else { continue };
            let layer = LayerId::from_bytes(id);
            if self.layers.contains_key(&layer) {
                let found_by = key::layer_cached(layer, &Digest::from_bytes(cached));
                expect(found_by, &[], &key, &format!("layer {layer}"));
            }
        }
        for (key, value) in self.snapshot.scan(key::TAGS).flatten() {
            let (Ok(name), Ok(id)) = (key::text(&key, 1).and_then(str::parse), <[u8; 32]>::try_from(value.as_slice()))
            else {
                continue;
            };
            let image = Digest::from_bytes(id);
            if self.images.contains_key(&image) {
                expect(key::image_name(&image, &name), &[], &key, &format!("image {name}"));
            }
        }
        all
    }

    /// A layer is found by its chain, unless another that is the same chain is: then it is known as its twin.
    fn expect_chain(&self, all: &mut Expected, layer: &LayerRecord) {
        let Some(chain) = &layer.chain_id else { return };
        let key = key::chain(chain);
        let found = self.snapshot.get(&key).ok().flatten().and_then(|id| id.try_into().ok()).map(LayerId::from_bytes);
        let is_one = |id: &LayerId| self.layers.get(id).is_some_and(|there| there.chain_id == layer.chain_id);
        // A layer whose record cannot be read may be it.
        let found = found.filter(|id| !self.is_complete || is_one(id));
        let is_found = found.map_or(!all.keys.contains(key.as_slice()), |found| found == layer.id);
        let (key, value) =
            if is_found { (key.to_vec(), &layer.id.as_bytes()[..]) } else { (key::twin(chain, layer.id), &[][..]) };
        all.look_for(&self.snapshot, key, value, &key::layer(layer.id), &format!("layer {}", layer.id));
    }

    fn missing(&mut self, Missing { key, value, because, subject, error }: Missing) -> Result<()> {
        if let Some(error) = error {
            self.find(Severity::Error, FindingKind::RecordUnreadable, "journal", error, None);
            return Ok(());
        }
        let problem = format!("the journal lacks the look-up {}", shown(&key));
        let fix = Fix::Records { seen: self.seen(&because)?, change: Change { key, value: Some(value) } };
        self.find(Severity::Error, FindingKind::RelationMissing, subject, problem, Some(fix));
        Ok(())
    }

    fn strays_below(&mut self, kind: &[u8], expected: &BTreeSet<Box<[u8]>>) -> Result<()> {
        let keys = self.snapshot.scan(kind).flatten();
        let strays: Vec<_> = keys.filter(|(key, value)| !self.follows(kind, key, value, expected)).collect();
        for (key, value) in strays {
            let fix =
                Fix::Records { seen: (key.clone(), Some(value)), change: Change { key: key.clone(), value: None } };
            // A name that means no image is what a person sees.
            let severity = if kind == key::TAGS { Severity::Error } else { Severity::Warning };
            let problem = format!("the look-up {} follows from no record", shown(&key));
            self.find(severity, FindingKind::RelationStray, "journal", problem, Some(fix));
        }
        Ok(())
    }

    fn follows(&self, kind: &[u8], key: &[u8], value: &[u8], expected: &BTreeSet<Box<[u8]>>) -> bool {
        let id = || <[u8; 32]>::try_from(value).ok();
        match kind {
            key::CACHE => id().is_some_and(|id| self.layers.contains_key(&LayerId::from_bytes(id))),
            key::LEASED => key::parse_leased(key).is_ok_and(|kept| self.is_kept(&kept)),
            key::TAGS => id().is_some_and(|id| self.images.contains_key(&Digest::from_bytes(id))),
            key::IMAGES if !key::is_image_name(key) => true,
            _ => expected.contains(key),
        }
    }

    /// Says whether there are a lease and what it keeps.
    fn is_kept(&self, (lease, leased): &(LeaseId, Leased)) -> bool {
        let is_there = match leased {
            Leased::Layer(layer) => self.layers.contains_key(layer),
            Leased::Image(image) => self.images.contains_key(image),
        };
        is_there && self.snapshot.contains(&key::lease(*lease)).unwrap_or(true)
    }

    /// Compares every chain's depth and usage with what its layers add up to.
    fn totals(&mut self) {
        let mut wrong = Vec::new();
        for layer in self.layers.values() {
            let below = match layer.parent {
                None => (Usage::default(), 0),
                Some(parent) => match self.layers.get(&parent) {
                    Some(parent) => (parent.chain, parent.depth),
                    None => continue,
                },
            };
            let (chain, depth) = (below.0 + layer.own, below.1 + 1);
            if layer.chain != chain || layer.depth != depth {
                wrong.push((layer.clone(), LayerRecord { chain, depth, ..layer.clone() }));
            }
        }
        for (layer, right) in wrong {
            let change = Change { key: key::layer(layer.id).into(), value: Some(right.encode()) };
            let fix = Fix::Records { seen: (key::layer(layer.id).into(), Some(layer.encode())), change };
            let (subject, problem) = (format!("layer {}", layer.id), "its chain's depth or usage does not add up");
            self.find(Severity::Warning, FindingKind::TotalsWrong, subject, problem, Some(fix));
        }
    }

    fn seen(&self, key: &[u8]) -> Result<Seen> {
        Ok((key.to_vec(), self.snapshot.get(key)?))
    }
}

/// A key as its letter, its id in hexadecimal digits and what is behind.
fn shown(key: &[u8]) -> String {
    let text = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    match key {
        [letter @ (b't' | b'n'), name @ ..] => format!("{} {}", char::from(*letter), String::from_utf8_lossy(name)),
        [b'i', rest @ ..] if rest.len() > 32 => {
            format!("i {} {}", text(&rest[..32]), String::from_utf8_lossy(&rest[32..]))
        }
        [b'u', rest @ ..] if rest.len() == 65 => {
            format!("u {} {} {}", text(&rest[..32]), char::from(rest[32]), text(&rest[33..]))
        }
        [letter, rest @ ..] => format!("{} {}", char::from(*letter), text(rest)),
        [] => String::new(),
    }
}
