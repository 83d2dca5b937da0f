//! Layer ids, short-link ids, the l/ directory and the lower grammar of an overlay2 driver home
