/* SPDX-License-Identifier: Apache-2.0
 *
 * realm.h: who may log in, and in which roles.
 *
 * What    Users from a file in the manner of Tomcat's tomcat-users.xml:
 *         <user username= password= roles="a,b"/>. A password is a hash of
 *         crypt(5), as `mkpasswd -m yescrypt` prints it; a password in clear
 *         is refused. adminPassword (or the first line of adminPasswordFile)
 *         adds the user `admin` with the roles of the manager application.
 * Costs   A check computes one hash, about 20 ms with yescrypt: an Executor's
 *         work. An unknown user costs the same as a wrong password, and what
 *         is compared is compared whole. A yescrypt hash fills 16 MB: no more
 *         are computed at a time than there are processors, the others wait.
 * Owns    Its users. Passwords in clear are not kept.
 * Errors  RC_ABSENT, RC_UNAVAILABLE: no such file, or not readable;
 *         RC_INVALID: file:line: what and what to do. No text shows a password
 *         or a hash.
 * Threads realm_new and realm_free: one; all else any, at once. */
#ifndef MARGAY_CONTAINER_REALM_H
#define MARGAY_CONTAINER_REALM_H

#include "container/notes.h"
#include "container/xml.h"
#include "session/option.h"
#include "session/rc.h"

#include <stdbool.h>

struct realm;

/* Attributes of <Realm className="MemoryRealm">. */
struct realm_options {
    char *pathname; /* NULL or absolute */
    char *admin_password, *admin_password_file;
};
extern const struct option realm_option_table[];

/* lookup, user: for ${name} in the file (xml.h). */
enum rc realm_new(const struct realm_options *options, xml_lookup_fn *lookup,
                  void *user, const struct notes *notes, struct realm **out,
                  struct err *err);
void realm_free(struct realm **realm);

/* realm may be NULL: nobody is known. */
bool realm_authenticate(const struct realm *realm, const char *user,
                        const char *password);
bool realm_has_role(const struct realm *realm, const char *user,
                    const char *role);
size_t realm_count(const struct realm *realm);

#endif
