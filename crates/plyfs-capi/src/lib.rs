//! The C door to plyfs: libplyfs and include/plyfs.h
