#pragma once
/* Text that comes from outside: UTF-8, control characters, numbers, hexadecimal digits. */

#include "base/macro.h"

/** Is it well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms)? */
bool text_is_utf8(const char *text, size_t size);

/**
 * A copy that is valid UTF-8: each byte that is not becomes U+FFFD, NUL ends it. Cut at @max bytes,
 * never inside a character. Caller frees.
 *
 * Return: 0; -ENOMEM.
 */
int text_sanitize(const char *text, size_t size, size_t max, char **ret_text);

/** The same into an array of @size bytes, NUL included. */
void text_fit(char *to, size_t size, const char *text);

/** For a terminal: a copy with C0, DEL, C1 controls, newlines and bytes that are no UTF-8 as \xNN
 * or \n, \t, and marks that turn the direction of writing as \uNNNN. Caller frees; NULL: no
 * memory. */
char *text_escape_terminal(const char *text);
/** The code point at @text, if it is DEL, a C1 control or a mark that turns the direction of
 * writing: what JSON lets pass and terminals obey. Return: 0 for all else. */
unsigned int text_terminal_mark(const char *text);

/** Whole-text decimal numbers, no sign (u64), no blanks. Return: 0; -EINVAL; -ERANGE. */
int text_to_u64(const char *text, uint64_t *ret_value);
int text_to_i64(const char *text, int64_t *ret_value);

/** @size bytes as hexadecimal digits in lower case, and a NUL: @text has room for 2 * @size + 1.
 * Return: @text. */
char *text_hex(const uint8_t *bytes, size_t size, char *text);
/** Read 2 * @size such digits; what follows them is not looked at. Return: 0; -EINVAL another byte,
 * or the text's end, comes sooner (some of @ret_bytes is written then). */
int text_unhex(const char *text, size_t size, uint8_t *ret_bytes);

bool text_starts_with(const char *text, const char *prefix);
/** Read the digits at *@at and move it behind them. Return: 0; -EINVAL no digit; -ERANGE. */
int text_take_u64(const char **at, uint64_t *ret_value);
/** strcmp()==0 where NULL equals only NULL. */
bool text_equal(const char *a, const char *b);
/** Where @text stands among @n @words. Return: its index; -EINVAL it is none of them. */
int text_find(const char *const *words, size_t n, const char *text);
/** Copy @size bytes of @text with the letters of ASCII in lower case, and a NUL, into @to, which
 * has room for @size + 1. */
void text_lower(const char *text, size_t size, char *to);
/** Levenshtein's distance: how many letters one mistyped. SIZE_MAX: @b is longer than 63 bytes. */
size_t text_distance(const char *a, const char *b);
