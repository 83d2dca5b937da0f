//! Claims: which chains an operation builds, told to all processes, so that they do the work once.
//!
//! Each chain is a locked number of one file in `staging/`: a load of many images claims thousands, and a process may have a
//! thousand descriptors. The file counts only while it is linked; whoever is the last to hold a number of it removes it.

use std::collections::BTreeSet;
use std::time::Duration;

use plyfs_sys::numbers::NumberLocks;

use crate::{ChainId, Error, Progress, Result, Stage, Store, layout};

/// How long somebody who waits for another's layers sleeps before looking again: a fifth of what a cancel may take.
const PAUSE: Duration = Duration::from_millis(20);

/// Claimed chains.
#[derive(Debug)]
pub(crate) struct Claims(NumberLocks);

impl Claims {
    /// Claims all chains, in the order of their ids, hence never in a circle; waits for others, and asks meanwhile whether to
    /// go on.
    pub(crate) fn take(store: &Store, chains: &BTreeSet<ChainId>, progress: Progress<'_>) -> Result<Self> {
        'file: loop {
            let failed = |e| store.explain("claim", e);
            let locks = NumberLocks::open(&store.0.staging, layout::CLAIMS).map_err(failed)?;
            for chain in chains {
                // A lock that waits would do so for as long as the other one works, whoever cancels: only a signal ends
                // such a wait, which is not a library's to send, and a thread left in it would take the claim later for
                // nobody. Who may cancel has to be asked anyway.
                while !locks.try_take(number(chain)).map_err(failed)? {
                    progress.report(Stage::Wait, &chain.to_string(), 0, None)?;
                    std::thread::sleep(PAUSE);
                }
                // With the first one held nobody removes it any more.
                if !locks.is_linked_as(&store.0.staging, layout::CLAIMS).map_err(failed)? {
                    continue 'file;
                }
            }
            return Ok(Self(locks));
        }
    }

    /// Ends the claims; whoever waits for them finds the chains published or builds them.
    pub(crate) fn release(self, store: &Store) {
        // They end with the descriptor at the latest, and the next open removes a file that nobody holds.
        let _ = self.0.release(&store.0.staging, layout::CLAIMS);
    }
}

impl Store {
    /// Removes the file of claims where a crash left it.
    pub(crate) fn drop_claims(&self) -> Result<()> {
        let locks = NumberLocks::open(&self.0.staging, layout::CLAIMS);
        let dropped = locks.and_then(|locks| locks.release(&self.0.staging, layout::CLAIMS));
        dropped.map(drop).map_err(|e| Error::call("staging", e))
    }
}

/// The first digits of the id: two chains that share them wait for each other without need.
fn number(chain: &ChainId) -> u64 {
    let (digits, _) = chain.as_bytes().split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*digits) >> 2
}
