/* A list of complaints. */

#include "daemon/config_faults.h"

#include <string.h>

void config_faults_done(struct config_faults *faults) {
        free(faults->items);
        *faults = (struct config_faults){};
}

int config_faults_add(struct config_faults *faults, int error, const struct diag *diag) {
        if (!faults->items)
                faults->items = calloc(CONFIG_FAULTS_MAX, sizeof(faults->items[0]));
        if (!faults->items)
                return -ENOMEM;
        if (faults->n >= CONFIG_FAULTS_MAX)
                faults->more++;
        else
                faults->items[faults->n++] = (struct config_fault){ error, *diag };
        return 0;
}

const char *config_fault_text(
                const struct config_fault *fault, char text[static CONFIG_FAULT_TEXT_MAX]) {
        const struct diag *diag = &fault->diag;
        const char *what = diag->text[0] ? diag->text : strerrordesc_np(-fault->error);
        char place[32] = "";

        if (diag->line > 0)
                (void) snprintf(place, sizeof(place), ":%u:%u", diag->line, diag->column);
        (void) snprintf(text, CONFIG_FAULT_TEXT_MAX, "%s%s%s%s", diag->path, place,
                        diag->path[0] ? ": " : "", what ? what : "cannot be read");
        return text;
}
