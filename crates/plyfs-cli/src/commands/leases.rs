//! `lease`, `leases` and `release`: what no prune takes for a time, whoever uses it.

use std::time::{SystemTime, UNIX_EPOCH};

use plyfs::{ErrorKind, Image, Inspected, Layer, LeaseId, LeaseInfo, LeaseOptions, Store, Subject};
use serde::Serialize;

use crate::cli::{Lease, Release};
use crate::commands::removal::each;
use crate::exit::{Failure, Hinted, Result};
use crate::human;
use crate::output::Columns;
use crate::session::{self, Session};

#[derive(Debug, Default, Serialize)]
struct LeaseShape {
    id: String,
    expires_unix: u64,
    /// Whether it lives on until then without a holder.
    survives_holder: bool,
    /// Whether a process holds it now.
    is_held: bool,
    images: Vec<String>,
    layers: Vec<String>,
}

impl LeaseShape {
    fn of(store: &Store, lease: &LeaseInfo) -> Result<Self> {
        let LeaseInfo { id, expires_unix, survives_holder, is_held, .. } = *lease;
        let own = Self { id: id.to_string(), expires_unix, survives_holder, is_held, ..Self::default() };
        Ok(own.keeping(store.leased(id)?))
    }

    fn keeping(mut self, leased: Vec<Subject>) -> Self {
        for subject in leased {
            match subject {
                Subject::Image(id) => self.images.push(id.to_string()),
                Subject::Layer(id) => self.layers.push(id.to_string()),
                _ => {}
            }
        }
        self
    }

    /// What ends it: its holder, the clock, or the later of both.
    fn ends(&self, now: u64) -> String {
        match (self.is_held, self.survives_holder) {
            (true, false) => "with its holder".to_owned(),
            (true, true) => format!("{}, and held", human::ahead(self.expires_unix, now)),
            _ => human::ahead(self.expires_unix, now),
        }
    }
}

/// Takes a lease that outlives this command and prints its id.
pub(crate) fn lease(session: &mut Session, args: &Lease) -> Result<()> {
    let store = session.open()?;
    // All of them are looked up before anything is taken.
    let found = args.what.iter().map(|what| leasable(&store, what)).collect::<Result<Vec<_>>>()?;
    let lease = store.lease(LeaseOptions::new(args.lasts).survives_holder(true))?;
    let held = found.iter().try_for_each(|what| match what {
        Leasable::Image(image) => lease.hold_image(image),
        Leasable::Layer(layer) => lease.hold(layer),
    });
    if let Err(error) = held {
        // One that keeps only a part of what was asked for is none.
        lease.release()?;
        return Err(error.into());
    }
    let (id, expires_unix) = (lease.id(), lease.expires_unix());
    let shape = LeaseShape { id: id.to_string(), expires_unix, survives_holder: true, ..LeaseShape::default() };
    session.out.answer(id.to_string(), &shape.keeping(store.leased(id)?))
}

/// The image or layer of this name or id.
fn leasable(store: &Store, what: &str) -> Result<Leasable> {
    match session::inspect(store, what)? {
        Inspected::Image(image) => Ok(Leasable::Image(image)),
        Inspected::Layer(layer) => Ok(Leasable::Layer(layer)),
        Inspected::Container(container) => {
            let refused = Failure::usage(format!("{} is a container, which no prune takes", container.name()));
            Err(refused.hint("a lease keeps images and layers"))
        }
    }
}

/// What a lease can keep.
enum Leasable {
    Image(Image),
    Layer(Layer),
}

/// Lists the leases that have not ended, sorted by id.
pub(crate) fn leases(session: &mut Session) -> Result<()> {
    let store = session.open()?;
    let leases = store.leases()?;
    let shapes = leases.iter().map(|lease| LeaseShape::of(&store, lease)).collect::<Result<Vec<_>>>()?;
    session.out.listing(&shapes, |lease| lease.id.clone(), table)
}

fn table(leases: &[LeaseShape]) -> Columns {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let mut columns = Columns::new(["LEASE", "ENDS", "KEEPS"]);
    for lease in leases {
        let (images, layers) = (lease.images.len() as u64, lease.layers.len() as u64);
        let keeps = format!("{}, {}", human::count(images, "image"), human::count(layers, "layer"));
        columns.row([lease.id.clone(), lease.ends(now), keeps]);
    }
    columns
}

/// Ends leases and prints their ids; goes on after a failure.
pub(crate) fn release(session: &mut Session, args: &Release) -> Result<u8> {
    each(session, &args.leases, "released", end)
}

fn end(store: &Store, given: &str) -> Result<String> {
    let id: LeaseId = given.parse()?;
    let lease = store.open_lease(id).hint_on(ErrorKind::NotFound, "`plyfs leases` lists what there is");
    let lease = lease.hint_on(ErrorKind::InUse, "the process that holds it ends it");
    lease?.release()?;
    Ok(id.to_string())
}
