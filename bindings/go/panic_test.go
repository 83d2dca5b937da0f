package plyfs_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"plyfs.dev/plyfs"
)

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

// panicked is what work panics with, in this goroutine.
func panicked(work func()) (p any) {
	defer func() { p = recover() }()
	work()
	return nil
}

func TestAPanicOfAReaderOrWriterGoesOnInTheCallersGoroutine(t *testing.T) {
	g := newGround(t)
	image := g.service()
	begun := io.MultiReader(bytes.NewReader(archive(t, member{"file", "content"})[:512]), readerFunc(func([]byte) (int, error) { panic("seven") }))
	same(t, panicked(func() { _, _ = g.Apply(t.Context(), begun, nil) }), any("seven"))
	layers, err := g.Layers()
	must(t, err)
	all, err := image.Layers()
	must(t, err)
	same(t, len(layers), len(all))

	failing := iotestWriter(func([]byte) (int, error) { panic("eight") })
	same(t, panicked(func() { _ = g.Save(t.Context(), failing, plyfs.SaveOptions{}, image) }), any("eight"))
}

func TestAReaderOrWriterThatEndsItsGoroutineFailsTheCall(t *testing.T) {
	g := newGround(t)
	image := g.service()
	_, err := g.Load(t.Context(), readerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil }))
	is(t, err, plyfs.ErrCancelled)
	leaving := iotestWriter(func([]byte) (int, error) { runtime.Goexit(); return 0, nil })
	is(t, g.Save(t.Context(), leaving, plyfs.SaveOptions{}, image), plyfs.ErrCancelled)
}

func TestAReportOfProgressThatEndsItsGoroutineCancelsTheWork(t *testing.T) {
	g := newGround(t)
	leaving := plyfs.WithProgress(t.Context(), func(plyfs.Step) { runtime.Goexit() })
	_, err := g.Load(leaving, bytes.NewReader(service(t)))
	is(t, err, plyfs.ErrCancelled)
	g.service()
	_, err = g.create("web-1").Export(leaving, io.Discard)
	is(t, err, plyfs.ErrCancelled)
}

func TestANilReaderOrWriterIsInvalidInput(t *testing.T) {
	g := newGround(t)
	image := g.service()
	_, err := g.Load(t.Context(), nil)
	is(t, err, plyfs.ErrInvalidInput)
	is(t, g.Save(t.Context(), nil, plyfs.SaveOptions{}, image), plyfs.ErrInvalidInput)
}

func TestAZeroHandleIsClosedAndUsedWithoutAPanic(t *testing.T) {
	for _, zero := range []io.Closer{
		&plyfs.Store{}, &plyfs.Image{}, &plyfs.Layer{}, &plyfs.Container{}, &plyfs.View{}, &plyfs.Lease{}, &plyfs.Mount{},
	} {
		must(t, zero.Close())
	}
	must(t, new(plyfs.Lease).Release())
	must(t, new(plyfs.Mount).Unmount())
	new(plyfs.Mount).Keep()
	_, err := new(plyfs.Container).Usage()
	is(t, err, plyfs.ErrInvalidInput)
}
