#include <stdlib.h>

#include "_cgo_export.h"
#include "watch.h"

plyfs_go_watch *plyfs_go_watch_new(uintptr_t told)
{
    plyfs_go_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        abort();
    watch->told = told;
    return watch;
}

void plyfs_go_watch_cancel(plyfs_go_watch *watch)
{
    __atomic_store_n(&watch->is_cancelled, 1, __ATOMIC_RELAXED);
}

int32_t plyfs_go_watch_step(void *user, const plyfs_step *step)
{
    plyfs_go_watch *watch = user;

    if (__atomic_load_n(&watch->is_cancelled, __ATOMIC_RELAXED))
        return 1;
    return watch->told == 0 ? 0 : plyfsGoStep(watch->told, (plyfs_step *)step);
}
