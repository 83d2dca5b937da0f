module plyfs.dev/plyfs/examples/go

go 1.19
