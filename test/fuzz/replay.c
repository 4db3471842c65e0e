/* Runs a fuzz target over every file of the folders given: the corpus, in the normal run. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
        static uint8_t data[1 << 20];
        FILE *file = fopen(path, "re");
        size_t size;

        if (!file)
                return -1;
        size = fread(data, 1, sizeof(data), file);
        (void) fclose(file);
        (void) LLVMFuzzerTestOneInput(data, size);
        return 0;
}

static int replay_folder(const char *path) {
        struct dirent *entry;
        char file[4096];
        DIR *folder;
        int n = 0;

        folder = opendir(path);
        while (folder && (entry = readdir(folder))) {
                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
                if (replay_file(file) == 0)
                        n++;
        }
        if (folder)
                (void) closedir(folder);
        return n;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                int n = replay_folder(argv[i]);

                (void) printf("%s: %d inputs\n", argv[i], n);
                if (n == 0)
                        return EXIT_FAILURE;
        }
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
