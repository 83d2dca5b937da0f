package plyfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"plyfs.dev/plyfs"
)

func TestAContainerLivesFromItsImageToTheOneMadeOfIt(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	image := g.service()
	same(t, image.Names[0], "svc:1")
	container, err := g.Create("svc:1", plyfs.ContainerOptions{Name: "web-1", Labels: map[string]string{"tier": "web"}})
	must(t, err)
	same(t, container.ImageID, image.ID)
	same(t, container.ImageName, "svc:1")
	same(t, container.Labels["tier"], "web")
	g.inside(container, func(root string) {
		write(t, filepath.Join(root, "app/config.properties"), "port=81\n")
		must(t, os.Remove(filepath.Join(root, "etc/motd")))
	})

	var lines []string
	for change, err := range container.Changes() {
		must(t, err)
		lines = append(lines, change.String())
	}
	want := []string{"C /app", "C /app/config.properties", "C /etc", "D /etc/motd"}
	if !slices.Equal(lines, want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for change, err := range container.Changes() {
		must(t, err)
		same(t, change.Kind, plyfs.Modified)
		break
	}

	var changeset bytes.Buffer
	exported, err := container.Export(ctx, &changeset)
	must(t, err)
	same(t, exported, plyfs.Exported{Bytes: uint64(changeset.Len()), DiffID: digest(changeset.Bytes())})

	clamped, err := container.ExportWith(ctx, io.Discard, plyfs.ExportOptions{ClampMtime: time.Unix(1, 0), Containerd: true})
	must(t, err)
	if clamped.DiffID == exported.DiffID {
		t.Fatal("the options do nothing")
	}

	then := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	next, err := container.Commit(ctx, plyfs.CommitOptions{
		Name: "svc:2", Message: "new port", Changes: []string{"ENV LEVEL=debug"}, Created: then,
	})
	must(t, err)
	same(t, next.Created, "2020-01-01T00:00:00Z")
	config, err := next.Config()
	must(t, err)
	if !bytes.Contains(config, []byte("LEVEL=debug")) {
		t.Fatalf("the instruction is missing: %s", config)
	}
	history, err := next.History()
	must(t, err)
	same(t, len(history), 3)
	same(t, history[0].Comment, "new port")
	same(t, history[1].CreatedBy, "COPY app")
	layers, err := next.Layers()
	must(t, err)
	same(t, history[0].Layer, layers[0].ID)
	same(t, layers[0].DiffID, exported.DiffID)

	var saved bytes.Buffer
	must(t, g.Save(ctx, &saved, plyfs.SaveOptions{Format: plyfs.OCIArchive, Compression: plyfs.Zstd, Level: 9}, next))
	must(t, container.Remove(plyfs.Unmounted))
	other := newGround(t)
	again, err := other.Load(ctx, &saved)
	must(t, err)
	same(t, again[0].ID, next.ID)
}

func TestAFileIsReadAndWrittenWhereItLies(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	path := filepath.Join(g.dir, "svc.tar")
	must(t, os.WriteFile(path, service(t), 0o644))
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	images, err := g.LoadWith(ctx, file, plyfs.LoadOptions{Platform: "linux/" + runtime.GOARCH, Timeout: time.Minute})
	must(t, err)
	_, err = g.LoadPath(ctx, path, plyfs.LoadOptions{Platform: "linux/riscv64"})
	is(t, err, plyfs.ErrUnsupported)

	out, err := os.Create(filepath.Join(g.dir, "out.tar"))
	must(t, err)
	defer out.Close()
	must(t, g.Save(ctx, out, plyfs.SaveOptions{}, images...))
	again, err := g.LoadPath(ctx, out.Name(), plyfs.LoadOptions{})
	must(t, err)
	same(t, again[0].ID, images[0].ID)
	layout := filepath.Join(g.dir, "layout")
	must(t, g.SaveLayout(ctx, layout, plyfs.SaveOptions{}, images...))
	again, err = g.LoadPath(ctx, layout, plyfs.LoadOptions{KeepBlobs: true})
	must(t, err)
	layers, err := again[0].Layers()
	must(t, err)
	for _, layer := range layers {
		var blob bytes.Buffer
		must(t, layer.WriteBlob(ctx, &blob, layer.Blobs[0]))
		same(t, digest(blob.Bytes()), layer.Blobs[0])
		is(t, layer.WriteBlob(ctx, &blob, layer.DiffID), plyfs.ErrNotFound)
	}
	is(t, g.Save(ctx, out, plyfs.SaveOptions{}), plyfs.ErrInvalidInput)
}

func TestADirectoryAndAChangesetBecomeLayers(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	parent := g.service()
	tree := filepath.Join(g.dir, "tree")
	must(t, os.Mkdir(tree, 0o755))
	write(t, filepath.Join(tree, "file"), "content")
	dir, err := os.Open(tree)
	must(t, err)
	defer dir.Close()
	image, err := g.Import(ctx, dir, plyfs.ImportOptions{Name: "tree", Parent: parent, Message: "by hand"})
	must(t, err)
	same(t, image.Names[0], "tree:latest")

	layers, err := image.Layers()
	must(t, err)
	changeset := archive(t, member{"new", "content"})
	layer, err := g.Apply(ctx, bytes.NewReader(changeset), layers[0])
	must(t, err)
	same(t, layer.Parent, layers[0].ID)
	same(t, layer.Depth, 4)
	same(t, layer.DiffID, digest(changeset))
	var came bytes.Buffer
	_, err = layer.WriteArchive(ctx, &came)
	must(t, err)
	same(t, digest(came.Bytes()), layer.DiffID)

	at := filepath.Join(g.dir, "at")
	must(t, os.Mkdir(at, 0o755))
	mount, err := layer.Mount(at)
	must(t, err)
	same(t, mount.Path(), at)
	is(t, g.RemoveLayer(layer), plyfs.ErrInUse)
	must(t, mount.Close())

	container, err := g.Create("", plyfs.ContainerOptions{Layer: layer})
	must(t, err)
	same(t, container.Parent, layer.ID)
	users, err := layer.Users()
	must(t, err)
	same(t, users[0], plyfs.Subject{Kind: plyfs.SubjectContainer, ID: container.ID})
	must(t, container.Remove(plyfs.Unmounted))
	must(t, g.RemoveLayer(layer))
	_, err = g.Layer(layer.ID)
	is(t, err, plyfs.ErrNotFound)
}

func TestManyContainersAreCreatedAtOnceOrNone(t *testing.T) {
	g := newGround(t)
	g.service()
	all, err := g.CreateAll("svc:1", []string{"b", "a"}, plyfs.ContainerOptions{ReadOnly: true})
	must(t, err)
	same(t, all[0].Name+all[1].Name, "ba")
	_, err = g.CreateAll("svc:1", []string{"c", "a"}, plyfs.ContainerOptions{})
	is(t, err, plyfs.ErrExists)
	listed, err := g.Containers()
	must(t, err)
	same(t, len(listed), 2)
	renamed, err := g.Rename(listed[0], "z")
	must(t, err)
	same(t, renamed.ID, listed[0].ID)
	_, err = g.Rename(listed[0], "y")
	is(t, err, plyfs.ErrNotFound)
}

func TestAMountEndsAsItsGuardSays(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	g.service()
	container := g.create("web-1")
	first, err := container.Mount(ctx)
	must(t, err)
	second, err := container.Mount(ctx)
	must(t, err)
	same(t, first.Path(), second.Path())
	at, err := container.MountedAt()
	must(t, err)
	same(t, at, first.Path())
	is(t, container.Unmount(plyfs.Plain), plyfs.ErrInUse)
	must(t, first.Close())
	same(t, len(mountsBelow(t, g.dir)), 1) // the other guard holds it
	must(t, second.Unmount())
	must(t, second.Unmount())
	same(t, len(mountsBelow(t, g.dir)), 0)

	busy, err := container.MountWith(ctx, plyfs.MountOptions{NoSUID: true, NoDev: true, NoExec: true})
	must(t, err)
	inside, err := os.Open(filepath.Join(busy.Path(), "etc"))
	must(t, err)
	is(t, busy.Close(), plyfs.ErrBusy)
	must(t, inside.Close())
	must(t, container.Unmount(plyfs.Plain))

	reading, err := container.MountWith(ctx, plyfs.MountOptions{Access: plyfs.ReadOnly})
	must(t, err)
	is(t, os.WriteFile(filepath.Join(reading.Path(), "new"), nil, 0o644), syscall.EROFS)
	reading.Keep()
	same(t, len(mountsBelow(t, g.dir)), 1)
	must(t, container.Unmount(plyfs.Detach))

	spec, err := container.MountSpec()
	must(t, err)
	same(t, len(spec.Lower), 2)
	if spec.Upper == "" || spec.Work == "" || spec.Target == "" || spec.Options == "" {
		t.Fatalf("something is missing: %+v", spec)
	}
}

func TestAForgottenMountEnds(t *testing.T) {
	g := newGround(t)
	g.service()
	container := g.create("web-1")
	func() {
		_, err := container.Mount(t.Context())
		must(t, err)
	}()
	waitFor(t, "it stays mounted", func() bool {
		runtime.GC()
		return len(mountsBelow(t, g.dir)) == 0
	})
}

func TestErrorsAreKindsAndErrnos(t *testing.T) {
	g := newGround(t)
	_, err := g.Image("svc:1")
	is(t, err, plyfs.ErrNotFound)
	is(t, err, syscall.ENOENT)
	is(t, err, fs.ErrNotExist)
	if errors.Is(err, plyfs.ErrExists) {
		t.Fatalf("%v is of two kinds", err)
	}
	var detail *plyfs.Error
	if !errors.As(err, &detail) || detail.Kind.String() != "NotFound" || detail.Errno != syscall.ENOENT {
		t.Fatalf("got %#v", detail)
	}
	_, err = g.Image("svc\x001")
	is(t, err, plyfs.ErrInvalidInput)
	_, err = plyfs.Open(filepath.Join(g.dir, "nothing"))
	is(t, err, plyfs.ErrNotFound)

	image := g.service()
	must(t, image.Close())
	_, err = image.Config()
	is(t, err, fs.ErrClosed)
	must(t, g.Close())
	_, err = g.Images()
	is(t, err, fs.ErrClosed)
	var none *plyfs.Layer
	if _, err := g.Cached(none, nil); !errors.Is(err, fs.ErrClosed) {
		t.Fatal(err)
	}
}

func TestHandlesOfAListOutliveIt(t *testing.T) {
	g := newGround(t)
	g.service()
	images, err := g.Images()
	must(t, err)
	image := images[0]
	images = nil
	for range 3 {
		runtime.GC()
	}
	layers, err := image.Layers()
	must(t, err)
	same(t, len(layers), 2)
	usage, err := image.Usage()
	must(t, err)
	same(t, usage.Apparent, layers[0].ChainUsage.Apparent)
}

func TestGoroutinesShareAStoreAndCloseItUnderOneAnother(t *testing.T) {
	g := newGround(t)
	g.service()
	var all sync.WaitGroup
	for i := range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 10 {
				container, err := g.Create("svc:1", plyfs.ContainerOptions{})
				if err == nil {
					err = container.Remove(plyfs.Unmounted)
				}
				if err != nil && !errors.Is(err, fs.ErrClosed) {
					t.Error(err)
				}
			}
			if i == 0 {
				_ = g.Close()
			}
		}()
	}
	all.Wait()
}
