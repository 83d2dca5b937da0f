package plyfs

import (
	"errors"
	"io/fs"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// counted makes a handle that counts how often it is freed.
func counted() (*handle[*int], *atomic.Int32) {
	var freed atomic.Int32
	return own("thing", new(int), func(*int) { freed.Add(1) }), &freed
}

func holds(t *testing.T, freed *atomic.Int32, want int32) {
	t.Helper()
	if got := freed.Load(); got != want {
		t.Fatalf("freed %d times, not %d", got, want)
	}
}

// collected waits until the garbage collector has done what it does.
func collected(t *testing.T, freed *atomic.Int32) {
	t.Helper()
	for begun := time.Now(); freed.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			t.Fatal("what was forgotten is not freed")
		}
		runtime.GC()
	}
	holds(t, freed, 1)
}

func TestAHandleIsFreedOnce(t *testing.T) {
	h, freed := counted()
	h.close()
	h.close()
	holds(t, freed, 1)
	if err := h.use(func(*int) error { return nil }); !errors.Is(err, fs.ErrClosed) {
		t.Fatal(err)
	}
	if h.take() != nil {
		t.Fatal("a closed handle was taken")
	}
}

func TestAHandleIsFreedBehindTheLastCallWithIt(t *testing.T) {
	h, freed := counted()
	err := h.use(func(*int) error {
		return h.use(func(*int) error {
			h.close()
			holds(t, freed, 0)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, freed, 1)
}

func TestWhatIsTakenIsNotFreed(t *testing.T) {
	h, freed := counted()
	if h.take() == nil {
		t.Fatal("it was there")
	}
	h.close()
	holds(t, freed, 0)
	busy, freed := counted()
	_ = busy.use(func(*int) error {
		if busy.take() != nil {
			t.Fatal("it was taken from under a call")
		}
		return nil
	})
	holds(t, freed, 1)
}

func TestAForgottenHandleIsFreed(t *testing.T) {
	_, freed := counted()
	collected(t, freed)
}

func TestAListLivesAsLongAsWhatIsInIt(t *testing.T) {
	list, freed := counted()
	item := borrow("item", new(int), list)
	list = nil
	for range 5 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	holds(t, freed, 0)
	if err := item.use(func(*int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	item.close()
	collected(t, freed)
}
