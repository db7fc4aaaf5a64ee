/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "container/connector.h"

#include "session/log.h"

#include <inttypes.h>
#include <stddef.h>
#include <sys/resource.h>

/* clang-format off */
#define AT(member) offsetof(struct connector_options, member)
#define IGNORED(name, why) {name, OPTION_IGNORED, 0, NULL, why, 0, 0, NULL}
const struct option connector_option_table[] = {
    {"address", OPTION_STRING, AT(address), NULL,
     "where it listens; without it on loopback only", 0, 0, NULL},
    {"port", OPTION_INT, AT(port), "8080",
     "where it listens: the TCP port; 0: any free one", 0, 65535, NULL},
    {"protocol", OPTION_STRING, AT(protocol), "HTTP/1.1",
     "HTTP/1.1 is what there is", 0, 0, NULL},
    {"acceptCount", OPTION_INT, AT(accept_count), "100",
     "connections that the kernel may queue", 1, 65535, NULL},
    {"allowTrace", OPTION_BOOL, AT(allow_trace), "false",
     "TRACE reaches applications", 0, 0, NULL},
    {"connectionTimeout", OPTION_INT, AT(connection_timeout), "60000",
     "milliseconds that a connection may be silent; -1: for ever", -1,
     INT32_MAX, NULL},
    {"maxConnections", OPTION_INT, AT(max_connections), "8192",
     "open connections; -1: as many as the system allows", -1, 1000000, NULL},
    {"maxCookieCount", OPTION_INT, AT(max_cookie_count), "200",
     "cookies of a request; more is 400; -1: no limit", -1, INT32_MAX, NULL},
    {"maxHeaderCount", OPTION_INT, AT(max_header_count), "100",
     "header lines of a request; more is 400", 1, 10000, NULL},
    {"maxHttpHeaderSize", OPTION_INT, AT(max_header_size), "8192",
     "bytes of request line and header; more is 431", 512, 1048576, NULL},
    {"maxHttpRequestHeaderSize", OPTION_INT, AT(max_header_size), "8192",
     "the same under Tomcat's longer name", 512, 1048576, NULL},
    {"maxKeepAliveRequests", OPTION_INT, AT(max_keep_alive_requests), "100",
     "requests of a connection; -1: no limit", -1, INT32_MAX, NULL},
    {"maxParameterCount", OPTION_INT, AT(max_parameter_count), "1000",
     "parameters of query and form; more is 400; -1: no limit", -1, INT32_MAX,
     NULL},
    {"maxPostSize", OPTION_INT, AT(max_post_size), "2097152",
     "bytes of a body; more is 413; -1: 1 GiB", -1, 1073741824, NULL},
    {"maxWaiting", OPTION_INT, AT(max_waiting), "1000",
     "requests that may wait for their session; the next gets 503", 1, 100000,
     NULL},
    {"waitTimeout", OPTION_INT, AT(wait_timeout), "1",
     "seconds that one of them waits; then 503", 1, 3600, NULL},
    {"scheme", OPTION_STRING, AT(scheme), "http",
     "what applications are told: https where a proxy in front speaks TLS", 0,
     0, NULL},
    {"secure", OPTION_BOOL, AT(secure), "false",
     "true there: the session cookie gets Secure", 0, 0, NULL},
    {"server", OPTION_STRING, AT(server), NULL,
     "a Server header for each response", 0, 0, NULL},
    {"threads", OPTION_INT, AT(threads), "0",
     "threads that serve; 0: one per processor", 0, 1024, NULL},
    {"SSLEnabled", OPTION_LATER, 0, "false",
     "a proxy in front speaks TLS meanwhile: see scheme and secure", 0, 0,
     NULL},
    {"compression", OPTION_LATER, 0, "off",
     "a proxy in front can compress", 0, 0, NULL},
    {"URIEncoding", OPTION_LATER, 0, "UTF-8", "paths are UTF-8", 0, 0, NULL},
    IGNORED("maxThreads", "no thread waits for a request here; servlets that "
            "block run on the Executor"),
    IGNORED("minSpareThreads", "its threads are always there"),
    IGNORED("acceptorThreadCount", "one thread accepts"),
    IGNORED("keepAliveTimeout", "connectionTimeout is for both"),
    IGNORED("redirectPort", "no application asks for another port"),
    IGNORED("enableLookups", "addresses are never looked up"),
    IGNORED("tcpNoDelay", "it is always on"),
    IGNORED("disableUploadTimeout", "connectionTimeout is for uploads too"),
    IGNORED("connectionUploadTimeout", "connectionTimeout is for uploads too"),
    IGNORED("connectionLinger", "the system decides"),
    IGNORED("maxSwallowSize",
            "2 MiB beyond maxPostSize are read, then it is closed"),
    IGNORED("maxSavePostSize", "there is no FORM authentication"),
    IGNORED("useBodyEncodingForURI", "paths are UTF-8"),
    IGNORED("xpoweredBy", "there is no such header"),
    IGNORED("bindOnInit", "the port opens when everything is ready"),
    IGNORED("asyncTimeout", "waitTimeout ends waits"),
    IGNORED("processorCache", "memory is kept with each connection"),
    IGNORED("relaxedPathChars", "paths are as RFC 3986 has them"),
    IGNORED("relaxedQueryChars", "queries are taken as they come"),
    IGNORED("useVirtualThreads", "a kind of thread of Java"),
    {NULL, OPTION_STRING, 0, NULL, NULL, 0, 0, NULL},
};
#undef IGNORED
#undef AT
/* clang-format on */

/* More than a process can have; and what of its descriptors is not for
 * strangers. */
enum { MOST_CONNECTIONS = 1000000, KEPT_FILES = 64 };

/* Stores and logs need descriptors too, also while strangers take what they
 * can get. */
int64_t connector_most_connections(int64_t asked, struct log *log)
{
    struct rlimit files = {.rlim_cur = RLIM_INFINITY};
    int64_t most = MOST_CONNECTIONS;
    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < MOST_CONNECTIONS)
        most = (int64_t)files.rlim_cur;
    most -= most / 2 < KEPT_FILES ? most / 2 : KEPT_FILES;
    if (asked > most)
        log_line(log, LOG_WARN, "http",
                 "maxConnections is %" PRId64 ", and the limit of open files "
                 "allows %" PRId64 ": raise it (ulimit -n)",
                 asked, most);
    return asked < 0 || asked > most ? most : asked;
}
