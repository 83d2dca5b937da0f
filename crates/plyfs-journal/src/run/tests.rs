//! Runs: what is written is found again, and damage is named.
