/* Bytes that are read as a histogram are one: written again and read again they tell the same. */

#include "base/buf.h"
#include "model/latency.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct buf bytes = BUF_INIT(1U << 20);
        struct latency latency = {}, again = {};

        if (size > 65536 || latency_decode(data, size, &latency) < 0)
                return 0;
        assert(latency_encode(&latency, &bytes) == 0);
        assert(bytes.size <= size); /* ours are the shortest */
        assert(latency_decode(bytes.data, bytes.size, &again) == 0);
        assert(again.count == latency.count);
        for (double q = 0; q < 1.1; q += 0.25)
                assert(latency_quantile_ns(&again, q) == latency_quantile_ns(&latency, q));
        assert(latency_quantile_ns(&latency, 0) <= latency_quantile_ns(&latency, 1));
        latency_done(&latency);
        latency_done(&again);
        buf_done(&bytes);
        return 0;
}
