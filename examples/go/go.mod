module plyfs.dev/plyfs/examples/go

go 1.24

require plyfs.dev/plyfs v0.0.0

replace plyfs.dev/plyfs => ../../bindings/go
