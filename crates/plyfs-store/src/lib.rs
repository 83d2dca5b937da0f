//! The life of layers and containers: ids, chains, reference counts, usage, prune, fsck
