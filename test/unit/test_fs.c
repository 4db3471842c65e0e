/* Small files, whole, up to their limit; folders with all above them. */

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "folder.h"
#include "test.h"

static void a_file_is_read_up_to_its_limit(void **state) {
        struct folder *folder = *state;
        char *text = NULL;
        size_t size = 0;

        folder_write(folder, "five", "12345");
        assert_int_equal(fs_read_text(AT_FDCWD, folder_path(folder, "five"), 5, &text, &size), 0);
        assert_string_equal(text, "12345");
        assert_int_equal(size, 5);
        free(TAKE_PTR(text));
        assert_int_equal(fs_read_text(AT_FDCWD, folder_path(folder, "five"), 4, &text, &size),
                        -EFBIG);
        assert_null(text);
}

static void a_file_of_many_pieces_is_read_whole(void **state) {
        struct folder *folder = *state;
        _cleanup_(freep) char *text = NULL;
        static char big[3 * 4096 + 2];
        size_t size = 0;

        memset(big, 'x', sizeof(big) - 1);
        folder_write(folder, "big", big);
        assert_int_equal(fs_read_text(AT_FDCWD, folder_path(folder, "big"), sizeof(big) - 1, &text,
                                         &size),
                        0);
        assert_int_equal(size, sizeof(big) - 1);
        assert_string_equal(text, big);
}

static void an_empty_file_is_an_empty_text(void **state) {
        struct folder *folder = *state;
        _cleanup_(freep) char *text = NULL;

        folder_write(folder, "empty", "");
        assert_int_equal(fs_read_text(AT_FDCWD, folder_path(folder, "empty"), 0, &text, NULL), 0);
        assert_string_equal(text, "");
}

static void a_path_may_be_relative_to_a_folder(void **state) {
        struct folder *folder = *state;
        _cleanup_(fd_closep) int fd = open(folder->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        _cleanup_(freep) char *text = NULL;

        folder_write(folder, "here", "yes");
        assert_int_equal(fs_read_text(fd, "here", 10, &text, NULL), 0);
        assert_string_equal(text, "yes");
}

static void what_cannot_be_read_says_why(void **state) {
        struct folder *folder = *state;
        char *text = NULL;

        assert_int_equal(fs_read_text(AT_FDCWD, folder_path(folder, "none"), 10, &text, NULL),
                        -ENOENT);
        assert_int_equal(fs_read_text(AT_FDCWD, folder->path, 10, &text, NULL), -EISDIR);
        assert_null(text);
}

static void folders_are_made_with_all_above_them(void **state) {
        struct folder *folder = *state;
        struct stat st;

        assert_int_equal(fs_make_dirs(folder_path(folder, "a//b/c/"), 0700), 0);
        assert_int_equal(stat(folder_path(folder, "a/b/c"), &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(fs_make_dirs(folder_path(folder, "a/b/c"), 0755), 0);
        assert_int_equal(stat(folder_path(folder, "a/b/c"), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700); /* what was there is left as it was */
        assert_int_equal(fs_make_dirs("/", 0700), 0);
}

static void a_file_in_the_way_of_a_folder_is_told(void **state) {
        struct folder *folder = *state;

        folder_write(folder, "file", "");
        assert_int_equal(fs_make_dirs(folder_path(folder, "file/below"), 0700), -ENOTDIR);
        assert_int_equal(fs_make_dirs(folder_path(folder, "file"), 0700), -ENOTDIR);
        assert_int_equal(fs_make_dirs("", 0700), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FOLDER_TEST(a_file_is_read_up_to_its_limit),
                FOLDER_TEST(a_file_of_many_pieces_is_read_whole),
                FOLDER_TEST(an_empty_file_is_an_empty_text),
                FOLDER_TEST(a_path_may_be_relative_to_a_folder),
                FOLDER_TEST(what_cannot_be_read_says_why),
                FOLDER_TEST(folders_are_made_with_all_above_them),
                FOLDER_TEST(a_file_in_the_way_of_a_folder_is_told),
        };

        return RUN_TESTS(tests);
}
