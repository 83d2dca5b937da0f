// Containerd's own differ over two directories, for comparing bytes: `oracle LOWER UPPER [EPOCH]` writes the changeset to
// standard output, `oracle -list LOWER UPPER` writes the changes alone.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/continuity/fs"
)

func main() {
	out := bufio.NewWriterSize(os.Stdout, 1<<20)
	if err := run(out, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

func run(out *bufio.Writer, args []string) error {
	if len(args) == 3 && args[0] == "-list" {
		return fs.Changes(context.Background(), args[1], args[2], func(kind fs.ChangeKind, path string, _ os.FileInfo, err error) error {
			if err == nil && kind != fs.ChangeKindUnmodified {
				_, err = fmt.Fprintln(out, kind, path)
			}
			return err
		})
	}
	var options []archive.WriteDiffOpt
	if len(args) == 3 {
		seconds, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		epoch := time.Unix(seconds, 0)
		options = append(options, archive.WithSourceDateEpoch(&epoch))
	} else if len(args) != 2 {
		return fmt.Errorf("usage: oracle LOWER UPPER [EPOCH]")
	}
	return archive.WriteDiff(context.Background(), out, args[0], args[1], options...)
}
