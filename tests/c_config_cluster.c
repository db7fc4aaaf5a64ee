/* SPDX-License-Identifier: Apache-2.0
 *
 * c_config_cluster.c: <Cluster> in server.xml, and what stands in it. */
#include "config.h"

#include "managers/cluster/cluster_options.h"
#include "session/buf.h"
#include "tests/scratch.h"
#include "tests/unit.h"

#include <stdlib.h>
#include <string.h>

/* Lines: 1 Server, 2 Connector, 3 Engine, 4 the first of `engine`. */
#define ENGINE(engine, host)                                                   \
    "<Server><Service>\n"                                                      \
    "<Connector address='127.0.0.1' port='0'/>\n"                              \
    "<Engine defaultHost='localhost' jvmRoute='node1'>\n" engine "\n"          \
    "<Host name='localhost' appBase='webapps'>" host "</Host>\n"               \
    "</Engine></Service></Server>\n"
#define CLUSTER(attributes, content)                                           \
    ENGINE("<Cluster className='SimpleTcpCluster' " attributes ">\n" content   \
           "\n</Cluster>",                                                     \
           "")
#define CHANNEL(content) CLUSTER("", "<Channel>\n" content "\n</Channel>")

static struct scratch site;

static void before(void)
{
    scratch_init(&site);
}

static void after(void)
{
    scratch_release(&site);
}

static const struct cluster_options *options(void)
{
    return site.config->cluster->options;
}

static void read_well(const char *text)
{
    CHECK_INT(scratch_read_text(&site, text), RC_OK);
    CHECK_STR(scratch_error(&site), "");
    CU_ASSERT_PTR_NOT_NULL_FATAL(site.config);
}

/* What the manager of the applications waits for. */
static const char *replication(void)
{
    static const char *const names[] = {"none", "one", "all"};
    const struct manager_config *m = site.config->level.manager;
    const struct option *o = option_find(m->kind->options, "replication");

    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    return names[*(const int *)((const char *)m->options + o->offset)];
}

/* ---- what is understood ---- */

#define ALONE                                                                  \
    "<Cluster className='org.apache.catalina.ha.tcp.SimpleTcpCluster'/>"

static void the_least(void)
{
    static const char *const all[] = {ENGINE(ALONE, ""), ENGINE("", ALONE)};

    for (size_t i = 0; i < 2; i++) {
        read_well(all[i]);
        CHECK_INT(site.warning_count, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(site.config->cluster);
        CHECK_STR(site.config->level.manager->kind->name, "DeltaManager");
        CHECK_STR(replication(), "all");
        CHECK_INT(options()->receiver_port, 4000);
        CHECK_INT(options()->auto_bind, 100);
        CHECK_STR(options()->mcast_address, "228.0.0.4");
        CHECK_INT(options()->mcast_port, 45564);
        CHECK_INT(options()->mcast_drop_time, 3000);
    }
}

/* The example of Tomcat's cluster how-to. */
static const char how_to[] =
    "<Server><Service>\n"
    "<Connector address='127.0.0.1' port='0'/>\n"
    "<Engine defaultHost='localhost' jvmRoute='node1'>\n"
    "<Cluster className='org.apache.catalina.ha.tcp.SimpleTcpCluster'\n"
    "  channelSendOptions='8'>\n"
    "<Manager className='org.apache.catalina.ha.session.DeltaManager'\n"
    "  expireSessionsOnShutdown='false' notifyListenersOnReplication='true'/>\n"
    "<Channel className='org.apache.catalina.tribes.group.GroupChannel'>\n"
    "<Membership\n"
    "  className='org.apache.catalina.tribes.membership.McastService'\n"
    "  address='228.0.0.4' port='45564' frequency='500' dropTime='3000'/>\n"
    "<Receiver\n"
    "  className='org.apache.catalina.tribes.transport.nio.NioReceiver'\n"
    "  address='auto' port='4000' autoBind='100' selectorTimeout='5000'\n"
    "  maxThreads='6'/>\n"
    "<Sender\n"
    "  className='org.apache.catalina.tribes.transport.ReplicationTransmitter'>"
    "\n<Transport className="
    "'org.apache.catalina.tribes.transport.nio.PooledParallelSender'/>\n"
    "</Sender>\n"
    "<Interceptor className="
    "'org.apache.catalina.tribes.group.interceptors.TcpFailureDetector'/>\n"
    "<Interceptor className='org.apache.catalina.tribes.group.interceptors."
    "MessageDispatchInterceptor'/>\n"
    "</Channel>\n"
    "<Valve className='org.apache.catalina.ha.tcp.ReplicationValve'\n"
    "  filter=''/>\n"
    "<Valve className='org.apache.catalina.ha.session.JvmRouteBinderValve'/>\n"
    "<Deployer className='org.apache.catalina.ha.deploy.FarmWarDeployer'\n"
    "  tempDir='/tmp/war-temp/' deployDir='/tmp/war-deploy/'\n"
    "  watchDir='/tmp/war-listen/' watchEnabled='false'/>\n"
    "<ClusterListener\n"
    "  className='org.apache.catalina.ha.session.ClusterSessionListener'/>\n"
    "</Cluster>\n"
    "<Host name='localhost' appBase='webapps'/>\n"
    "</Engine></Service></Server>\n";

static void tomcats_example(void)
{
    read_well(how_to);
    CHECK_INT(site.warning_count, 5);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:6: <Manager notifyListenersOnReplication> is "
               "ignored: listeners of attributes hear what requests here "
               "changed"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:12: <Receiver selectorTimeout> is "
                             "ignored: one thread serves all links"));
    CU_ASSERT(scratch_warned(&site, "server.xml:12: <Receiver maxThreads> is "
                                    "ignored: one thread serves all links"));
    CHECK_INT((int64_t)site.config->valves.count, 2);
    CHECK_STR(site.config->valves.items[1].kind->name, "JvmRouteBinderValve");
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:26: <Deployer> is ignored: "
                             "applications are installed on each machine"));
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:29: <ClusterListener> is ignored: its "
                             "work is done without it"));
    CHECK_STR(site.config->level.manager->kind->name, "DeltaManager");
    CHECK_STR(replication(), "none");
    CHECK_STR(options()->receiver_address, "auto");
}

static void listed_members(void)
{
    read_well(CHANNEL("<Interceptor className='StaticMembershipInterceptor'>\n"
                      "<Member className='org.apache.catalina.tribes."
                      "membership.StaticMember' host='10.0.0.1' port='4001'/>\n"
                      "<Member host='10.0.0.2' port='4002' "
                      "uniqueId='{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1}'/>\n"
                      "</Interceptor>"));
    CHECK_STR(buf_str(&options()->list), "10.0.0.1:4001,10.0.0.2:4002");
    CHECK_INT(site.warning_count, 1);
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:8: <Member uniqueId> is ignored: "
                             "every start of a member has its own number"));
    read_well(CHANNEL("<Membership className='org.apache.catalina.tribes."
                      "membership.StaticMembershipService' "
                      "expirationTime='2000'>\n"
                      "<LocalMember host='10.0.0.1' port='4001'/>\n"
                      "<Member host='10.0.0.2' port='4001'/>\n"
                      "</Membership>"));
    CHECK_STR(buf_str(&options()->list), "10.0.0.2:4001");
    CHECK_INT(options()->expiration_time, 2000);
    CHECK_INT(site.warning_count, 0);
}

static void our_own_attributes(void)
{
    read_well(CLUSTER("address='127.0.0.1' port='4100' members='a:1,b:2' "
                      "dropTime='5' forgetAfter='60' endedKeep='30' key='00ff' "
                      "clusterName='shop'",
                      ""));
    CHECK_INT(site.warning_count, 0);
    CHECK_STR(options()->address, "127.0.0.1");
    CHECK_INT(options()->port, 4100);
    CHECK_STR(options()->members, "a:1,b:2");
    CHECK_INT(options()->drop_time, 5);
    CHECK_INT(options()->forget_after, 60);
    CHECK_INT(options()->ended_keep, 30);
    CHECK_STR(options()->name, "shop");
}

/* ---- what a change waits for ---- */

#define SENDS(options) CLUSTER("channelSendOptions='" options "'", "")
#define DELTA(attributes) "<Manager className='DeltaManager' " attributes "/>"
#define BACKUP(attributes)                                                     \
    "<Manager "                                                                \
    "className='org.apache.catalina.ha.session.BackupManager' " attributes     \
    "/>"

static void send_options_become_replication(void)
{
    static const struct {
        const char *text, *replication;
    } all[] = {
        {CLUSTER("", ""), "all"},
        {SENDS("8"), "none"},
        {SENDS("1"), "none"},
        {SENDS("2"), "all"},
        {SENDS("4"), "all"},
        {SENDS("6"), "all"},
        {SENDS("asynchronous"), "none"},
        {SENDS("sync,use_ack"), "all"},
        {CLUSTER("channelSendOptions='8'", DELTA("")), "none"},
        {CLUSTER("channelSendOptions='8'", DELTA("replication='all'")), "all"},
        {CLUSTER("channelSendOptions='6'", DELTA("replication='one'")), "one"},
        {CLUSTER("channelSendOptions='8'", DELTA("replication=''")), "none"},
        /* the <Manager> before the <Cluster>, after it, and in the Host */
        {ENGINE(DELTA("") "<Cluster channelSendOptions='8'/>", ""), "none"},
        {ENGINE("<Cluster channelSendOptions='8'/>" DELTA(""), ""), "none"},
        {ENGINE("<Cluster channelSendOptions='8'/>",
                DELTA("replication='one'")),
         "one"},
        {ENGINE(DELTA("") "<Cluster channelSendOptions='8'>" DELTA(
                    "replication='all'") "</Cluster>",
                ""),
         "none"},
        /* the cluster's are DeltaManager's, as in Tomcat */
        {CLUSTER("", BACKUP("")), "all"},
        {CLUSTER("channelSendOptions='8'", BACKUP("")), "all"},
        {CLUSTER("", BACKUP("mapSendOptions='8'")), "none"},
        {CLUSTER("", BACKUP("mapSendOptions='1'")), "none"},
        {CLUSTER("", BACKUP("mapSendOptions='2'")), "all"},
        {CLUSTER("", BACKUP("mapSendOptions='4'")), "all"},
        {CLUSTER("", BACKUP("mapSendOptions='6'")), "all"},
        {CLUSTER("", BACKUP("mapSendOptions='async'")), "none"},
        {CLUSTER("", BACKUP("mapSendOptions=''")), "all"},
        {CLUSTER("", BACKUP("mapSendOptions='8' replication='one'")), "one"},
        {CLUSTER("channelSendOptions='8'", BACKUP("replication='none'")),
         "none"},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        read_well(all[i].text);
        CHECK_STR(replication(), all[i].replication);
    }
}

/* ---- BackupManager ---- */

static int64_t backup_number(const char *name)
{
    const struct manager_config *m = site.config->level.manager;
    const struct option *o = option_find(m->kind->options, name);

    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    return *(const int64_t *)((const char *)m->options + o->offset);
}

static void a_backup_manager(void)
{
    read_well(CLUSTER("", BACKUP("")));
    CHECK_STR(site.config->level.manager->kind->name, "BackupManager");
    CHECK_INT(site.warning_count, 0);
    CHECK_INT(backup_number("backups"), 1);
    CHECK_INT(backup_number("minCopies"), 0);
    read_well(CLUSTER("", BACKUP("backups='3' minCopies='2' "
                                 "mapSendOptions='6'")));
    CHECK_INT(site.warning_count, 0);
    CHECK_INT(backup_number("backups"), 3);
    CHECK_INT(backup_number("minCopies"), 2);
    read_well(CLUSTER("", BACKUP("backups='2' minCopies='3'")));
    CHECK_INT(site.warning_count, 1);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Manager> minCopies=\"3\" counts as 2, since a "
               "session has no more backups: raise backups, or lower "
               "minCopies"));
}

/* Its attributes in Tomcat that mean nothing here: one warning each. */
static void tomcats_backup_manager(void)
{
    read_well(CLUSTER("channelSendOptions='8'",
                      BACKUP("expireSessionsOnShutdown='false' "
                             "notifyListenersOnReplication='true' "
                             "mapSendOptions='6' rpcTimeout='15000' "
                             "terminateOnStartFailure='false' "
                             "accessTimeout='5000'")));
    CHECK_STR(replication(), "all");
    CHECK_INT(site.warning_count, 4);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Manager rpcTimeout> is ignored: a holder is "
               "waited for as long as it is a member; see dropTime of "
               "<Cluster>"));
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Manager terminateOnStartFailure> is ignored: an "
               "instance that cannot open its cluster port never starts"));
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Manager accessTimeout> is ignored: who is there "
               "is known from the links; see dropTime of <Cluster>"));
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Manager notifyListenersOnReplication> is "
               "ignored: listeners of attributes hear what requests here "
               "changed"));
}

static void managers_beside_and_inside(void)
{
    read_well(CLUSTER("", "<Manager maxInactive='7'/>"));
    CHECK_STR(site.config->level.manager->kind->name, "DeltaManager");
    CHECK_INT(site.config->level.manager->common.max_inactive, 7);
    CHECK_INT(site.warning_count, 0);
    read_well(ENGINE("<Manager maxInactive='8'/>\n" ALONE, ""));
    CHECK_STR(site.config->level.manager->kind->name, "StandardManager");
    CHECK_INT(site.warning_count, 1);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:5: <Cluster> keeps no copies: every application has "
               "another <Manager>; use DeltaManager, or remove <Cluster>"));
    scratch_mkdir(&site, "webapps/a");
    scratch_mkdir(&site, "webapps/b");
    read_well(ENGINE(
        ALONE, "<Context path='/a'><Manager maxInactive='9'/></Context>"));
    CHECK_STR(
        server_config_context(site.config, "/a")->level.manager->kind->name,
        "StandardManager");
    CHECK_STR(
        server_config_context(site.config, "/b")->level.manager->kind->name,
        "DeltaManager");
    CHECK_INT(site.warning_count, 0);
}

static void a_route_is_missed(void)
{
    read_well("<Server><Service>\n"
              "<Connector address='127.0.0.1' port='0'/>\n"
              "<Engine><Cluster className='SimpleTcpCluster'/>\n"
              "<Host appBase='webapps'/></Engine></Service></Server>");
    CHECK_INT(site.warning_count, 1);
    CU_ASSERT(scratch_warned(
        &site, "server.xml:3: <Engine> without a jvmRoute in a cluster: "
               "cookies name no member to balancers and to "
               "replication=\"one\" or \"none\": add one that no other member "
               "has"));
}

/* ---- what is wrong ---- */

struct bad {
    const char *text, *error;
};

#define NO_CLUSTER                                                             \
    " without a <Cluster>: put <Cluster className=\"SimpleTcpCluster\"/> "     \
    "into the <Engine>"
#define CORRECT ": remove it, or correct its name"

static void what_is_wrong(void)
{
    static const struct bad all[] = {
        {ENGINE("<Cluster className='Foo'/>", ""),
         "server.xml:4: unknown <Cluster className=\"Foo\">: there are "
         "SimpleTcpCluster"},
        {ENGINE(ALONE "\n" ALONE, ""),
         "server.xml:5: a second <Cluster>: keep one of them"},
        {ENGINE(ALONE, ALONE),
         "server.xml:5: a second <Cluster>: keep one of them"},
        {ENGINE("", ALONE "\n" ALONE),
         "server.xml:6: a second <Cluster>: keep one of them"},
        {ENGINE("", "<Context path='/a'>" ALONE "</Context>"),
         "server.xml:5: <Cluster> in a <Context>: put it into the <Engine> or "
         "the <Host>; all applications share it"},
        {ENGINE(DELTA(""), ""), "server.xml:4: DeltaManager" NO_CLUSTER},
        {ENGINE("", DELTA("")), "server.xml:5: DeltaManager" NO_CLUSTER},
        {ENGINE(BACKUP(""), ""), "server.xml:4: BackupManager" NO_CLUSTER},
        {CLUSTER("", BACKUP("backups='0'")),
         "server.xml:5: <Manager> backups=\"0\" is out of range: 1 to 3 is "
         "possible"},
        {CLUSTER("", BACKUP("mapSendOptions='often'")),
         "server.xml:5: <Manager> mapSendOptions=\"often\": say 8 (wait for "
         "no copy) or 6 (for all), or replication=\"all\""},
        {CLUSTER("", BACKUP("mapSendOptions='16'")), NULL},
        {CLUSTER("", DELTA("backups='2'")),
         "server.xml:5: <Manager> backups=\"2\" is not offered in this "
         "version: use <Manager className=\"BackupManager\"> in a <Cluster>"},
        {ENGINE("<Manager className='StandardManager' minReplicas='1'/>", ""),
         "server.xml:4: <Manager> minReplicas=\"1\" is not offered in this "
         "version: use <Manager className=\"PersistentManager\"> with a "
         "RedisStore"},
        {CLUSTER("", "<Manager className='StandardManager'/>"),
         "server.xml:5: StandardManager keeps no copies at other members: put "
         "it beside the <Cluster>, or use DeltaManager"},
        {ENGINE(ALONE "<Manager replication='one'/>", ""),
         "server.xml:4: <Manager> replication=\"one\" is not offered in this "
         "version: use <Manager className=\"DeltaManager\"> in a <Cluster>"},
        {CLUSTER("", "<Store/>"),
         "server.xml:5: unknown element <Store> in <Cluster>" CORRECT},
        {CHANNEL("<Foo/>"),
         "server.xml:6: unknown element <Foo> in <Channel>" CORRECT},
        {CHANNEL("<Receiver className='BioReceiver'/>"),
         "server.xml:6: unknown <Receiver className=\"BioReceiver\">: there "
         "are NioReceiver"},
        {CHANNEL("<Membership className='org.apache.catalina.tribes."
                 "membership.cloud.CloudMembershipService'/>"),
         "server.xml:6: CloudMembershipService asks Kubernetes or a DNS "
         "server who is there: use StaticMembershipService with a <Member> "
         "for each member; its host may be a name"},
        {CHANNEL("<Membership className='Foo'/>"),
         "server.xml:6: unknown <Membership className=\"Foo\">: there are "
         "McastService, StaticMembershipService"},
        {CHANNEL("<Interceptor className='StaticMembershipInterceptor'>\n"
                 "<Member host='a'/></Interceptor>"),
         "server.xml:7: a member needs host and port: host=\"a\" port=\"0\""},
        {CHANNEL("<Receiver port='0'/>"),
         "server.xml:6: <Receiver> port=\"0\" is out of range: 1 to 65535 is "
         "possible"},
        {CHANNEL("<Receiver securePort='4001'/>"), NULL},
        {CLUSTER("dropTime='soon'", ""),
         "server.xml:4: <Cluster> dropTime=\"soon\" is not a whole number"},
        {CLUSTER("", DELTA("replication='two'")),
         "server.xml:5: <Manager> replication=\"two\" is not one of "
         "none|one|all"},
        {SENDS("often"), "server.xml:4: channelSendOptions=\"often\": say 8 "
                         "(wait for no copy) or 6 (for all), or "
                         "replication=\"all\""},
        {SENDS("64"), NULL},
        {CLUSTER("", "<Valve className='ReplicationValve' filter='\\w'/>"),
         "server.xml:5: <Valve> filter=\"\\w\": of Java's escapes there are "
         "\\d and those of signs, like \\. (no others, and no sets within "
         "sets)"},
        {ENGINE(ALONE, "<Context path='/a'>\n"
                       "<Valve className='ReplicationValve'/></Context>"),
         "server.xml:6: ReplicationValve in a <Context>: put it into the "
         "<Cluster>"},
        {CLUSTER("", "<Listener className='com.example.Mine'/>"),
         "server.xml:5: unknown <Listener className=\"com.example.Mine\">: "
         "remove it; an application's own stand in its web.xml"},
    };

    scratch_mkdir(&site, "webapps/a");
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CU_ASSERT(scratch_read_text(&site, all[i].text) != RC_OK);
        if (all[i].error)
            CHECK_STR(scratch_error(&site), all[i].error);
        CU_ASSERT_PTR_NULL(site.config);
    }
}

/* META-INF/context.xml, too. */
static void an_application_without_a_cluster(void)
{
    scratch_write(&site, "webapps/a/META-INF/context.xml",
                  "<Context>\n" DELTA("") "</Context>");
    CU_ASSERT(scratch_read_text(&site, ENGINE("", "")) != RC_OK);
    CHECK_STR(scratch_error(&site),
              "webapps/a/META-INF/context.xml:2: DeltaManager" NO_CLUSTER);
    read_well(ENGINE(ALONE, ""));
}

static void a_filter_of_paths(void)
{
#define VALVE "<Valve className='ReplicationValve' "
    read_well(CLUSTER("", VALVE "filter='.*\\.gif' statistics='true' "
                                "primaryIndicator='true'/>"));
    CHECK_INT(site.config->valves.count, 1);
    CHECK_INT(site.warning_count, 2);
    CU_ASSERT(scratch_warned(&site, "server.xml:5: <Valve primaryIndicator> is "
                                    "ignored: no member is more than another"));
    read_well(ENGINE(ALONE VALVE "filter='a'/>", VALVE "filter='b'/>"));
    CHECK_INT(site.config->valves.count, 2);
    CHECK_INT(site.warning_count, 0);
    read_well(ENGINE("", VALVE "filter='a'/>"));
    CHECK_INT(site.config->valves.count, 0);
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:5: ReplicationValve is ignored: "
                             "there is no <Cluster>"));
#undef VALVE
}

static void what_is_not_known_warns(void)
{
    read_well(CLUSTER("dropTim='1'", "<Channel heartbeatSleeptime='5000'>"
                                     "<Sender><Transport poolSize='10'/>"
                                     "</Sender></Channel>"));
    CHECK_INT(site.warning_count, 3);
    CU_ASSERT(scratch_warned(&site,
                             "server.xml:4: <Cluster> has no attribute "
                             "dropTim: it is ignored, look whether its name "
                             "is right"));
    CU_ASSERT(scratch_warned(&site, "server.xml:5: <Transport poolSize> is "
                                    "ignored: there is one link to each "
                                    "member"));
}

UNIT_MAIN_AROUND("config_cluster", before, after, CASE(the_least),
                 CASE(tomcats_example), CASE(listed_members),
                 CASE(our_own_attributes),
                 CASE(send_options_become_replication), CASE(a_backup_manager),
                 CASE(tomcats_backup_manager), CASE(managers_beside_and_inside),
                 CASE(a_route_is_missed), CASE(what_is_wrong),
                 CASE(a_filter_of_paths),
                 CASE(an_application_without_a_cluster),
                 CASE(what_is_not_known_warns))
