/* SPDX-License-Identifier: Apache-2.0
 *
 * serverxml_reader.h: what the files that read server.xml share; nobody else
 * includes it.
 *
 * What    Elements are read by rules (who may stand where, and who reads it),
 *         attributes by option tables. A rule without `read` says why its
 *         element is ignored, or that it comes later.
 * Owns    All memory of the configuration is the reader's until
 *         server_config_free: reader_alloc and its kin are never freed alone.
 * Errors  r->err gets "FILE:LINE: ..."; the first failure ends the reading.
 * Threads None. */
#ifndef MARGAY_CONTAINER_SERVERXML_READER_H
#define MARGAY_CONTAINER_SERVERXML_READER_H

#include "container/serverxml.h"

struct reader {
    struct server_config *config;
    const struct config_input *input;
    struct err *err;
};

struct element_rule {
    const char *name; /* NULL ends the table */
    enum rc (*read)(struct reader *r, const struct xml_element *e,
                    void *parent);
    const char *ignored; /* why it means nothing here */
    const char *later;   /* what to use until it comes */
};

/* What is read by more than one file, or told of by serverxml_manual.h. */
extern const struct option server_option_table[], service_option_table[];
extern const struct option pool_option_table[], engine_option_table[];
extern const struct option host_option_table[], context_option_table[];
extern const struct option parameter_option_table[];
extern const struct option cookie_processor_option_table[];
extern const struct option manager_role_option_table[];
extern const struct option manager_rest_option_table[];
extern const struct option id_generator_option_table[];

struct option_target {
    const struct option *table; /* may be NULL */
    void *data;
};

/* Zeroed memory. */
void *reader_alloc(struct reader *r, size_t size);
char *reader_strdup(struct reader *r, const char *text);
/* The array with room for one more, the new item zeroed. */
void *reader_grow(struct reader *r, const void *items, size_t count,
                  size_t size);
/* Memory for a table's members, with their defaults. */
void *reader_options(struct reader *r, const struct option *table, size_t size);
/* The same in place. */
void reader_option_defaults(struct reader *r, const struct option *table,
                            void *data);
/* Keeps the document until the configuration is freed. */
void reader_keep(struct reader *r, struct xml_document *doc);
void reader_release(struct server_config *config);

enum rc reader_error(struct reader *r, const struct xml_element *e, enum rc rc,
                     const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "<WHAT> comes with a later version: MEANWHILE". */
enum rc reader_later(struct reader *r, const struct xml_element *e,
                     const char *what, const char *meanwhile);
void reader_ignored(struct reader *r, const struct xml_element *e,
                    const char *what, const char *why);

/* Each attribute goes to the first table that has it. className and
 * attributes about the XML itself are passed over. */
enum rc reader_attributes(struct reader *r, const struct xml_element *e,
                          const struct option_target *targets, size_t count);
/* Every child by its rule; `parent` is handed to it. */
enum rc reader_children(struct reader *r, const struct xml_element *e,
                        const struct element_rule *rules, void *parent);
/* className without Tomcat's package; `otherwise` (may be NULL) when there is
 * none. What is no name of Tomcat's stays as it is. */
const char *reader_class(const struct xml_element *e, const char *otherwise);
/* An attribute that is there and not empty, or NULL. */
const char *reader_get(const struct xml_element *e, const char *name);
/* Absolute paths stay; others are put behind the folder. */
char *reader_path(struct reader *r, const char *folder, const char *path);
bool reader_is_folder(const char *path);

/* serverxml_engine.c: */
enum rc reader_engine(struct reader *r, const struct xml_element *e,
                      void *parent);
enum rc reader_listener(struct reader *r, const struct xml_element *e,
                        void *parent);
/* What stands in Engine, Host and Context. level: struct config_level.
 * serverxml_manager.c: */
enum rc reader_manager(struct reader *r, const struct xml_element *e,
                       void *level);
enum rc reader_default_manager(struct reader *r, struct config_level *level);
/* DeltaManager, for a <Cluster> without a <Manager> in it. */
enum rc reader_cluster_manager(struct reader *r, struct config_level *level);
/* serverxml_cluster.c: the one of the Engine or of its Host, before anything
 * else that stands there: managers are told what it says of replication. */
enum rc reader_cluster(struct reader *r, const struct xml_element *engine);
void reader_cluster_release(struct cluster_config *c);
/* serverxml_context.c: */
struct cookie_processor_options *reader_default_cookies(struct reader *r);
enum rc reader_cookie_processor(struct reader *r, const struct xml_element *e,
                                void *level);
enum rc reader_parameter(struct reader *r, const struct xml_element *e,
                         void *level);
/* Adds it to config->contexts. e: NULL for a folder without one. name: of the
 * folder, or NULL when e names it. */
enum rc reader_context(struct reader *r, const struct xml_element *e,
                       const char *name, const struct config_level *above);
/* serverxml_valve.c: */
enum rc reader_valve(struct reader *r, const struct xml_element *e,
                     struct valve_configs *valves);
/* serverxml_deploy.c: the folders of appBase that are no context yet. */
enum rc reader_deploy(struct reader *r);
/* "" for ROOT, "/name", "/a/b" for a#b. */
char *reader_context_path(struct reader *r, const char *folder_name);
#endif
