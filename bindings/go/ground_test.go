package plyfs_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"plyfs.dev/plyfs"
)

// ground is a store in a directory of its own; no mount and no goroutine may be left behind.
type ground struct {
	*plyfs.Store
	t   *testing.T
	dir string
}

func newGround(t *testing.T) *ground {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, and a skip is a failure here")
		}
		t.Skip("needs root")
	}
	goroutines := runtime.NumGoroutine()
	dir, err := os.MkdirTemp("/var/tmp", "plyfs-go-")
	must(t, err)
	store, err := plyfs.OpenWith(filepath.Join(dir, "store"), plyfs.OpenOptions{Create: true, Durability: plyfs.NoSync})
	must(t, err)
	t.Cleanup(func() {
		must(t, store.Close())
		for _, left := range mountsBelow(t, dir) {
			t.Errorf("%s is still mounted", left)
			_ = syscall.Unmount(left, syscall.MNT_DETACH)
		}
		must(t, os.RemoveAll(dir))
		waitFor(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
	return &ground{store, t, dir}
}

// service loads the image svc:1 and gives it.
func (g *ground) service() *plyfs.Image {
	g.t.Helper()
	images, err := g.Load(g.t.Context(), bytes.NewReader(service(g.t)))
	must(g.t, err)
	return images[0]
}

// create creates a container of svc:1.
func (g *ground) create(name string) *plyfs.Container {
	g.t.Helper()
	container, err := g.Create("svc:1", plyfs.ContainerOptions{Name: name})
	must(g.t, err)
	return container
}

// inside does something in a mounted container.
func (g *ground) inside(container *plyfs.Container, work func(root string)) {
	g.t.Helper()
	mount, err := container.Mount(g.t.Context())
	must(g.t, err)
	work(mount.Path())
	must(g.t, mount.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// is holds an error to what errors.Is finds in it.
func is(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("%v is not %v", err, target)
	}
}

func same[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(content), 0o644))
}

// waitFor waits for what happens soon; what says what is wrong when it does not.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal(what)
		}
	}
}

func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	info, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	var all []string
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); strings.HasPrefix(fields[4], dir+"/") {
			all = append(all, fields[4])
		}
	}
	return all
}

// member is one of an archive; one whose name ends in a slash is a directory.
type member struct{ name, content string }

func archive(t *testing.T, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		header := &tar.Header{Name: m.name, Mode: 0o755, Size: int64(len(m.content)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(m.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		header.ModTime = time.Unix(1_700_000_000, 0)
		must(t, w.WriteHeader(header))
		_, err := w.Write([]byte(m.content))
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

// service is a docker-archive of the image svc:1, of two layers.
func service(t *testing.T) []byte {
	t.Helper()
	base := archive(t, member{"etc/", ""}, member{"etc/motd", "hello\n"})
	app := archive(t, member{"app/", ""}, member{"app/config.properties", "port=80\n"})
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      "2024-05-01T10:20:30Z",
		"config":       map[string]any{"Cmd": []string{"/bin/sh"}},
		"history":      []any{map[string]any{"created_by": "COPY etc"}, map[string]any{"created_by": "COPY app"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(base), digest(app)}},
	})
	must(t, err)
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": "config.json", "RepoTags": []string{"svc:1"}, "Layers": []string{"base.tar", "app.tar"},
	}})
	must(t, err)
	return archive(t,
		member{"manifest.json", string(manifest)},
		member{"config.json", string(config)},
		member{"base.tar", string(base)},
		member{"app.tar", string(app)},
	)
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
