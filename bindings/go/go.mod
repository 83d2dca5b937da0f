module plyfs.dev/plyfs

go 1.24
