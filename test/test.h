#pragma once
/* cmocka with what it wants included before it. Test names are sentences. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define RUN_TESTS(tests) cmocka_run_group_tests(tests, NULL, NULL)
