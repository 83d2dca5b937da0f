#ifndef PLYFS_GO_WATCH_H
#define PLYFS_GO_WATCH_H

#include <plyfs.h>

/* What a long call and the goroutine that watches it share. */
typedef struct plyfs_go_watch {
    int is_cancelled;
    /* A handle of what is told of each step; 0 when nothing is. */
    uintptr_t told;
} plyfs_go_watch;

plyfs_go_watch *plyfs_go_watch_new(uintptr_t told);
void plyfs_go_watch_cancel(plyfs_go_watch *watch);

/* A plyfs_progress. Go is entered only where somebody wants to be told. */
int32_t plyfs_go_watch_step(void *watch, const plyfs_step *step);

#endif
