/* The words between virtwatch-kmsg and its clients, and what only looks like them. */

#include <errno.h>
#include <string.h>

#include "base/macro.h"
#include "model/kmsg_wire.h"
#include "test.h"

static void where_to_begin_is_read_as_it_was_written(void **state) {
        static const uint64_t rows[] = { 0, 1, 4711, UINT64_MAX - 1, KMSG_WIRE_END };
        char text[KMSG_WIRE_ASK_MAX];
        uint64_t from;
        size_t n;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                n = kmsg_wire_ask(text, rows[i]);
                assert_true(n > 0 && n < sizeof(text));
                assert_int_equal(kmsg_wire_read_ask(text, n, &from), 0);
                assert_true(from == rows[i]);
        }
}

static void other_words_of_a_client_are_refused(void **state) {
        static const char *const rows[] = { "", "x", "virtwatch-kmsg", "virtwatch-kmsg 1 from ",
                "virtwatch-kmsg 2 from 1", "virtwatch-kmsg 1 from -1", "virtwatch-kmsg 1 from 1 ",
                "virtwatch-kmsg 1 from endless", "virtwatch-kmsg 1 from 18446744073709551615",
                "virtwatch-kmsg 1 from 18446744073709551616",
                "virtwatch-kmsg 1 from 000000000000000000000000000000001" };
        uint64_t from = 7;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (kmsg_wire_read_ask(rows[i], strlen(rows[i]), &from) != -EINVAL)
                        fail_msg("row %zu", i);
        assert_int_equal(kmsg_wire_read_ask("virtwatch-kmsg 1 from 1\0002", 25, &from), -EINVAL);
        assert_int_equal(from, 7);
}

static int read_text(const char *text, struct kmsg_message *ret_message) {
        return kmsg_wire_read(text, strlen(text), ret_message);
}

static void what_a_client_is_told_is_read(void **state) {
        struct kmsg_message message;

        assert_int_equal(read_text("6,12,34,-;Out of memory", &message), 0);
        assert_int_equal(message.type, KMSG_WIRE_RECORD);
        assert_int_equal(message.record.sequence, 12);
        assert_memory_equal(message.record.text, "Out of memory", message.record.text_size);
        assert_int_equal(read_text("lost 5", &message), 0);
        assert_int_equal(message.type, KMSG_WIRE_LOST);
        assert_int_equal(message.number, 5);
        assert_int_equal(read_text("next 13", &message), 0);
        assert_int_equal(message.type, KMSG_WIRE_NEXT);
        assert_int_equal(message.number, 13);
        assert_int_equal(read_text("failed Operation not permitted", &message), 0);
        assert_int_equal(message.type, KMSG_WIRE_FAILED);
        assert_int_equal(message.text_size, strlen("Operation not permitted"));
        assert_memory_equal(message.text, "Operation not permitted", message.text_size);
}

static void what_a_false_helper_says_is_refused(void **state) {
        static const char *const rows[] = { "", "lost", "lost ", "lost -1", "lost 1x", "next",
                "next ", "next 18446744073709551615", "NEXT 1", "failed", "6,12",
                "14,12,34,-;a process wrote this", "6,18446744073709551615,34,-;x", "\n",
                " 6,1,2;x" };
        static char big[KMSG_WIRE_MAX + 1];
        struct kmsg_message message = { .number = 7 };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (read_text(rows[i], &message) != -EINVAL)
                        fail_msg("row %zu", i);
        memset(big, 'x', sizeof(big));
        memcpy(big, "6,12,34,-;", 10);
        assert_int_equal(kmsg_wire_read(big, sizeof(big), &message), -EINVAL);
        assert_int_equal(message.number, 7);
        assert_int_equal(kmsg_wire_read(big, sizeof(big) - 1, &message), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(where_to_begin_is_read_as_it_was_written),
                cmocka_unit_test(other_words_of_a_client_are_refused),
                cmocka_unit_test(what_a_client_is_told_is_read),
                cmocka_unit_test(what_a_false_helper_says_is_refused),
        };

        return RUN_TESTS(tests);
}
