#pragma once
/* A folder of a test's own, gone with all in it when the test ends. */

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "test.h"

struct folder {
        char path[32];
        char text[4][256]; /* the last paths given */
        unsigned int next;
};

/* NAME in the folder; good until the fourth call after this one. */
static inline const char *folder_path(struct folder *folder, const char *name) {
        char *text = folder->text[folder->next++ % 4];

        (void) snprintf(text, sizeof(folder->text[0]), "%s/%s", folder->path, name);
        return text;
}

static inline void folder_write(struct folder *folder, const char *name, const char *text) {
        FILE *file = fopen(folder_path(folder, name), "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static inline int folder_remove_one(
                const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static inline int folder_setup(void **state) {
        struct folder *folder = calloc(1, sizeof(*folder));

        assert_non_null(folder);
        (void) snprintf(folder->path, sizeof(folder->path), "/tmp/vw-unit-XXXXXX");
        assert_non_null(mkdtemp(folder->path));
        *state = folder;
        return 0;
}

static inline int folder_teardown(void **state) {
        struct folder *folder = *state;

        (void) nftw(folder->path, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
        free(folder);
        return 0;
}

#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
