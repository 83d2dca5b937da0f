//! The whole job of a container layer store as a library
