/* Multiply and fold, eight bytes at a time. */

#include "base/hash.h"

#include <string.h>
#include <sys/auxv.h>

uint64_t hash_seed(void) {
        uint64_t seed;

        memcpy(&seed, (const void *) (uintptr_t) getauxval(AT_RANDOM), sizeof(seed));
        return seed;
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed) {
        const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
        uint64_t hash = seed ^ size, word;
        const char *text = data;

        for (; size >= sizeof(word); text += sizeof(word), size -= sizeof(word)) {
                memcpy(&word, text, sizeof(word));
                hash = (hash ^ word) * factor;
                hash ^= hash >> 29;
        }
        word = 0;
        memcpy(&word, text, size);
        hash = (hash ^ word) * factor;
        return hash ^ hash >> 32;
}
