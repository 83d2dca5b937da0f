package plyfs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plyfs.dev/plyfs"
)

// configured is what the README says.
func configured(ctx context.Context, archive io.Reader) error {
	store, err := plyfs.Ensure("/var/lib/plyfs")
	if err != nil {
		return err
	}
	defer store.Close()
	if _, err := store.Load(ctx, archive); err != nil {
		return err
	}
	container, err := store.Create("svc:1", plyfs.ContainerOptions{Name: "web-1"})
	if errors.Is(err, plyfs.ErrExists) {
		container, err = store.Container("web-1")
	}
	if err != nil {
		return err
	}
	mount, err := container.Mount(ctx)
	if err != nil {
		return err
	}
	defer mount.Close()
	return os.WriteFile(filepath.Join(mount.Path(), "app/config.properties"), []byte("port=81\n"), 0o644)
}

func ExampleStore_Load() {
	file, err := os.Open("svc.tar")
	if err == nil {
		err = configured(context.Background(), file)
	}
	fmt.Println(err)
}

func ExampleContainer_Changes() {
	store, err := plyfs.Open("/var/lib/plyfs")
	if err != nil {
		return
	}
	defer store.Close()
	container, err := store.Container("web-1")
	if err != nil {
		return
	}
	for change, err := range container.Changes() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(change)
	}
}

func TestTheReadmeSaysWhatCompiles(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	must(t, err)
	here, err := os.ReadFile("example_test.go")
	must(t, err)
	_, behind, _ := strings.Cut(string(readme), "```go\n")
	block, _, found := strings.Cut(behind, "```")
	if !found {
		t.Fatal("the README has no Go")
	}
	var body strings.Builder
	for line := range strings.Lines(block) {
		body.WriteString("\t" + line)
	}
	if !strings.Contains(string(here), "error {\n"+body.String()+"}\n") {
		t.Fatalf("this is not the body of configured:\n%s", body.String())
	}
}
