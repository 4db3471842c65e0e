#pragma once
/* All that is wrong with a configuration, one after the other, so that a person mends it in one go.
 */

#include "base/diag.h"

#define CONFIG_FAULTS_MAX     64 /* what comes after is counted */
#define CONFIG_FAULT_TEXT_MAX 1024

struct config_fault {
        int error; /* negative errno */
        struct diag diag;
};

struct config_faults {
        struct config_fault *items;
        size_t n, more;
};

void config_faults_done(struct config_faults *faults);
/** Return: 0; -ENOMEM. */
int config_faults_add(struct config_faults *faults, int error, const struct diag *diag);
/** "PATH:LINE:COLUMN: what is wrong". Return: @text. */
const char *config_fault_text(
                const struct config_fault *fault, char text[static CONFIG_FAULT_TEXT_MAX]);
