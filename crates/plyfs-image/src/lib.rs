//! Container images in and out of a store: docker-archive, OCI archive, OCI layout
