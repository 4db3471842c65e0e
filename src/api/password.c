/* One thread, one queue there and a mailbox back. The thread begins with the first check. */

#include "api/password.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <string.h>

#include "base/list.h"
#include "loop/mailbox.h"

#define HASH_SIZE   60
#define DIGEST_SIZE 32
#define KEY_SIZE    32

/* Of nothing that anybody knows; what users that there are not are checked against. */
#define NOBODY "$2b$10$CwTycUXWue0Thq9StjUM0uJ8xTbjhUfZ8aT8cJQ1Yv3cB3y8mPq7e"

struct check {
        struct letter letter; /* back */
        struct list list;     /* there */
        char hash[HASH_SIZE + 1];
        char password[PASSWORD_MAX + 1];
        unsigned char digest[DIGEST_SIZE];
        bool good; /* out */
        void (*done)(bool good, void *userdata);
        void *userdata;
};

struct passwords {
        struct mailbox *mailbox;
        pthread_t thread;
        bool has_thread;
        pthread_mutex_t lock;
        pthread_cond_t changed;
        struct list waiting; /* under lock: of struct check */
        bool ending;         /* under lock */
        size_t n_under_way;
        unsigned char key[KEY_SIZE];
        unsigned char good[PASSWORDS_GOOD_MAX][DIGEST_SIZE];
        size_t n_good, next_good;
};

bool password_hash_is_good(const char *hash) {
        static const char bytes[] =
                        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        unsigned int cost;

        if (strlen(hash) != HASH_SIZE || strncmp(hash, "$2", 2) != 0 || !strchr("aby", hash[2]) ||
                        hash[3] != '$' || hash[6] != '$' || hash[4] < '0' || hash[4] > '9' ||
                        hash[5] < '0' || hash[5] > '9')
                return false;
        cost = (unsigned int) (hash[4] - '0') * 10 + (unsigned int) (hash[5] - '0');
        return cost >= 4 && cost <= PASSWORD_COST_MAX && strspn(hash + 7, bytes) == HASH_SIZE - 7;
}

static struct check *check_free(struct check *check) {
        if (check)
                explicit_bzero(check->password, sizeof(check->password));
        free(check);
        return NULL;
}
DEFINE_FREEP(struct check, check_free);

/* ---- on the thread ---- */

static bool is_right(const struct check *check, struct crypt_data *data) {
        const char *got = crypt_r(check->password, check->hash, data);

        return got && strlen(got) == HASH_SIZE && gnutls_memcmp(got, check->hash, HASH_SIZE) == 0;
}

static struct check *take(struct passwords *passwords) {
        struct check *check;

        (void) pthread_mutex_lock(&passwords->lock);
        while (list_is_empty(&passwords->waiting) && !passwords->ending)
                (void) pthread_cond_wait(&passwords->changed, &passwords->lock);
        check = passwords->ending ? NULL : list_first(&passwords->waiting, struct check, list);
        if (check)
                list_remove(&check->list);
        (void) pthread_mutex_unlock(&passwords->lock);
        return check;
}

static void *run(void *userdata) {
        struct crypt_data *data = calloc(1, sizeof(*data));
        struct passwords *passwords = userdata;
        struct check *check;

        while ((check = take(passwords))) {
                check->good = data && is_right(check, data);
                /* there is room for as many as may be under way */
                (void) mailbox_post(passwords->mailbox, &check->letter);
        }
        if (data)
                explicit_bzero(data, sizeof(*data));
        free(data);
        return NULL;
}

/* ---- on the loop ---- */

static void deliver(struct letter *letter, void *userdata) {
        struct check *check = CONTAINER_OF(letter, struct check, letter);
        struct passwords *passwords = userdata;

        passwords->n_under_way--;
        if (check->good) {
                memcpy(passwords->good[passwords->next_good], check->digest, DIGEST_SIZE);
                passwords->next_good = (passwords->next_good + 1) % PASSWORDS_GOOD_MAX;
                if (passwords->n_good < PASSWORDS_GOOD_MAX)
                        passwords->n_good++;
        }
        check->done(check->good, check->userdata);
        (void) check_free(check);
}

int passwords_new(sd_event *event, struct passwords **ret_passwords) {
        _cleanup_(passwords_freep) struct passwords *passwords = calloc(1, sizeof(*passwords));
        int r;

        if (!passwords)
                return -ENOMEM;
        list_init(&passwords->waiting);
        (void) pthread_mutex_init(&passwords->lock, NULL);
        (void) pthread_cond_init(&passwords->changed, NULL);
        r = mailbox_new(event, PASSWORDS_WAITING_MAX, deliver, passwords, &passwords->mailbox);
        if (r < 0)
                return r;
        if (gnutls_rnd(GNUTLS_RND_KEY, passwords->key, sizeof(passwords->key)) < 0)
                return -EIO;
        *ret_passwords = TAKE_PTR(passwords);
        return 0;
}

struct passwords *passwords_free(struct passwords *passwords) {
        struct check *check, *next;

        if (!passwords)
                return NULL;
        (void) pthread_mutex_lock(&passwords->lock);
        passwords->ending = true;
        (void) pthread_cond_signal(&passwords->changed);
        (void) pthread_mutex_unlock(&passwords->lock);
        if (passwords->has_thread)
                (void) pthread_join(passwords->thread, NULL);
        mailbox_free(passwords->mailbox);
        list_for_each_safe(check, next, &passwords->waiting, list) {
                list_remove(&check->list);
                check->done(false, check->userdata);
                (void) check_free(check);
        }
        (void) pthread_mutex_destroy(&passwords->lock);
        (void) pthread_cond_destroy(&passwords->changed);
        explicit_bzero(passwords->key, sizeof(passwords->key));
        free(passwords);
        return NULL;
}

static bool is_known(const struct passwords *passwords, const unsigned char *digest) {
        bool known = false;

        for (size_t i = 0; i < passwords->n_good; i++)
                known |= gnutls_memcmp(passwords->good[i], digest, DIGEST_SIZE) == 0;
        return known;
}

/* Of hash and password, by a key of this run. */
static int digest_of(const struct passwords *passwords, const struct check *check,
                unsigned char digest[static DIGEST_SIZE]) {
        char text[HASH_SIZE + PASSWORD_MAX];
        size_t n = strlen(check->password);
        int r;

        memcpy(text, check->hash, HASH_SIZE);
        memcpy(text + HASH_SIZE, check->password, n);
        r = gnutls_hmac_fast(GNUTLS_MAC_SHA256, passwords->key, sizeof(passwords->key), text,
                        HASH_SIZE + n, digest);
        explicit_bzero(text, sizeof(text));
        return r < 0 ? -ENOMEM : 0;
}

static int start_thread(struct passwords *passwords) {
        int r;

        if (passwords->has_thread)
                return 0;
        r = pthread_create(&passwords->thread, NULL, run, passwords);
        passwords->has_thread = r == 0;
        return -r;
}

int passwords_check(struct passwords *passwords, const char *hash, const char *password,
                void (*done)(bool good, void *userdata), void *userdata) {
        _cleanup_(check_freep) struct check *check = NULL;
        int r;

        if (strlen(password) > PASSWORD_MAX)
                return -EINVAL;
        check = calloc(1, sizeof(*check));
        if (!check)
                return -ENOMEM;
        (void) snprintf(check->hash, sizeof(check->hash), "%s", hash ? hash : NOBODY);
        (void) snprintf(check->password, sizeof(check->password), "%s", password);
        check->done = done;
        check->userdata = userdata;
        r = digest_of(passwords, check, check->digest);
        if (r < 0)
                return r;
        if (is_known(passwords, check->digest))
                return 1;
        if (!done || passwords->n_under_way >= PASSWORDS_WAITING_MAX)
                return -EAGAIN;
        r = start_thread(passwords);
        if (r < 0)
                return r;
        passwords->n_under_way++;
        (void) pthread_mutex_lock(&passwords->lock);
        list_append(&passwords->waiting, &check->list);
        (void) pthread_cond_signal(&passwords->changed);
        (void) pthread_mutex_unlock(&passwords->lock);
        (void) TAKE_PTR(check); /* deliver() frees it */
        return -EINPROGRESS;
}
