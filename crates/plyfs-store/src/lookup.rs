//! Finding things by what people type: names, ids, the beginning of an id.

use data_encoding::HEXLOWER;
use plyfs_journal::Snapshot;

use crate::{Container, Digest, Error, ErrorKind, Image, Layer, Reference, Result, Store, key, record};

/// The fewest digits that stand for an id.
const MIN_PREFIX: usize = 4;

/// What [`Store::inspect`] found.
#[derive(Clone, Debug)]
pub enum Inspected {
    /// A container of that name.
    Container(Container),
    /// An image of that name or id.
    Image(Image),
    /// A layer of that id.
    Layer(Layer),
}

impl Store {
    /// Finds a container by name, else an image by name or id, else a layer by id.
    pub fn inspect(&self, what: &str) -> Result<Inspected> {
        match self.container(what) {
            Err(error) if is_absence(&error) => {}
            result => return result.map(Inspected::Container),
        }
        match self.image(what) {
            Err(error) if is_absence(&error) => {}
            result => return result.map(Inspected::Image),
        }
        match self.layer(what) {
            Err(error) if is_absence(&error) => {
                Err(Error::new(ErrorKind::NotFound, format!("no container, image or layer {what:?}")))
            }
            result => result.map(Inspected::Layer),
        }
    }

    /// Finds an image: by its name, then below `docker.io/library/`, then below `localhost/`, then by its id
    /// or the only id that begins with these four or more digits.
    pub fn image(&self, name_or_id: &str) -> Result<Image> {
        let snapshot = self.snapshot()?;
        let found = match name_or_id.parse::<Reference>() {
            Ok(name) => by_name(&snapshot, &name)?,
            Err(_) => None,
        };
        let digits = name_or_id.strip_prefix("sha256:").unwrap_or(name_or_id);
        let found = match found {
            Some(id) => Some(id),
            None => by_prefix(&snapshot, key::images_from, digits, "image")?.map(Digest::from_bytes),
        };
        let id = found.ok_or_else(|| Error::absent(format!("image {name_or_id:?}")))?;
        self.image_in(&snapshot, id)
    }
}

fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput)
}

/// What a name may stand for, in the order in which it is looked for.
pub(crate) fn spellings(name: &Reference) -> impl Iterator<Item = Reference> {
    let below = ["docker.io/library/", "localhost/"].map(|prefix| name.below(prefix));
    std::iter::once(name.clone()).chain(below)
}

fn by_name(snapshot: &Snapshot, name: &Reference) -> Result<Option<Digest>> {
    for name in spellings(name) {
        let id = snapshot.read(&key::tag(&name), |id| record::id_value(id, name.as_str()))?;
        if let Some(id) = id.transpose()? {
            return Ok(Some(Digest::from_bytes(id)));
        }
    }
    Ok(None)
}

/// The only id of a kind that begins with these digits, or the whole id as given, there or not; several are
/// [`ErrorKind::InvalidInput`].
pub(crate) fn by_prefix(
    snapshot: &Snapshot,
    keys_from: impl Fn(&[u8]) -> Vec<u8>,
    digits: &str,
    what: &str,
) -> Result<Option<[u8; 32]>> {
    let mut id = [0; 32];
    if digits.len() == 2 * id.len() {
        // Whether it is there is told by whoever reads its record.
        return Ok(HEXLOWER.decode_mut(digits.as_bytes(), &mut id).is_ok().then_some(id));
    }
    let is_hex = digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex || !(MIN_PREFIX..2 * id.len()).contains(&digits.len()) {
        return Ok(None);
    }
    let whole = &digits[..digits.len() & !1];
    let bytes = HEXLOWER.decode(whole.as_bytes()).expect("an even number of digits");
    let mut found = None;
    for entry in snapshot.scan(&keys_from(&bytes)) {
        let id = key::id(&entry?.0)?;
        if !HEXLOWER.encode(&id).starts_with(digits) {
            continue;
        }
        if found.replace(id).is_some_and(|other| other != id) {
            return Err(Error::new(ErrorKind::InvalidInput, format!("several {what}s begin with {digits}")));
        }
    }
    Ok(found)
}
