package plyfs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"plyfs.dev/plyfs"
)

func TestALeaseKeepsWhatIsMadeUnderIt(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	image := g.service()
	lease, err := g.Lease(time.Hour, true)
	must(t, err)
	under, err := lease.Store()
	must(t, err)
	layer, err := under.Apply(ctx, bytes.NewReader(archive(t, member{"new", "content"})), nil)
	must(t, err)
	must(t, under.Close())
	must(t, lease.HoldImage(image))
	must(t, lease.Hold(layer))
	must(t, lease.Renew(2*time.Hour))
	if left := time.Until(lease.Expires()); left < 110*time.Minute {
		t.Fatalf("it ends in %v", left)
	}
	_, err = g.OpenLease(lease.ID())
	is(t, err, plyfs.ErrInUse)
	must(t, lease.Close())

	leases, err := g.Leases()
	must(t, err)
	same(t, len(leases), 1)
	if !leases[0].Survives || leases[0].IsHeld || leases[0].ID != lease.ID() {
		t.Fatalf("got %+v", leases[0])
	}
	pruned, err := g.Prune(plyfs.PruneOptions{})
	must(t, err)
	same(t, len(pruned.Removed), 0)
	same(t, pruned.Held[0].ID, layer.ID)
	same(t, pruned.Held[0].Reason, "is kept by lease "+lease.ID())
	leased, err := g.Leased(lease.ID())
	must(t, err)
	same(t, leased[0], plyfs.Subject{Kind: plyfs.SubjectImage, ID: image.ID})

	again, err := g.OpenLease(lease.ID())
	must(t, err)
	must(t, again.Release())
	must(t, again.Release())
	pruned, err = g.Prune(plyfs.PruneOptions{})
	must(t, err)
	same(t, pruned.Removed[0], plyfs.Subject{Kind: plyfs.SubjectLayer, ID: layer.ID})
	freed, err := g.Reap()
	must(t, err)
	if freed.Inodes == 0 {
		t.Fatal("nothing was freed")
	}
}

func TestAPruneTakesWhatItsOptionsLetGo(t *testing.T) {
	g := newGround(t)
	image := g.service()
	must(t, g.UntagFrom(image, "svc:1"))
	for _, options := range []plyfs.PruneOptions{
		{},
		{All: true, Before: image.Added},
		{All: true, Only: []*plyfs.Image{}},
		{All: true, Labels: []string{"team=core"}},
	} {
		pruned, err := g.Prune(options)
		must(t, err)
		same(t, len(pruned.Removed), 0)
	}
	_, err := g.Prune(plyfs.PruneOptions{Labels: []string{"team"}, Only: []*plyfs.Image{image}})
	is(t, err, plyfs.ErrInvalidInput)
	fit, err := g.Prune(plyfs.PruneOptions{WithoutLabels: []string{"team", "tier=1"}, DryRun: true})
	must(t, err)
	same(t, len(fit.Removed), 3)
	would, err := g.Prune(plyfs.PruneOptions{All: true, DryRun: true})
	must(t, err)
	did, err := g.Prune(plyfs.PruneOptions{Only: []*plyfs.Image{image}})
	must(t, err)
	same(t, len(would.Removed), 3)
	same(t, len(did.Removed), 3)
	same(t, did.Removed[0], plyfs.Subject{Kind: plyfs.SubjectImage, ID: image.ID})
}

func TestNamesMoveAndTheLastTakesItsImage(t *testing.T) {
	g := newGround(t)
	image := g.service()
	must(t, g.Tag(image, "svc:too"))
	removed, err := g.RemoveImageName(image, "svc:too")
	must(t, err)
	same(t, removed, false)
	g.create("web-1")
	is(t, g.RemoveImage(image), plyfs.ErrInUse)
	found, err := g.Inspect("web-1")
	must(t, err)
	must(t, found.(*plyfs.Container).Remove(plyfs.Force))
	found, err = g.Inspect("svc:1")
	must(t, err)
	removed, err = g.RemoveImageName(found.(*plyfs.Image), "svc:1")
	must(t, err)
	same(t, removed, true)
	is(t, g.Untag("svc:1"), plyfs.ErrNotFound)
}

func TestACommittedLayerIsFoundByItsKey(t *testing.T) {
	g := newGround(t)
	image := g.service()
	layers, err := image.Layers()
	must(t, err)
	key := []byte("COPY app\x00sha256:1")
	cached, err := g.Cached(layers[0], key)
	must(t, err)
	if cached != nil {
		t.Fatal("nothing was built yet")
	}
	container := g.create("build")
	g.inside(container, func(root string) { write(t, filepath.Join(root, "app/new"), "new\n") })
	next, err := container.Commit(t.Context(), plyfs.CommitOptions{CacheKey: key})
	must(t, err)
	built, err := next.Layers()
	must(t, err)
	cached, err = g.Cached(layers[0], key)
	must(t, err)
	same(t, cached.ID, built[0].ID)
	found, err := g.Inspect(cached.ID)
	must(t, err)
	same(t, found.(*plyfs.Layer).ID, cached.ID)
}

func TestAStoreIsMeasuredCheckedAndRepaired(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	image := g.service()
	container := g.create("web-1")
	g.inside(container, func(root string) { write(t, filepath.Join(root, "new"), "content") })
	usage, err := g.Usage()
	must(t, err)
	same(t, usage.Layers, 2)
	same(t, usage.ContainersOwn, plyfs.Usage{})
	usage, err = g.Measure()
	must(t, err)
	own, err := container.Usage()
	must(t, err)
	same(t, usage.ContainersOwn, own)
	info, err := g.Info()
	must(t, err)
	same(t, info.Dialect, "trusted")
	if !g.IsWritable() || len(g.Damage()) != 0 || len(info.Kernel) == 0 {
		t.Fatalf("got %+v", info)
	}

	layers, err := image.Layers()
	must(t, err)
	must(t, os.Remove(filepath.Join(g.Path(), "overlay2/l", layers[0].Link)))
	found, err := g.Check(ctx, plyfs.CheckOptions{Data: true})
	must(t, err)
	same(t, len(found), 1)
	same(t, found[0].Kind, "short-link-missing")
	acts, left, err := g.Repair(ctx, plyfs.CheckOptions{})
	must(t, err)
	same(t, len(left), 0)
	same(t, len(acts), 1)
	if acts[0].Done == "" {
		t.Fatal("it does not say what it did")
	}
}

func TestAStoreThatDoesNotOpenIsMadeWholeOrRebuilt(t *testing.T) {
	g, ctx := newGround(t), t.Context()
	image := g.service()
	made := g.create("web-1")
	containers, err := image.Containers()
	must(t, err)
	same(t, len(containers), 1)
	same(t, containers[0], made.ID)

	must(t, os.Remove(filepath.Join(g.Path(), "plyfs.toml")))
	found, err := plyfs.CheckAt(ctx, g.Path(), plyfs.CheckOptions{})
	must(t, err)
	same(t, len(found), 1)
	same(t, found[0].Kind, "part-missing")
	acts, err := plyfs.RestoreParts(g.Path())
	must(t, err)
	same(t, len(acts), 1)
	same(t, acts[0].Subject, "plyfs.toml")
	found, err = plyfs.CheckAt(ctx, g.Path(), plyfs.CheckOptions{Data: true})
	must(t, err)
	same(t, len(found), 0)

	_, err = plyfs.Rebuild(ctx, g.Path())
	is(t, err, plyfs.ErrInvalidInput)
	must(t, os.RemoveAll(filepath.Join(g.Path(), "journal")))
	rebuilt, err := plyfs.Rebuild(ctx, g.Path())
	must(t, err)
	same(t, len(rebuilt.Found), 3)
	same(t, rebuilt.Found[0], plyfs.Subject{Kind: plyfs.SubjectImage, ID: image.ID})
	same(t, len(rebuilt.Left), 0)
	same(t, rebuilt.Kept, "")
	if len(rebuilt.Containers) != 1 || len(rebuilt.Lost) == 0 {
		t.Fatalf("got %+v", rebuilt)
	}
	again, err := plyfs.Open(g.Path())
	must(t, err)
	defer again.Close()
	_, err = again.Container(rebuilt.Containers[0])
	must(t, err)
	_, err = plyfs.Rebuild(ctx, filepath.Join(g.Path(), "none"))
	is(t, err, plyfs.ErrNotFound)
}

func TestAViewIsAFileSystem(t *testing.T) {
	g := newGround(t)
	image := g.service()
	container := g.create("web-1")
	g.inside(container, func(root string) {
		must(t, os.Symlink("config.properties", filepath.Join(root, "app/link")))
		must(t, os.Symlink("/etc/shadow", filepath.Join(root, "app/out")))
		must(t, os.Remove(filepath.Join(root, "etc/motd")))
		odd := []byte("a\x00b")
		must(t, syscall.Setxattr(filepath.Join(root, "app/config.properties"), "user.odd", odd, 0))
	})
	view, err := container.View()
	must(t, err)
	defer view.Close()
	content, err := fs.ReadFile(view, "app/link")
	must(t, err)
	same(t, string(content), "port=80\n")
	_, err = view.Open("app/out")
	is(t, err, fs.ErrNotExist)
	_, err = view.Open("etc/motd")
	is(t, err, plyfs.ErrNotFound)
	_, err = view.Open("/etc")
	is(t, err, fs.ErrInvalid)
	target, err := view.ReadLink("app/link")
	must(t, err)
	same(t, target, "config.properties")
	link, err := view.Lstat("app/link")
	must(t, err)
	same(t, link.Mode().Type(), fs.ModeSymlink)
	same(t, link.Sys().(*plyfs.Stat).Layer, 0)

	xattrs, err := view.Xattrs("app/link")
	must(t, err)
	same(t, len(xattrs), 1)
	same(t, string(xattrs["user.odd"]), "a\x00b")
	xattrs, err = view.Lxattrs("app/link")
	must(t, err)
	same(t, len(xattrs), 0)
	_, err = view.Xattrs("app/none")
	is(t, err, fs.ErrNotExist)

	whole, err := image.View()
	must(t, err)
	defer whole.Close()
	must(t, fstest.TestFS(whole, "app/config.properties", "etc/motd"))
}
