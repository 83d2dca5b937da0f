//! What hostile archives may not do: the cases of `tests/corpus`, each in three ways, beside a tree that nobody may touch.
//!
//! ```text
//! <temp>/abc      the layer: its name begins the name of the next one, for those who compare paths by prefix
//! <temp>/abcd     the canary
//! <temp>/lower    the chain: directories, and links that would lead out of it
//! ```
//!
//! A case is a text as `plyfs_testkit::tar_text` reads it, in which `@canary` is the canary's path and `@up` the way there
//! by `..`. Lines that begin with `=` say what must come of it:
//!
//! ```text
//! = applied                    in all three ways
//! = refused leaves the root    with these words
//! = refused@chain too many     over a chain only, known from the beginning or settled on afterwards
//! = has a/b symlink            what the layer holds then, where it was applied directly
//! = has a file 4755            with this mode
//! = not a/c
//! ```

mod bombs;
mod canary;
mod case;
mod corpus;
mod cves;
mod deep;
mod peers;
mod races;
mod record;
mod refused;
mod spoilt;

use case::Case;

/// Holds one case of the corpus to what it says, in all three ways.
fn holds(name: &str) {
    Case::read(name).check();
}
