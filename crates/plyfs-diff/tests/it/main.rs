//! The crate from outside, with the kernel and other people's tools as judges.

#![allow(missing_docs, unreachable_pub, reason = "an integration test has no public interface")]

mod apply_acls;
mod apply_archives;
mod apply_entries;
mod apply_filling;
mod apply_names;
mod apply_once;
mod apply_oracles;
mod apply_whiteouts;
mod apply_writing;
mod chain;
mod changes;
mod compare;
mod docker_records;
mod export_entries;
mod export_marks;
mod export_oracles;
mod layers;
mod model;
mod oracle;
mod rebuild;
mod rules;
mod settle;
mod stack;
mod verify;
mod view;
mod wall;
