#pragma once
/* A storage pool of a libvirt, as its source tells it. */

#include "base/macro.h"

#define POOLS_MAX 256 /* of one source */

struct pool {
        char name[128];
        unsigned int state; /* virStoragePoolState */
        uint64_t capacity_bytes, allocation_bytes, available_bytes;
};
