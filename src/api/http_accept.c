/* A list of names with parameters and weights, read element by element. Weights are in thousandths:
 * more digits there may not be. */

#include "api/http_accept.h"

#include <string.h>
#include <strings.h>

#define WEIGHT_ONE 1000U

struct element {
        char name[64];    /* "text/plain", "gzip"; cut, which makes it unknown */
        char version[16]; /* the parameter of that name; "" when not given */
        unsigned int weight;
};

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *text) {
        while (is_blank(*text))
                text++;
        return text;
}

/* 0, 1, 0.123 and 1.000; anything else is 0: not wanted. */
static unsigned int parse_weight(const char *text) {
        unsigned int weight, digit = 100;

        if (text[0] != '0' && text[0] != '1')
                return 0;
        weight = text[0] == '1' ? WEIGHT_ONE : 0;
        if (text[1] != '.')
                return text[1] ? 0 : weight;
        for (text += 2; *text >= '0' && *text <= '9' && digit > 0; text++, digit /= 10)
                weight += (unsigned int) (*text - '0') * digit;
        return *text || weight > WEIGHT_ONE ? 0 : weight;
}

/* Copy up to one of @stops, without quotes and blanks at the end. */
static const char *take(const char *text, const char *stops, char *to, size_t size) {
        bool quoted = false;
        size_t n = 0;

        for (text = skip_blanks(text); *text && (quoted || !strchr(stops, *text)); text++) {
                if (*text == '"')
                        quoted = !quoted;
                else if (n < size - 1)
                        to[n++] = *text;
        }
        while (n > 0 && is_blank(to[n - 1]))
                n--;
        to[n] = '\0';
        return text;
}

static bool next_element(const char **cursor, struct element *element) {
        const char *text = *cursor + strspn(*cursor, ", \t");
        char name[16], value[16];

        if (!*text)
                return false;
        *element = (struct element){ .weight = WEIGHT_ONE };
        text = take(text, ",;", element->name, sizeof(element->name));
        while (*text == ';') {
                text = take(text + 1, ",;=", name, sizeof(name));
                value[0] = '\0';
                if (*text == '=')
                        text = take(text + 1, ",;", value, sizeof(value));
                if (strcasecmp(name, "q") == 0)
                        element->weight = parse_weight(value);
                else if (strcasecmp(name, "version") == 0)
                        memcpy(element->version, value, sizeof(value));
        }
        *cursor = text;
        return true;
}

bool http_accepts_openmetrics(const char *accept) {
        unsigned int openmetrics = 0, text = 0;
        struct element element;

        while (accept && next_element(&accept, &element)) {
                if (strcasecmp(element.name, "application/openmetrics-text") == 0) {
                        bool spoken = !element.version[0] || strcmp(element.version, "1.0.0") == 0;

                        if (spoken && element.weight > openmetrics)
                                openmetrics = element.weight;
                } else if (strcasecmp(element.name, "text/plain") == 0 && element.weight > text) {
                        text = element.weight;
                }
        }
        return openmetrics > 0 && openmetrics >= text;
}

bool http_accepts_gzip(const char *accept_encoding) {
        unsigned int gzip = 0, any = 0, identity = 0;
        struct element element;
        bool named = false;

        while (accept_encoding && next_element(&accept_encoding, &element)) {
                if (strcasecmp(element.name, "gzip") == 0 ||
                                strcasecmp(element.name, "x-gzip") == 0) {
                        named = true;
                        gzip = element.weight;
                } else if (strcmp(element.name, "*") == 0) {
                        any = element.weight;
                } else if (strcasecmp(element.name, "identity") == 0) {
                        identity = element.weight;
                }
        }
        if (!named)
                gzip = any;
        return gzip > 0 && gzip >= identity;
}
