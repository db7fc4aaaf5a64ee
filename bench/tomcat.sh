#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tomcat.sh BASE NODE PORT CLUSTER_PORTS SEND_OPTIONS [KIND]: one Tomcat 10 on
# loopback, in the foreground and as this very process, with what `./dev bench`
# asks for: /hit.jsp, /me.jsp and /new.jsp. BASE is a new directory, which the
# caller removes. KIND:
#   delta (if not given), backup   a member of a cluster with that manager. NODE
#           counts from 1: its port for members is the NODE-th of CLUSTER_PORTS
#           (PORT,PORT,...). SEND_OPTIONS is Tomcat's channelSendOptions, for
#           BackupManager its mapSendOptions; with 8 the OrderInterceptor is put
#           in, because without it that mode loses sessions.
#   file, sqlite   alone, and its sessions in a store after each request: by
#           PersistentValve with FileStore, or with DataSourceStore over SQLite
#           (libxerial-sqlite-jdbc-java). Ports and options are ignored.
set -eu
base=$1 node=$2 port=$3 options=$5 kind=${6:-delta}
IFS=, read -r -a ports <<<"$4"
home=/usr/share/tomcat10

mkdir -p "$base"/{conf,logs,temp,webapps,work} "$base/app/WEB-INF"

static_member() { # ELEMENT NODE
    printf '<%s className="org.apache.catalina.tribes.membership.StaticMember"
        host="127.0.0.1" port="%s"
        uniqueId="{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,%s}"/>\n' \
        "$1" "${ports[$2 - 1]}" "$2"
}
static_members() {
    local n
    static_member LocalMember "$node"
    for ((n = 1; n <= ${#ports[@]}; n++)); do
        [ "$n" -eq "$node" ] || static_member Member "$n"
    done
}
order() {
    [ "$options" -ne 8 ] || echo '<Interceptor className=
        "org.apache.catalina.tribes.group.interceptors.OrderInterceptor"/>'
}
manager() {
    local class=org.apache.catalina.ha.session
    if [ "$kind" = backup ]; then
        echo "<Manager className=\"$class.BackupManager\"
            mapSendOptions=\"$options\"/>"
    else
        echo "<Manager className=\"$class.DeltaManager\"
            notifyListenersOnReplication=\"false\"
            stateTransferTimeout=\"5\"/>"
    fi
}

# channelStartOptions: no multicast.
cluster() {
    cat <<XML
      <Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster"
               channelSendOptions="$options" channelStartOptions="3">
        $(manager)
        <Channel className="org.apache.catalina.tribes.group.GroupChannel">
          <Receiver
              className="org.apache.catalina.tribes.transport.nio.NioReceiver"
              address="127.0.0.1" port="${ports[node - 1]}" autoBind="0"/>
          <Sender className=
              "org.apache.catalina.tribes.transport.ReplicationTransmitter">
            <Transport className=
       "org.apache.catalina.tribes.transport.nio.PooledParallelSender"/>
          </Sender>
          $(order)
          <Interceptor className=
    "org.apache.catalina.tribes.group.interceptors.TcpFailureDetector"/>
          <Interceptor className=
    "org.apache.catalina.tribes.group.interceptors.MessageDispatchInterceptor"/>
          <Interceptor className=
    "org.apache.catalina.tribes.group.interceptors.StaticMembershipInterceptor">
            $(static_members)
          </Interceptor>
        </Channel>
        <Valve className="org.apache.catalina.ha.tcp.ReplicationValve"/>
        <ClusterListener className=
            "org.apache.catalina.ha.session.ClusterSessionListener"/>
      </Cluster>
XML
}

# In the store after each request, and out of memory: any server could answer
# the next one.
persistent() {
    local class=org.apache.catalina
    echo "<Valve className=\"$class.valves.PersistentValve\"/>
        <Manager className=\"$class.session.PersistentManager\"
                 saveOnRestart=\"true\">"
    if [ "$kind" = file ]; then
        echo "<Store className=\"$class.session.FileStore\"
                   directory=\"$base/sessions\"/></Manager>"
        return
    fi
    mkdir -p "$base/lib"
    ln -s /usr/share/java/sqlite-jdbc.jar "$base/lib/"
    echo "<Store className=\"$class.session.DataSourceStore\"
               dataSourceName=\"sessions\" localDataSource=\"true\"
               sessionTable=\"sessions\" sessionAppCol=\"app\"
               sessionDataCol=\"data\" sessionIdCol=\"id\"
               sessionLastAccessedCol=\"used\" sessionMaxInactiveCol=\"idle\"
               sessionValidCol=\"valid\"/></Manager>
        <Resource name=\"sessions\" type=\"javax.sql.DataSource\"
                  auth=\"Container\" driverClassName=\"org.sqlite.JDBC\"
                  maxTotal=\"16\" maxIdle=\"16\"
                  connectionInitSqls=\"CREATE TABLE IF NOT EXISTS sessions (id
                      TEXT PRIMARY KEY, app TEXT, data BLOB, valid TEXT,
                      idle INTEGER, used INTEGER)\"
                  url=\"jdbc:sqlite:$base/sessions.db?journal_mode=WAL&amp;synchronous=NORMAL&amp;busy_timeout=5000\"/>"
}

replicated=cluster kept=true
case $kind in file | sqlite) replicated=true kept=persistent ;; esac

# No access log, and no limit of requests per connection: as the other side.
cat >"$base/conf/server.xml" <<XML
<Server port="-1">
  <Service name="Catalina">
    <Connector port="$port" address="127.0.0.1" maxKeepAliveRequests="-1"
               acceptCount="1000"/>
    <Engine name="Catalina" defaultHost="localhost" jvmRoute="node$node">
$($replicated)
      <Host name="localhost" appBase="webapps" autoDeploy="false"
            deployOnStartup="false">
        <Context path="" docBase="$base/app" reloadable="false">
          $($kept)
        </Context>
      </Host>
    </Engine>
  </Service>
</Server>
XML
cat >"$base/conf/web.xml" <<'XML'
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <servlet>
    <servlet-name>jsp</servlet-name>
    <servlet-class>org.apache.jasper.servlet.JspServlet</servlet-class>
    <init-param>
      <param-name>development</param-name>
      <param-value>false</param-value>
    </init-param>
    <load-on-startup>1</load-on-startup>
  </servlet>
  <servlet-mapping>
    <servlet-name>jsp</servlet-name>
    <url-pattern>*.jsp</url-pattern>
  </servlet-mapping>
</web-app>
XML
cat >"$base/app/WEB-INF/web.xml" <<'XML'
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0">
  <distributable/>
</web-app>
XML

page() { # NAME: a page with the body on standard input
    {
        printf '%s' '<%@ page session="false" contentType="text/plain"' \
            ' trimDirectiveWhitespaces="true"' \
            ' import="jakarta.servlet.http.HttpSession" %><%'
        cat
        printf '%s' '%>'
    } >"$base/app/$1.jsp"
}
page new <<'JSP'
HttpSession s = request.getSession(true);
s.setAttribute("user", "guest");
s.setAttribute("since", Long.valueOf(System.currentTimeMillis()));
s.setAttribute("hits", Integer.valueOf(0));
out.println("new");
JSP
page me <<'JSP'
HttpSession s = request.getSession(false);
if (s == null) {
    response.sendError(401);
    return;
}
out.println("You are " + s.getAttribute("user") + ", hits "
            + s.getAttribute("hits"));
JSP
page hit <<'JSP'
HttpSession s = request.getSession(false);
if (s == null) {
    response.sendError(401);
    return;
}
int hits = (Integer) s.getAttribute("hits") + 1;
s.setAttribute("hits", hits);
out.println(hits);
JSP

cd "$base"
exec java -server -Xms256m -Xmx256m -XX:+UseParallelGC \
    -Djava.awt.headless=true -Djava.net.preferIPv4Stack=true \
    -Dcatalina.home="$home" -Dcatalina.base="$base" \
    -Djava.io.tmpdir="$base/temp" \
    -cp "$home/bin/bootstrap.jar:$home/bin/tomcat-juli.jar" \
    org.apache.catalina.startup.Bootstrap start
