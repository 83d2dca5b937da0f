//! Directory trees to OCI changesets and back: apply, changes, export, tar-split
