#pragma once
/* A disk that fails: this program's own definitions of what SQLite calls stand before the C
 * library's. Opens of paths that have "/vwf" in them count. Nothing is waited for: no power
 * fails here. */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define EXPORTED __attribute__((visibility("default")))

static atomic_int countdown; /* operations until one fails; 0: none does */
static atomic_int repeat;    /* how many fail in a row */
static atomic_int failure;   /* errno */

static atomic_bool reads_too;

static bool fails(void) {
        int left = atomic_load(&countdown);

        if (left <= 0)
                return false;
        if (left > 1) {
                atomic_fetch_sub(&countdown, 1);
                return false;
        }
        if (atomic_fetch_sub(&repeat, 1) <= 1)
                atomic_store(&countdown, 0);
        errno = atomic_load(&failure);
        return true;
}

static void *real(const char *name) {
        void *found = dlsym(RTLD_NEXT, name);

        if (!found)
                abort();
        return found;
}

static bool is_ours(const char *path) {
        return strstr(path, "/vwf") != NULL;
}

static int do_open(const char *name, const char *path, int flags, mode_t mode) {
        int (*next)(const char *, int, ...) = NULL;

        *(void **) &next = real(name);
        return is_ours(path) && fails() ? -1 : next(path, flags, mode);
}

EXPORTED int open(const char *path, int flags, ...) {
        va_list list;
        mode_t mode;

        va_start(list, flags);
        mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
        va_end(list);
        return do_open("open", path, flags, mode);
}

EXPORTED int open64(const char *path, int flags, ...) {
        va_list list;
        mode_t mode;

        va_start(list, flags);
        mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
        va_end(list);
        return do_open("open64", path, flags, mode);
}

EXPORTED ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
        ssize_t (*next)(int, const void *, size_t, off64_t) = NULL;

        *(void **) &next = real("pwrite64");
        return fails() ? -1 : next(fd, data, size, offset);
}

/* By that name where it is linked: where it is compiled it may be an inline one of the headers. */
EXPORTED ssize_t faulty_pread64(int fd, void *data, size_t size, off64_t offset) __asm__("pread64");

ssize_t faulty_pread64(int fd, void *data, size_t size, off64_t offset) {
        ssize_t (*next)(int, void *, size_t, off64_t) = NULL;

        *(void **) &next = real("pread64");
        return atomic_load(&reads_too) && fails() ? -1 : next(fd, data, size, offset);
}

EXPORTED int ftruncate64(int fd, off64_t size) {
        int (*next)(int, off64_t) = NULL;

        *(void **) &next = real("ftruncate64");
        return fails() ? -1 : next(fd, size);
}

EXPORTED int fsync(int fd) {
        return fails() ? -1 : 0;
}

EXPORTED int fdatasync(int fd) {
        return fails() ? -1 : 0;
}

static inline void fail_for_good(int error) {
        atomic_store(&failure, error);
        atomic_store(&repeat, INT32_MAX);
        atomic_store(&countdown, 1);
}
