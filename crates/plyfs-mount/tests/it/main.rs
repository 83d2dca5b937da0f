//! Mounts made for real, plans compared as text, mount tables read back.

mod ending;
mod engines;
mod limits;
mod mountinfo;
mod names;
mod plans;
mod probing;
mod support;
