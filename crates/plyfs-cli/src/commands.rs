//! The commands, one file for each group.

mod changes;
mod containers;
mod copy;
mod df;
pub(crate) mod fsck;
mod history;
mod images;
mod info;
mod inspect;
mod layers;
mod leases;
mod look;
mod mounts;
mod prune;
mod removal;
pub(crate) mod shapes;
mod transfer;
mod tree;
mod whole;

use crate::cli::Command;
use crate::exit::Result;
use crate::session::Session;

/// Runs a command; the exit code, which is 0 but where a command goes on after a failure.
pub(crate) fn run(session: &mut Session, command: Command) -> Result<u8> {
    match command {
        Command::Rm(args) => return removal::rm(session, &args),
        Command::Rmi(args) => return removal::rmi(session, &args),
        Command::Untag(args) => return removal::untag(session, &args),
        Command::Release(args) => return leases::release(session, &args),
        Command::Fsck(args) => return fsck::fsck(session, &args),
        Command::Load(args) => transfer::load(session, &args),
        Command::Save(args) => transfer::save(session, &args),
        Command::Import(args) => transfer::import(session, &args),
        Command::Images(args) => images::images(session, &args),
        Command::Tag(args) => images::tag(session, &args),
        Command::History(args) => history::history(session, &args),
        Command::Layers => layers::layers(session),
        Command::Containers => containers::containers(session),
        Command::Create(args) => containers::create(session, args),
        Command::Rename(args) => containers::rename(session, &args),
        Command::Mount(args) => mounts::mount(session, &args),
        Command::Umount(args) => mounts::umount(session, &args),
        Command::Changes(args) => changes::changes(session, &args),
        Command::Diff(args) => changes::diff(session, &args),
        Command::Commit(args) => changes::commit(session, args),
        Command::Ls(args) => look::ls(session, &args),
        Command::Cat(args) => look::cat(session, &args),
        Command::Stat(args) => look::stat(session, &args),
        Command::Find(args) => look::find(session, &args),
        Command::Cp(args) => copy::cp(session, &args),
        Command::Export(args) => whole::export(session, &args),
        Command::Unpack(args) => whole::unpack(session, &args),
        Command::Prune(args) => prune::prune(session, &args),
        Command::Lease(args) => leases::lease(session, &args),
        Command::Leases => leases::leases(session),
        Command::Df(args) => df::df(session, &args),
        Command::Info => info::info(session),
        Command::Tree(args) => tree::tree(session, &args),
        Command::Inspect(args) => inspect::inspect(session, &args),
    }?;
    Ok(0)
}
