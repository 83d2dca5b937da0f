//! The machine's steps on leases, and the prunes that leases hold off.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plyfs::{ErrorKind, Kept, Lease, LeaseOptions, PruneOptions, Reason, Subject};
use plyfs_torture::recipe::Recipe;

use super::{Machine, chain};
use crate::sketch::Leased;

const HOUR: Duration = Duration::from_secs(3600);

impl Machine {
    /// What goes is what the model says, and what stays for a lease alone is named with one that keeps it.
    pub(super) fn prune(&mut self, all: bool) {
        let names: BTreeMap<_, _> =
            self.store.layers().expect("listed").iter().map(|layer| (layer.id(), chain(layer))).collect();
        let pruned = self.store.prune(PruneOptions::new().all(all)).expect("pruned");
        let mut kept = BTreeSet::new();
        for Kept { subject, reason, .. } in &pruned.kept {
            let Reason::Leased(lease) = reason else { panic!("nothing else keeps {subject}: {reason}") };
            let leased = &self.sketch.leases[&lease.to_string()];
            let (name, by) = match subject {
                Subject::Layer(id) => (names[id].clone(), &leased.layers),
                Subject::Image(id) => (id.to_string(), &leased.images),
                other => panic!("{other}"),
            };
            assert!(by.contains(&name), "lease {lease} does not keep {name}");
            kept.insert(name);
        }
        assert_eq!(kept, self.sketch.prune(all));
    }

    /// Leases an image or a layer for an hour, or until nobody holds it any more.
    pub(super) fn lease(&mut self, what: usize, survives: bool) {
        let options = LeaseOptions::new(HOUR).survives_holder(survives);
        let lease = self.store.lease(options).expect("a lease");
        let mut leased = Leased::default();
        let (images, layers) = (self.store.images().expect("listed"), self.store.layers().expect("listed"));
        let what = what % (images.len() + layers.len()).max(1);
        if let Some(image) = images.get(what) {
            lease.hold_image(image).expect("held");
            leased.images.insert(image.id().to_string());
            leased.layers.insert(self.sketch.images[&image.id().to_string()].top.clone());
        } else if let Some(layer) = layers.get(what - images.len()) {
            lease.hold(layer).expect("held");
            leased.layers.insert(chain(layer));
        }
        self.sketch.leases.insert(lease.id().to_string(), leased);
        self.leases.insert(lease.id().to_string(), Some(lease));
    }

    /// One of the leases that live, taken hold of again where nobody holds it.
    fn leased(&mut self, which: usize) -> Option<&mut Lease> {
        let id = self.leases.keys().nth(which % self.leases.len().max(1))?.clone();
        let lease = self.leases.get_mut(&id).expect("it was just seen");
        let store = &self.store;
        Some(lease.get_or_insert_with(|| store.open_lease(id.parse().expect("an id")).expect("it lives")))
    }

    pub(super) fn load_under(&mut self, which: usize, n: u64) {
        let Some(lease) = self.leased(which) else { return };
        let (id, under) = (lease.id().to_string(), lease.store().clone());
        let store = std::mem::replace(&mut self.store, under);
        self.load(n);
        self.store = store;
        let image = Recipe::new("machine", n).id();
        let chains = self.sketch.chains(&self.sketch.images[&image].top);
        let leased = self.sketch.leases.get_mut(&id).expect("it lives");
        leased.layers.extend(chains);
        leased.images.insert(image);
    }

    /// A lease without a holder lives on if it was asked to.
    pub(super) fn let_go(&mut self, which: usize) {
        let Some(lease) = self.leased(which) else { return };
        let id = lease.id().to_string();
        let known = self.store.leases().expect("listed");
        let survives = known.iter().any(|lease| lease.id.to_string() == id && lease.survives_holder);
        self.leases.insert(id.clone(), None);
        if !survives {
            self.forget_lease(&id);
        }
    }

    pub(super) fn renew(&mut self, which: usize) {
        let Some(lease) = self.leased(which) else { return };
        let before = lease.expires_unix();
        lease.renew(2 * HOUR).expect("renewed");
        let (id, expires) = (lease.id(), lease.expires_unix());
        assert!(expires >= before);
        let known = self.store.leases().expect("listed");
        assert!(known.iter().any(|lease| lease.id == id && lease.expires_unix == expires));
    }

    /// A lease that ran out lives as long as it is held, and no longer.
    pub(super) fn expire(&mut self, which: usize) {
        let Some(lease) = self.leased(which) else { return };
        let id = lease.id();
        lease.renew(Duration::ZERO).expect("renewed");
        assert!(self.store.leases().expect("listed").iter().any(|lease| lease.id == id && lease.is_held));
        self.forget_lease(&id.to_string());
        assert_eq!(self.store.open_lease(id).expect_err("it ended").kind(), ErrorKind::NotFound);
    }

    pub(super) fn release(&mut self, which: usize) {
        let Some(lease) = self.leased(which) else { return };
        let id = lease.id().to_string();
        self.leases.remove(&id).flatten().expect("it is held").release().expect("released");
        self.forget_lease(&id);
    }

    fn forget_lease(&mut self, id: &str) {
        drop(self.leases.remove(id));
        self.sketch.leases.remove(id);
    }

    /// Claims that exactly the leases that should live do, and what each keeps.
    pub(super) fn compare_leases(&self, layers: &[plyfs::Layer]) {
        let chains: BTreeMap<_, _> = layers.iter().map(|layer| (layer.id(), chain(layer))).collect();
        let mut leases = BTreeMap::new();
        for lease in self.store.leases().expect("listed") {
            let mut leased = Leased::default();
            for subject in self.store.leased(lease.id).expect("listed") {
                match subject {
                    Subject::Layer(id) => leased.layers.insert(chains[&id].clone()),
                    Subject::Image(id) => leased.images.insert(id.to_string()),
                    other => panic!("{other}"),
                };
            }
            assert_eq!(lease.is_held, self.leases[&lease.id.to_string()].is_some());
            leases.insert(lease.id.to_string(), leased);
        }
        assert_eq!(leases, self.sketch.leases);
    }
}
