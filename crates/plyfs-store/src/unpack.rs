//! Changesets unpacked into layers of an operation: onto their parent, or aside, before it is there.
//!
//! A layer that is unpacked aside is complete but for what its parent decides; [`Operation::put`] finishes it. So the
//! layers of one image can be unpacked at once, each by a thread of its own.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use plyfs_diff::{Applied, ApplyOptions, Chain, Dialect, Digested, Filler, digested, settle};
use plyfs_link::{LayerId, LinkId, MAX_LOWERS};
use plyfs_sys::fs;
use rustix::fs::{Mode, OFlags};

use crate::early_sync::Counted;
use crate::frames::Frames;
use crate::operation::{AppliedLayer, Operation};
use crate::record::LayerRecord;
use crate::store::now;
use crate::{DiffId, Error, ErrorKind, Progress, Result, Stage, chain_id, layout};

/// The compression of tar-split records: they are hex and base64, and shrink well at the cheapest level.
const TAR_SPLIT_LEVEL: i32 = 1;

/// How many bytes the layers of one operation hold of what they could not keep, and of what waits for their parents: each has a
/// bound of its own, but there may be thousands. A layer that would exceed it counts its losses and is applied anew later.
const HELD_MOST: usize = 32 << 20;

/// A layer that was unpacked before its parent was known, in the operation that made it.
#[derive(Debug)]
#[must_use = "a layer that is not put onto its parent is dropped with the operation"]
pub struct UnpackedLayer {
    id: LayerId,
    link: LinkId,
    applied: Applied,
}

impl Operation {
    /// Unpacks a changeset into a new layer upon `parent`, which is published or staged in this operation.
    ///
    /// The archive is read to its end. With `expected`, another digest is [`ErrorKind::Corrupt`]; without, so is an archive that
    /// stops within the last block of a file. Where the same
    /// changeset stands on the same chain already, that layer is the answer and what was unpacked is dropped. Upon a chain
    /// as deep as the kernel stacks, 500, it is [`ErrorKind::InvalidInput`].
    pub fn apply(
        &mut self,
        archive: &mut dyn Read,
        parent: Option<LayerId>,
        expected: Option<&DiffId>,
    ) -> Result<AppliedLayer> {
        self.apply_digested(&mut digested(archive), parent, expected)
    }

    /// Unpacks a changeset that is digested by whoever makes it, as [`Self::apply`] does.
    pub fn apply_digested(
        &mut self,
        archive: &mut dyn Digested,
        parent: Option<LayerId>,
        expected: Option<&DiffId>,
    ) -> Result<AppliedLayer> {
        self.apply_onto(archive, parent, expected, None)
    }

    /// Unpacks a changeset that names each path once, as one that is exported does, while whoever has `filler` may fill small
    /// files; else it does what [`Self::apply_digested`] does.
    pub fn apply_sharing(
        &mut self,
        archive: &mut dyn Digested,
        parent: Option<LayerId>,
        filler: &Filler,
    ) -> Result<AppliedLayer> {
        self.apply_onto(archive, parent, None, Some(filler))
    }

    fn apply_onto(
        &mut self,
        archive: &mut dyn Digested,
        parent: Option<LayerId>,
        expected: Option<&DiffId>,
        filler: Option<&Filler>,
    ) -> Result<AppliedLayer> {
        let below = parent.map(|id| self.base(id)).transpose()?;
        let chain = self.chain(below.as_ref())?;
        let unpacked = self.unpack(archive, &chain, expected, filler)?;
        self.add(unpacked, below.as_ref())
    }

    /// Unpacks a changeset whose parent is not known yet; several threads may do so at once.
    ///
    /// The archive is read to its end. With `expected`, another digest is [`ErrorKind::Corrupt`].
    pub fn unpack_aside(&self, archive: &mut dyn Digested, expected: Option<&DiffId>) -> Result<UnpackedLayer> {
        self.unpack(archive, &Chain::unknown(Dialect::Trusted), expected, None)
    }

    /// Puts a layer that was unpacked aside onto `parent`, which is published or staged in this operation.
    ///
    /// The layer becomes what [`Self::apply`] upon that parent had made of its changeset. Where that stands on the same
    /// chain already, that layer is the answer and what was unpacked is dropped. Now and then, also where the layer is applied
    /// anew, `progress` is asked whether to go on.
    pub fn put(
        &mut self,
        unpacked: UnpackedLayer,
        parent: Option<LayerId>,
        progress: Progress<'_>,
    ) -> Result<AppliedLayer> {
        let below = parent.map(|id| self.base(id)).transpose()?;
        let UnpackedLayer { id, link, applied } = unpacked;
        let asking = Asking::of(&applied, progress);
        asking.ask()?;
        let applied = if applied.deferred.is_empty() {
            applied
        } else {
            let mut settled = self.settle(id, &applied, below.as_ref(), asking)?;
            self.held.fetch_sub(applied.weight(), Ordering::Relaxed);
            self.hold(&mut settled);
            settled
        };
        self.add(UnpackedLayer { id, link, applied }, below.as_ref())
    }

    /// The record of the layer that a new one is put upon.
    ///
    /// Of a chain deeper than the kernel stacks no container could be made, so a layer that would be too many is refused
    /// here, before it is unpacked.
    fn base(&self, id: LayerId) -> Result<LayerRecord> {
        let base = self.parent(id)?;
        if base.depth < MAX_LOWERS as u64 {
            return Ok(base);
        }
        let message =
            format!("layer {id}: one upon it would be the {}th, and the kernel stacks {MAX_LOWERS}", base.depth + 1);
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// Makes a layer's directories and unpacks into them.
    fn unpack(
        &self,
        archive: &mut dyn Digested,
        chain: &Chain,
        expected: Option<&DiffId>,
        filler: Option<&Filler>,
    ) -> Result<UnpackedLayer> {
        self.store().require_root("unpacking a layer")?;
        let (id, link) = (LayerId::random(), LinkId::random());
        self.marker(&layout::staged_marker(id, link))?;
        self.store().reached("stage 1");
        let name = id.to_string();
        let directory = || -> plyfs_sys::Result<OwnedFd> {
            fs::make_dir_at(self.dir(), &name, Mode::from_raw_mode(0o710))?;
            let layer = fs::open_dir_at(self.dir(), &name)?;
            fs::make_dir_at(&layer, plyfs_link::DIFF, Mode::from_raw_mode(0o755))?;
            fs::open_dir_at(&layer, plyfs_link::DIFF)
        };
        let diff = directory().map_err(|e| self.failed("new layer", e))?;
        let mut record = self.new_record(id)?;
        let named = || match expected {
            Some(diff_id) => format!("layer {diff_id}"),
            None => "new layer".to_owned(),
        };
        let store = &self.store().0;
        let starts_writing = store.durability.is_durable() && !store.early_sync.is_wanted();
        let mut options = ApplyOptions::default().start_writing(starts_writing).vouched_by_nobody(expected.is_none());
        if let Some(filler) = filler {
            options = options.share_filling(filler).names_once(true);
        }
        let mut archive = Counted::new(archive, self.store());
        let mut applied = plyfs_diff::apply_digested(&mut archive, &diff, chain, &options, Some(&mut record))
            .map_err(|e| self.store().explain_full(Error::diff(named(), e)))?;
        record.finish().map_err(|e| self.spoiled(id, e))?;
        match expected {
            Some(expected) if *expected != applied.diff_id => Err(Error::new(
                ErrorKind::Corrupt,
                format!("layer {expected}: its archive has the digest {}", applied.diff_id),
            )),
            _ => {
                self.hold(&mut applied);
                Ok(UnpackedLayer { id, link, applied })
            }
        }
    }

    /// Holds what is known of a layer beside its record, or lets go of it where too much is held already.
    fn hold(&self, applied: &mut Applied) {
        let weight = applied.weight();
        if self.held.fetch_add(weight, Ordering::Relaxed) + weight > HELD_MOST {
            self.held.fetch_sub(weight, Ordering::Relaxed);
            applied.lighten();
        }
    }

    /// Lets the chain decide what waits for it.
    fn settle(
        &self,
        id: LayerId,
        applied: &Applied,
        below: Option<&LayerRecord>,
        asking: Asking<'_>,
    ) -> Result<Applied> {
        let failed = |e| self.failed(&format!("layer {}", applied.diff_id), e);
        let chain = self.chain(below)?;
        let staged = layout::staged_tar_split(id);
        let before = fs::open_at(self.dir(), &staged, OFlags::RDONLY, Mode::empty()).map_err(failed)?;
        let before = zstd::Decoder::new(File::from(before)).map_err(|e| self.spoiled(id, e))?;
        let before = BufReader::new(Asked { inner: before, asking });
        let layer = fs::open_dir_at(self.dir(), id.to_string()).map_err(failed)?;
        let diff = fs::open_dir_at(&layer, plyfs_link::DIFF).map_err(failed)?;
        let mut record = NewRecord { operation: self, id, encoder: None };
        let settled = settle(&diff, &chain, applied, &ApplyOptions::default(), before, &mut record)
            .map_err(|e| self.store().explain_full(Error::diff(format!("layer {}", applied.diff_id), e)))?;
        if settled.is_rebuilt {
            record.finish().map_err(|e| self.spoiled(id, e))?;
            fs::rename_at(self.dir(), layout::settled_tar_split(id), self.dir(), staged).map_err(failed)?;
        }
        Ok(settled.applied)
    }

    /// Adds a layer that is complete to those that will be published, or finds it there already.
    fn add(&mut self, unpacked: UnpackedLayer, below: Option<&LayerRecord>) -> Result<AppliedLayer> {
        let UnpackedLayer { id, link, applied } = unpacked;
        let chain_id = chain_id(below.and_then(|below| below.chain_id.as_ref()), &applied.diff_id);
        let Applied { skipped, skipped_more, .. } = applied;
        let layer = AppliedLayer { id, diff_id: applied.diff_id, chain_id, skipped, skipped_more };
        // A parent without a chain id makes a chain that cannot be named either.
        let chain_id_known = below.is_none_or(|below| below.chain_id.is_some());
        if chain_id_known && let Some(found) = self.reuse_chain(&chain_id)? {
            self.discard_staged(id)?;
            return Ok(AppliedLayer { id: found, ..layer });
        }
        let record = LayerRecord {
            id,
            link,
            parent: below.map(|below| below.id),
            diff_id: Some(applied.diff_id),
            chain_id: chain_id_known.then_some(chain_id),
            own: applied.usage,
            chain: applied.usage + below.map(|below| below.chain).unwrap_or_default(),
            depth: 1 + below.map_or(0, |below| below.depth),
            archive_size: Some(applied.archive_size),
            created: now(),
            blobs: Vec::new(),
            rest: plyfs_journal::Record::default(),
        };
        self.write_identity(&record, below)?;
        self.describe(&record)?;
        self.store().reached("stage 2");
        self.layers.push(record);
        Ok(layer)
    }

    fn spoiled(&self, id: LayerId, error: io::Error) -> Error {
        self.store().explain_full(Error::io(format!("tar-split record of {id}"), error, ErrorKind::Io))
    }

    fn new_record(&self, id: LayerId) -> Result<Encoder> {
        let file = fs::create_file_at(self.dir(), layout::staged_tar_split(id), Mode::RUSR | Mode::WUSR);
        encoder(file.map_err(|e| self.failed("new layer", e))?).map_err(|e| self.spoiled(id, e))
    }
}

/// Asks whether to go on with a layer that was read already.
struct Asking<'a> {
    progress: Progress<'a>,
    layer: String,
    size: u64,
}

impl<'a> Asking<'a> {
    fn of(applied: &Applied, progress: Progress<'a>) -> Self {
        Self { progress, layer: applied.diff_id.to_string(), size: applied.archive_size }
    }

    fn ask(&self) -> Result<()> {
        self.progress.report(Stage::Unpack, &self.layer, self.size, Some(self.size))
    }
}

/// A record that asks at each read.
struct Asked<'a, R> {
    inner: R,
    asking: Asking<'a>,
}

impl<R: Read> Read for Asked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.asking.ask()?;
        self.inner.read(buffer)
    }
}

type Encoder = Frames<File>;

fn encoder(file: OwnedFd) -> io::Result<Encoder> {
    Frames::new(File::from(file), TAR_SPLIT_LEVEL)
}

/// A record that most layers never get: its file is made by the first byte.
struct NewRecord<'a> {
    operation: &'a Operation,
    id: LayerId,
    encoder: Option<Encoder>,
}

impl NewRecord<'_> {
    fn encoder(&mut self) -> io::Result<&mut Encoder> {
        if self.encoder.is_none() {
            let name = layout::settled_tar_split(self.id);
            let file = fs::create_file_at(self.operation.dir(), name, Mode::RUSR | Mode::WUSR);
            self.encoder = Some(encoder(file?)?);
        }
        Ok(self.encoder.as_mut().expect("made if it was missing"))
    }

    fn finish(mut self) -> io::Result<()> {
        self.encoder()?;
        self.encoder.take().map_or(Ok(()), Encoder::finish)
    }
}

impl Write for NewRecord<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.encoder()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.as_mut().map_or(Ok(()), Write::flush)
    }
}
