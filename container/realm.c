/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/realm.h"

#include "session/buf.h"
#include "session/first_line.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <crypt.h>

#define ADMIN_ROLES "manager-gui,manager-script,manager-status"

struct realm_user {
    char *name, *hash, *roles;
};

struct realm {
    struct realm_user *users;
    size_t count;
    /* What an unknown user's password is hashed with, at the cost of the
     * others'. A hash is its own setting. */
    char dummy[CRYPT_OUTPUT_SIZE];
    sem_t *turns; /* one per processor */
};

const struct option realm_option_table[] = {
    {.name = "pathname",
     .kind = OPTION_STRING,
     .offset = offsetof(struct realm_options, pathname),
     .help = "file of users, beside server.xml unless absolute"},
    {.name = "adminPassword",
     .kind = OPTION_STRING,
     .offset = offsetof(struct realm_options, admin_password),
     .help = "adds the user admin with this password"},
    {.name = "adminPasswordFile",
     .kind = OPTION_STRING,
     .offset = offsetof(struct realm_options, admin_password_file),
     .help = "the same, the password being the first line of a file"},
    {.name = "allRolesMode",
     .kind = OPTION_IGNORED,
     .help = "applications check roles themselves"},
    {.name = "digest",
     .kind = OPTION_IGNORED,
     .help = "each hash of crypt(5) names its own method"},
    {.name = "stripRealmForGss",
     .kind = OPTION_IGNORED,
     .help = "there is no GSS login"},
    {.name = "transportGuaranteeRedirectStatus",
     .kind = OPTION_IGNORED,
     .help = "there are no transport guarantees"},
    {.name = "X509UsernameRetrieverClassName",
     .kind = OPTION_IGNORED,
     .help = "there are no client certificates"},
    {.name = NULL},
};

static struct realm_user *user_find(const struct realm *realm, const char *name)
{
    for (size_t i = 0; i < realm->count; i++)
        if (strcmp(realm->users[i].name, name) == 0)
            return &realm->users[i];
    return NULL;
}

/* The later one of a name wins. */
static void user_put(struct realm *realm, const char *name, const char *hash,
                     const char *roles)
{
    struct realm_user *u = user_find(realm, name);

    if (!u) {
        realm->users =
            mem_resize(realm->users, (realm->count + 1) * sizeof *realm->users);
        u = &realm->users[realm->count++];
        *u = (struct realm_user){.name = mem_strdup(name)};
    }
    free(u->hash);
    free(u->roles);
    u->hash = mem_strdup(hash);
    u->roles = mem_strdup(roles);
}

static bool user_attribute_is_known(const char *name)
{
    static const char *const known[] = {"username", "name", "password", "roles",
                                        "fullName"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], name) == 0)
            return true;
    return xml_is_meta(name);
}

static enum rc read_user(struct realm *realm, const struct xml_element *e,
                         const struct notes *notes, struct err *err)
{
    const char *name = xml_get(e, "username"), *hash = xml_get(e, "password");
    const char *roles = xml_get(e, "roles");

    if (!name)
        name = xml_get(e, "name");
    if (!name || !*name)
        return xml_error(e, RC_INVALID, err,
                         "user without a name: add username=\"...\"");
    if (!hash || hash[0] != '$' ||
        crypt_checksalt(hash) == CRYPT_SALT_INVALID ||
        crypt_checksalt(hash) == CRYPT_SALT_METHOD_DISABLED)
        return xml_error(e, RC_INVALID, err,
                         "user %s: the password is not a hash of crypt(5): "
                         "write what `mkpasswd -m yescrypt` prints",
                         name);
    for (size_t i = 0; i < e->attribute_count; i++)
        if (!user_attribute_is_known(e->attributes[i].name))
            notes_warn(notes, e, "user %s: unknown attribute %s: ignored", name,
                       e->attributes[i].name);
    if (user_find(realm, name))
        return xml_error(e, RC_INVALID, err,
                         "user %s stands here twice: remove one of them", name);
    user_put(realm, name, hash, roles ? roles : "");
    return RC_OK;
}

static enum rc read_users(struct realm *realm, const struct xml_element *root,
                          const struct notes *notes, struct err *err)
{
    if (strcmp(root->name, "tomcat-users") != 0 &&
        strcmp(root->name, "users") != 0)
        return xml_error(root, RC_INVALID, err,
                         "<%s> is no list of users: it begins with "
                         "<tomcat-users>",
                         root->name);
    for (const struct xml_element *e = root->children; e; e = e->next) {
        enum rc rc = RC_OK;
        if (strcmp(e->name, "user") == 0)
            rc = read_user(realm, e, notes, err);
        else if (strcmp(e->name, "group") == 0)
            notes_warn(notes, e,
                       "<group> is ignored: give each user its "
                       "roles");
        else if (strcmp(e->name, "role") != 0)
            rc = xml_error(e, RC_INVALID, err,
                           "unknown element <%s>: a list of users has <role> "
                           "and <user>",
                           e->name);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc read_file(struct realm *realm, const char *file,
                         xml_lookup_fn *lookup, void *user,
                         const struct notes *notes, struct err *err)
{
    struct xml_document *doc = NULL;
    enum rc rc = xml_read_file(&doc, file, lookup, user, err);

    if (rc == RC_OK)
        rc = read_users(realm, doc->root, notes, err);
    xml_free(&doc);
    return rc;
}

static enum rc admin_add(struct realm *realm, const char *password,
                         struct err *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    struct crypt_data *data = mem_zero(sizeof *data);
    enum rc rc = RC_OK;
    const char *hash = NULL;

    if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof setting))
        hash = crypt_r(password, setting, data);
    if (!hash || hash[0] == '*')
        rc = err_set(err, RC_INVALID,
                     "adminPassword: cannot be hashed: %s: use at most 511 "
                     "characters",
                     strerror(errno));
    else
        user_put(realm, "admin", hash, ADMIN_ROLES);
    explicit_bzero(data, sizeof *data);
    free(data);
    return rc;
}

static enum rc admin_from_file(struct realm *realm, const char *file,
                               struct err *err)
{
    char line[CRYPT_MAX_PASSPHRASE_SIZE + 1];
    int why = first_line_read(file, line, sizeof line);
    enum rc rc;

    if (why)
        rc = err_set(err, RC_UNAVAILABLE,
                     "adminPasswordFile %s: %s: name a file that this user "
                     "may read",
                     file, strerror(why));
    else if (!line[0])
        rc = err_set(err, RC_INVALID,
                     "adminPasswordFile %s: its first line is empty: write "
                     "the password there",
                     file);
    else
        rc = admin_add(realm, line, err);
    explicit_bzero(line, sizeof line);
    return rc;
}

static enum rc add_admin(struct realm *realm, const struct realm_options *o,
                         struct err *err)
{
    if (o->admin_password && *o->admin_password)
        return admin_add(realm, o->admin_password, err);
    if (o->admin_password_file && *o->admin_password_file)
        return admin_from_file(realm, o->admin_password_file, err);
    return RC_OK;
}

static void choose_dummy(struct realm *realm)
{
    if (realm->count > 0)
        snprintf(realm->dummy, sizeof realm->dummy, "%s", realm->users[0].hash);
    else if (!crypt_gensalt_rn("$y$", 0, NULL, 0, realm->dummy,
                               sizeof realm->dummy))
        realm->dummy[0] = '\0';
}

enum rc realm_new(const struct realm_options *options, xml_lookup_fn *lookup,
                  void *user, const struct notes *notes, struct realm **out,
                  struct err *err)
{
    struct realm *realm = mem_zero(sizeof *realm);
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    enum rc rc = RC_OK;

    realm->turns = mem_alloc(sizeof *realm->turns);
    sem_init(realm->turns, 0, processors > 0 ? (unsigned)processors : 1);
    if (options->pathname)
        rc = read_file(realm, options->pathname, lookup, user, notes, err);
    if (rc == RC_OK)
        rc = add_admin(realm, options, err);
    if (rc != RC_OK) {
        realm_free(&realm);
        return rc;
    }
    choose_dummy(realm);
    *out = realm;
    return RC_OK;
}

void realm_free(struct realm **realm)
{
    if (!*realm)
        return;
    for (size_t i = 0; i < (*realm)->count; i++) {
        free((*realm)->users[i].name);
        free((*realm)->users[i].hash);
        free((*realm)->users[i].roles);
    }
    free((*realm)->users);
    sem_destroy((*realm)->turns);
    free((*realm)->turns);
    free(*realm);
    *realm = NULL;
}

/* Every byte of the longer one is looked at, whatever the outcome. */
static bool same(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t len = a_len > b_len ? a_len : b_len;
    unsigned char differ = a_len != b_len;

    for (size_t i = 0; i < len; i++)
        differ |=
            (unsigned char)((i < a_len ? a[i] : 0) ^ (i < b_len ? b[i] : 0));
    return differ == 0;
}

bool realm_authenticate(const struct realm *realm, const char *user,
                        const char *password)
{
    const struct realm_user *u;
    struct crypt_data *data;
    const char *hash;
    bool right;

    if (!realm || !user || !password)
        return false;
    u = user_find(realm, user);
    data = mem_zero(sizeof *data);
    while (sem_wait(realm->turns))
        ;
    hash = crypt_r(password, u ? u->hash : realm->dummy, data);
    sem_post(realm->turns);
    right = hash && hash[0] != '*' && u && same(hash, u->hash);
    explicit_bzero(data, sizeof *data);
    free(data);
    return right;
}

bool realm_has_role(const struct realm *realm, const char *user,
                    const char *role)
{
    const struct realm_user *u = realm ? user_find(realm, user) : NULL;
    size_t len = strlen(role);

    if (!u)
        return false;
    for (const char *at = u->roles; *at;) {
        size_t skip = strspn(at, ", \t"), word;
        at += skip;
        word = strcspn(at, ", \t");
        if (word == len && len > 0 && memcmp(at, role, len) == 0)
            return true;
        at += word;
    }
    return false;
}

size_t realm_count(const struct realm *realm)
{
    return realm ? realm->count : 0;
}
