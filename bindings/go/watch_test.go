package plyfs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"plyfs.dev/plyfs"
)

// stall gives bytes and then nothing, until it is let go.
type stall struct {
	first io.Reader
	gate  chan struct{}
	begun chan struct{}
}

func newStall(first []byte) *stall {
	return &stall{bytes.NewReader(first), make(chan struct{}), make(chan struct{}, 1)}
}

func (s *stall) Read(p []byte) (int, error) {
	if n, err := s.first.Read(p); err == nil {
		return n, nil
	}
	s.wait()
	return 0, io.EOF
}

func (s *stall) Write(p []byte) (int, error) {
	s.wait()
	return len(p), nil
}

func (s *stall) wait() {
	select {
	case s.begun <- struct{}{}:
	default:
	}
	<-s.gate
}

var errGone = errors.New("the peer is gone")

func TestAContextEndsALoadWhoseReaderStalls(t *testing.T) {
	g := newGround(t)
	reader := newStall(service(t)[:3000])
	defer close(reader.gate)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-reader.begun
		cancel(errGone)
	}()
	_, err := g.Load(ctx, reader)
	is(t, err, plyfs.ErrCancelled)
	is(t, err, errGone)
	images, err := g.Images()
	must(t, err)
	same(t, len(images), 0)
	_, err = g.Load(ctx, bytes.NewReader(service(t)))
	is(t, err, errGone)
}

func TestAContextEndsAnApplyWhoseReaderStalls(t *testing.T) {
	g := newGround(t)
	whole := archive(t, member{"file", "content"})
	for _, given := range []int{0, 512, 1024} {
		reader := newStall(whole[:given])
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err := g.Apply(ctx, reader, nil)
		is(t, err, context.DeadlineExceeded)
		cancel()
		close(reader.gate)
	}
}

func TestAContextEndsASaveWhoseWriterStalls(t *testing.T) {
	g := newGround(t)
	image := g.service()
	// More than a pipe holds.
	big, err := g.Import(t.Context(), bytes.NewReader(archive(t, member{"big", string(make([]byte, 4<<20))})), plyfs.ImportOptions{})
	must(t, err)
	writer := newStall(nil)
	defer close(writer.gate)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-writer.begun
		cancel()
	}()
	is(t, g.Save(ctx, writer, plyfs.SaveOptions{}, image, big), context.Canceled)
}

func TestAReaderThatStallsIsGivenUpAfterTheTimeOut(t *testing.T) {
	g := newGround(t)
	reader := newStall(nil)
	defer close(reader.gate)
	_, err := g.LoadWith(t.Context(), reader, plyfs.LoadOptions{Timeout: 50 * time.Millisecond})
	is(t, err, plyfs.ErrTimedOut)
}

func TestAReaderThatFailsIsNoEndOfTheArchive(t *testing.T) {
	g := newGround(t)
	whole := archive(t, member{"file", "content"})
	for cut := range 30 {
		reader := io.MultiReader(bytes.NewReader(whole[:512*(cut%3+1)]), iotest.ErrReader(errGone))
		_, err := g.Apply(t.Context(), reader, nil)
		is(t, err, errGone)
		is(t, err, plyfs.ErrCancelled)
	}
	layers, err := g.Layers()
	must(t, err)
	same(t, len(layers), 0)
}

func TestAWriterThatFailsSaysWhy(t *testing.T) {
	g := newGround(t)
	image := g.service()
	failing := iotestWriter(func([]byte) (int, error) { return 0, errGone })
	is(t, g.Save(t.Context(), failing, plyfs.SaveOptions{}, image), errGone)
	container := g.create("web-1")
	_, err := container.Export(t.Context(), failing)
	is(t, err, errGone)
}

type iotestWriter func([]byte) (int, error)

func (w iotestWriter) Write(p []byte) (int, error) { return w(p) }

func TestProgressIsToldAndItsPanicGoesOn(t *testing.T) {
	g := newGround(t)
	var steps atomic.Int64
	ctx := plyfs.WithProgress(t.Context(), func(step plyfs.Step) {
		if step.Stage == "" || step.Item == "" {
			t.Error("a step without a name")
		}
		steps.Add(1)
	})
	_, err := g.Load(ctx, bytes.NewReader(service(t)))
	must(t, err)
	if steps.Load() == 0 {
		t.Fatal("nothing was told")
	}

	container := g.create("web-1")
	panics := plyfs.WithProgress(t.Context(), func(plyfs.Step) { panic("seven") })
	defer func() { same(t, recover(), any("seven")) }()
	_, _ = container.Export(panics, io.Discard)
	t.Fatal("it went on")
}
