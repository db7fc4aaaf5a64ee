/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "managers/cluster/address.h"

#include "session/buf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool port_parse(const char *text, unsigned *port)
{
    unsigned long n;
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    n = strtoul(text, &end, 10);
    if (*end || n < 1 || n > 65535)
        return false;
    *port = (unsigned)n;
    return true;
}

/* Of a number or a name, as far as it can be told without asking. */
static bool host_parse(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-._:%", text[i]))
            return false;
    return len > 0 && len < ADDRESS_HOST_MAX;
}

bool address_split(const char *text, char host[ADDRESS_HOST_MAX],
                   unsigned *port)
{
    const char *colon = strrchr(text, ':');
    size_t len;

    if (!colon || !port_parse(colon + 1, port))
        return false;
    len = (size_t)(colon - text);
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        return false; /* a v6 address without brackets: where is its port? */
    }
    if (!host_parse(text, len))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    return true;
}

const char *address_join(const char *host, unsigned port, char out[ADDRESS_MAX])
{
    snprintf(out, ADDRESS_MAX, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
             port);
    return out;
}

bool address_numeric(const char *host, unsigned port,
                     struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return true;
    }
    return false;
}

enum rc address_resolve(const char *host, unsigned port,
                        struct sockaddr_storage *out, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int n;

    if (address_numeric(host, port, out))
        return RC_OK;
    n = getaddrinfo(host, NULL, &hints, &list);
    if (n != 0)
        return err_set(err, RC_INVALID,
                       "no address is known for the name %.200s (%s): write "
                       "the number",
                       host, gai_strerror(n));
    memset(out, 0, sizeof *out);
    memcpy(out, list->ai_addr, list->ai_addrlen);
    address_set_port((struct sockaddr *)out, port);
    freeaddrinfo(list);
    return RC_OK;
}

const char *address_host(const struct sockaddr *sa, char out[ADDRESS_HOST_MAX])
{
    const void *bytes =
        sa->sa_family == AF_INET6
            ? (const void *)&((const struct sockaddr_in6 *)sa)->sin6_addr
            : &((const struct sockaddr_in *)sa)->sin_addr;

    if (!inet_ntop(sa->sa_family, bytes, out, ADDRESS_HOST_MAX))
        snprintf(out, ADDRESS_HOST_MAX, "?");
    return out;
}

unsigned address_port(const struct sockaddr *sa)
{
    return ntohs(sa->sa_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)sa)->sin6_port
                     : ((const struct sockaddr_in *)sa)->sin_port);
}

void address_set_port(struct sockaddr *sa, unsigned port)
{
    if (sa->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)sa)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)sa)->sin_port = htons((uint16_t)port);
}

socklen_t address_len(const struct sockaddr *sa)
{
    return sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                     : sizeof(struct sockaddr_in);
}

bool address_is_loopback(const struct sockaddr *sa)
{
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

    if (sa->sa_family != AF_INET6)
        return ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24 ==
               127;
    return IN6_IS_ADDR_LOOPBACK(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}

bool address_is_any(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(
            &((const struct sockaddr_in6 *)sa)->sin6_addr);
    return ((const struct sockaddr_in *)sa)->sin_addr.s_addr == INADDR_ANY;
}

bool address_equal(const struct sockaddr *a, const struct sockaddr *b)
{
    char x[ADDRESS_HOST_MAX], y[ADDRESS_HOST_MAX];

    return address_port(a) == address_port(b) &&
           strcmp(address_host(a, x), address_host(b, y)) == 0;
}

bool address_of_machine(struct sockaddr_storage *out)
{
    struct ifaddrs *list = NULL;
    bool found = false;

    if (getifaddrs(&list) < 0)
        return false;
    for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
            (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
            continue;
        memset(out, 0, sizeof *out);
        memcpy(out, i->ifa_addr, sizeof(struct sockaddr_in));
        found = true;
    }
    freeifaddrs(list);
    return found;
}

/* --- who holds a port ------------------------------------------------------
 */

#define STATE_LISTEN 0x0a /* of /proc/net/tcp */

/* The inode of a socket that listens on that port; 0: none. */
static unsigned long listener_inode(const char *path, unsigned port)
{
    FILE *file = fopen(path, "re");
    unsigned long inode = 0, at;
    unsigned local, state;
    char line[512];

    if (!file)
        return 0;
    while (!inode && fgets(line, sizeof line, file))
        if (sscanf(line,
                   "%*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s "
                   "%*s %lu",
                   &local, &state, &at) == 3 &&
            local == port && state == STATE_LISTEN)
            inode = at;
    fclose(file);
    return inode;
}

static bool process_holds(const char *pid, const char *socket)
{
    char path[sizeof "/proc//fd" + 256], to[64];
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%.200s/fd", pid);
    dir = opendir(path);
    if (!dir)
        return false;
    while (!found && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, to, sizeof to - 1);
        to[n < 0 ? 0 : n] = '\0';
        found = strcmp(to, socket) == 0;
    }
    closedir(dir);
    return found;
}

static void process_name(const char *pid, char out[96])
{
    char path[sizeof "/proc//comm" + 256], name[32] = "a program";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%.200s/comm", pid);
    file = fopen(path, "re");
    if (file) {
        if (fgets(name, sizeof name, file))
            name[strcspn(name, "\n")] = '\0';
        fclose(file);
    }
    snprintf(out, 96, "%s (process %.32s)", name, pid);
}

const char *address_holder(unsigned port, char out[96])
{
    unsigned long inode = listener_inode("/proc/net/tcp", port);
    struct dirent *entry;
    char socket[48];
    DIR *dir;

    out[0] = '\0';
    if (!inode)
        inode = listener_inode("/proc/net/tcp6", port);
    dir = inode ? opendir("/proc") : NULL;
    if (!dir)
        return out;
    snprintf(socket, sizeof socket, "socket:[%lu]", inode);
    while (!out[0] && (entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]) &&
            process_holds(entry->d_name, socket))
            process_name(entry->d_name, out);
    closedir(dir);
    return out;
}
