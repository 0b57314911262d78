/* Drives the Paho C library (its synchronous API) against a broker. What a driver has to do: README.md. */

#include <MQTTClient.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The library waits in steps of 100 ms when ten messages are under way, so that MANY is not more. */
enum { PATIENCE = 10000, LARGE = 300 * 1024, TOPIC = 512, CLIENTS = 8, MANY = 30 };

/* Where the broker is; the clients of a check; and where a check ends that fails. */
static char server[TOPIC];
static const char *authority;
static MQTTClient clients[CLIENTS];
static int client_count;
static jmp_buf failed;
static char why[1000];

static void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vsnprintf(why, sizeof why, format, values);
  va_end(values);
  longjmp(failed, 1);
}

static void expect(const char *what, long wanted, long seen) {
  if (wanted != seen) fail("%s: expected %ld, saw %ld", what, wanted, seen);
}

/* The beginning, with something after it. */
static char *with(const char *beginning, const char *end) {
  static char rooms[16][TOPIC];
  static int room;
  char *made = rooms[room++ % 16];
  snprintf(made, TOPIC, "%s%s", beginning, end);
  return made;
}

static void reach(const char *url, const char *ca) {
  static const char *schemes[][2] = {{"mqtt://", "tcp://"}, {"mqtts://", "ssl://"}, {"ws://", "ws://"}, {"wss://", "wss://"}};
  authority = ca;
  for (size_t i = 0; i < 4; i++)
    if (!strncmp(url, schemes[i][0], strlen(schemes[i][0])))
      snprintf(server, sizeof server, "%s%s", schemes[i][1], url + strlen(schemes[i][0]));
}

static void add_number(MQTTProperties *properties, enum MQTTPropertyCodes code, unsigned value) {
  MQTTProperty property = {.identifier = code};
  switch (MQTTProperty_getType(code)) {
  case MQTTPROPERTY_TYPE_BYTE: property.value.byte = (unsigned char)value; break;
  case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER: property.value.integer2 = (unsigned short)value; break;
  default: property.value.integer4 = value;
  }
  expect("adding a property", 0, MQTTProperties_add(properties, &property));
}

static void add_data(MQTTProperties *properties, enum MQTTPropertyCodes code, const char *data, int length) {
  MQTTProperty property = {.identifier = code};
  property.value.data.data = (char *)data;
  property.value.data.len = length;
  expect("adding a property", 0, MQTTProperties_add(properties, &property));
}

static void add_pair(MQTTProperties *properties, const char *name, const char *value) {
  MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
  property.value.data = (MQTTLenString){(int)strlen(name), (char *)name};
  property.value.value = (MQTTLenString){(int)strlen(value), (char *)value};
  expect("adding a property", 0, MQTTProperties_add(properties, &property));
}

struct options { int dirty, expiry, keep_alive, maximum, delay; const char *will; };

static MQTTClient open_client(const char *id, struct options o) {
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  MQTTClient_connectOptions plain = MQTTClient_connectOptions_initializer5, web = MQTTClient_connectOptions_initializer5_ws;
  MQTTClient_connectOptions connect = strncmp(server, "ws", 2) ? plain : web;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
  MQTTProperties properties = MQTTProperties_initializer, will_properties = MQTTProperties_initializer;
  create.MQTTVersion = MQTTVERSION_5;
  MQTTClient client;
  expect("create", 0, MQTTClient_createWithOptions(&client, server, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create));
  clients[client_count++ % CLIENTS] = client;
  ssl.trustStore = authority;
  ssl.verify = 1;
  connect.ssl = &ssl;
  connect.cleanstart = !o.dirty;
  connect.keepAliveInterval = o.keep_alive ? o.keep_alive : 60;
  if (o.will) {
    will.topicName = o.will;
    will.message = "will";
    will.qos = 1;
    connect.will = &will;
    add_number(&will_properties, MQTTPROPERTY_CODE_WILL_DELAY_INTERVAL, (unsigned)o.delay);
  }
  add_number(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL, (unsigned)o.expiry);
  if (o.maximum) add_number(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, (unsigned)o.maximum);
  MQTTResponse answer = MQTTClient_connect5(client, &connect, &properties, o.will ? &will_properties : NULL);
  expect("answer to CONNECT", 0, answer.reasonCode);
  MQTTResponse_free(answer);
  MQTTProperties_free(&properties);
  MQTTProperties_free(&will_properties);
  return client;
}

static MQTTClient open_plain(const char *id) { return open_client(id, (struct options){0}); }

static void subscribe(MQTTClient client, const char *filter, int qos, unsigned identifier) {
  MQTTProperties properties = MQTTProperties_initializer;
  if (identifier) add_number(&properties, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, identifier);
  MQTTResponse answer = MQTTClient_subscribe5(client, filter, qos, NULL, &properties);
  expect("reason of SUBACK", qos, answer.reasonCode);
  MQTTResponse_free(answer);
  MQTTProperties_free(&properties);
}

static MQTTClient subscriber(const char *id, const char *filter) {
  MQTTClient client = open_plain(id);
  subscribe(client, filter, 2, 0);
  return client;
}

static MQTTClient_deliveryToken give(MQTTClient client, const char *topic, const void *payload, int length, int qos,
                                     int retain, MQTTProperties *properties) {
  MQTTClient_message message = MQTTClient_message_initializer;
  message.payload = (void *)payload;
  message.payloadlen = length;
  message.qos = qos;
  message.retained = retain;
  if (properties) message.properties = *properties;
  MQTTClient_deliveryToken token = 0;
  MQTTResponse answer = MQTTClient_publishMessage5(client, topic, &message, &token);
  expect("publish", 0, answer.reasonCode);
  MQTTResponse_free(answer);
  return token;
}

static void send_all(MQTTClient client, const char *topic, const void *payload, int length, int qos, int retain,
                     MQTTProperties *properties) {
  MQTTClient_deliveryToken token = give(client, topic, payload, length, qos, retain, properties);
  if (qos) expect("the end of a publish", 0, MQTTClient_waitForCompletion(client, token, PATIENCE));
  if (properties) MQTTProperties_free(properties);
}

static void say(MQTTClient client, const char *topic, const char *text) {
  send_all(client, topic, text, (int)strlen(text), 1, 0, NULL);
}

/* The next message; it stays as it is until the next call. */
static MQTTClient_message *next(MQTTClient client, char **topic) {
  static MQTTClient_message *message;
  static char *name;
  if (message) {
    MQTTClient_freeMessage(&message);
    MQTTClient_free(name);
  }
  int length = 0;
  int web = !strncmp(server, "ws", 2);
  int error = MQTTClient_receive(client, &name, &length, &message, web ? 1000 : PATIENCE);
  if (!message && web) {
    /* 1.3.11 leaves what came over WebSocket together with a CONNACK or SUBACK until more comes; an UNSUBACK is. */
    MQTTResponse_free(MQTTClient_unsubscribe5(client, "nothing", NULL));
    error = MQTTClient_receive(client, &name, &length, &message, PATIENCE);
  }
  if (!message) fail("expected a message within %d ms, saw none (error %d)", PATIENCE, error);
  *topic = name;
  return message;
}

static MQTTProperties *receive_as(MQTTClient client, const char *topic, const void *payload, int length, int qos, int retain) {
  char *name;
  MQTTClient_message *message = next(client, &name);
  if (strcmp(name, topic)) fail("topic: expected %s, saw %s", topic, name);
  expect("length of the payload", length, message->payloadlen);
  if (memcmp(payload, message->payload, (size_t)length))
    fail("payload: expected %.*s, saw %.*s", length, (const char *)payload, message->payloadlen, (char *)message->payload);
  expect("QoS", qos, message->qos);
  expect("RETAIN", retain, message->retained);
  return &message->properties;
}

static MQTTProperties *hear(MQTTClient client, const char *topic, const char *text) {
  return receive_as(client, topic, text, (int)strlen(text), 1, 0);
}

static void end_with(MQTTClient client, enum MQTTReasonCodes reason) {
  expect("disconnect", 0, MQTTClient_disconnect5(client, 1000, reason, NULL));
}

static void end(MQTTClient client) { end_with(client, MQTTREASONCODE_NORMAL_DISCONNECTION); }

/* Connects with a will in a process of its own, and kills that: an end without a DISCONNECT. */
static void break_off(const char *id, const char *topic, const char *delay) {
  int pipes[2];
  if (pipe(pipes)) fail("no pipe");
  pid_t child = fork();
  if (!child) {
    dup2(pipes[1], 1);
    execl("/proc/self/exe", "paho_c", "hold", server, authority, id, topic, delay, NULL);
    _exit(1);
  }
  close(pipes[1]);
  char byte;
  ssize_t got = read(pipes[0], &byte, 1);
  close(pipes[0]);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  expect("clients with a will that connected", 1, got);
}

static void connects(const char *t) { end(open_plain(t)); }

static void both_ways(const char *t, int qos) {
  static char bytes[256], large[LARGE];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  for (int i = 0; i < LARGE; i++) large[i] = (char)(i * 7 % 251);
  struct { const char *data; int length; } payloads[] = {{"", 0}, {"text", 4}, {bytes, 256}, {large, LARGE}};
  MQTTClient reader = open_plain(with(t, "s")), writer = open_plain(with(t, "p"));
  subscribe(reader, t, qos, 0);
  for (int i = 0; i < 4; i++) {
    /* Over WebSocket the large one is sent but not read: 1.3.11 then takes bytes of it for frames, see README.md. */
    int unread = i == 3 && !strncmp(server, "ws", 2);
    send_all(writer, unread ? with(t, "/unread") : t, payloads[i].data, payloads[i].length, qos, 0, NULL);
    if (!unread) receive_as(reader, t, payloads[i].data, payloads[i].length, qos, 0);
  }
  end(writer);
  end(reader);
}

static void qos0(const char *t) { both_ways(t, 0); }
static void qos1(const char *t) { both_ways(t, 1); }
static void qos2(const char *t) { both_ways(t, 2); }

static void retained(const char *t) {
  MQTTClient writer = open_plain(with(t, "p"));
  send_all(writer, t, "kept", 4, 1, 1, NULL);
  MQTTClient later = subscriber(with(t, "s"), t);
  receive_as(later, t, "kept", 4, 1, 1);
  send_all(writer, t, "", 0, 1, 1, NULL);
  hear(later, t, "");
  MQTTClient last = subscriber(with(t, "l"), t);
  say(writer, t, "fence");
  hear(last, t, "fence");
  end(writer);
  end(later);
  end(last);
}

static void will_on_abrupt_end(const char *t) {
  MQTTClient observer = subscriber(with(t, "o"), t);
  break_off(t, t, "0");
  hear(observer, t, "will");
  end(observer);
}

static void will_on_request(const char *t) {
  MQTTClient observer = subscriber(with(t, "o"), t);
  end_with(open_client(t, (struct options){.will = t}), MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE);
  hear(observer, t, "will");
  end(observer);
}

static void no_will_on_clean_end(const char *t) {
  MQTTClient observer = subscriber(with(t, "o"), t);
  end(open_client(t, (struct options){.will = t}));
  MQTTClient fence = open_plain(with(t, "f"));
  say(fence, t, "fence");
  hear(observer, t, "fence");
  end(fence);
  end(observer);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void will_delay(const char *t) {
  MQTTClient observer = subscriber(with(t, "o"), t);
  double before = now();
  break_off(t, t, "2");
  hear(observer, t, "will");
  /* The broker counts whole milliseconds. */
  if (now() - before < 1.999) fail("expected the will after its delay of 2 s, saw it after %f s", now() - before);
  end(observer);
}

static void shared_subscription(const char *t) {
  MQTTClient members[2];
  int seen[20] = {0};
  for (int i = 0; i < 2; i++) {
    members[i] = subscriber(with(t, i ? "a" : "b"), with("$share/group/", t));
    subscribe(members[i], with(t, "/fence"), 2, 0);
  }
  MQTTClient writer = open_plain(with(t, "p"));
  for (char i = 0; i < 20; i++) send_all(writer, t, &i, 1, 1, 0, NULL);
  say(writer, with(t, "/fence"), "");
  for (int i = 0; i < 2; i++)
    for (;;) {
      char *topic;
      MQTTClient_message *message = next(members[i], &topic);
      if (strcmp(topic, t)) break;
      seen[*(unsigned char *)message->payload % 20]++;
    }
  for (int i = 0; i < 20; i++) expect("times that both members saw a message", 1, seen[i]);
  end(writer);
  end(members[0]);
  end(members[1]);
}

static void session_resumed(const char *t) {
  MQTTClient away = open_client(t, (struct options){.expiry = 300});
  subscribe(away, t, 2, 0);
  end(away);
  MQTTClient writer = open_plain(with(t, "p"));
  say(writer, t, "one");
  send_all(writer, t, "two", 3, 2, 0, NULL);
  /* Session Present is not read: 1.3.11 leaves `returned.sessionPresent` 0 when 20 0E 01 00 ... arrives. What was
     sent while the client was away shows it. */
  MQTTClient back = open_client(t, (struct options){.dirty = 1});
  hear(back, t, "one");
  receive_as(back, t, "two", 3, 2, 0);
  end(writer);
  end(back);
}

static void expect_data(const char *what, const char *wanted, int length, MQTTLenString seen) {
  if (seen.len != length || memcmp(wanted, seen.data, (size_t)length))
    fail("%s: expected %.*s, saw %.*s", what, length, wanted, seen.len, seen.data);
}

static MQTTProperty *property(MQTTProperties *properties, enum MQTTPropertyCodes code, int index) {
  MQTTProperty *found = MQTTProperties_getPropertyAt(properties, code, index);
  if (!found) fail("expected property %s (number %d), saw %d", MQTTPropertyName(code), index, MQTTProperties_propertyCount(properties, code));
  return found;
}

static void user_properties(const char *t) {
  static const char *pairs[][2] = {{"name", "first"}, {"other", "k\xc3\xa4se"}, {"name", "second"}};
  MQTTClient reader = subscriber(with(t, "s"), t), writer = open_plain(with(t, "p"));
  MQTTProperties properties = MQTTProperties_initializer;
  for (int i = 0; i < 3; i++) add_pair(&properties, pairs[i][0], pairs[i][1]);
  add_data(&properties, MQTTPROPERTY_CODE_CONTENT_TYPE, "text/plain", 10);
  add_number(&properties, MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, 1);
  send_all(writer, t, "text", 4, 1, 0, &properties);
  MQTTProperties *seen = hear(reader, t, "text");
  expect("user properties", 3, MQTTProperties_propertyCount(seen, MQTTPROPERTY_CODE_USER_PROPERTY));
  for (int i = 0; i < 3; i++) {
    MQTTProperty *pair = property(seen, MQTTPROPERTY_CODE_USER_PROPERTY, i);
    expect_data("name", pairs[i][0], (int)strlen(pairs[i][0]), pair->value.data);
    expect_data("value", pairs[i][1], (int)strlen(pairs[i][1]), pair->value.value);
  }
  expect_data("content type", "text/plain", 10, property(seen, MQTTPROPERTY_CODE_CONTENT_TYPE, 0)->value.data);
  expect("payload format", 1, property(seen, MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, 0)->value.byte);
  end(writer);
  end(reader);
}

static void request_response(const char *t) {
  char *response = with(t, "/response"), back[TOPIC], data[8];
  MQTTClient answering = subscriber(with(t, "a"), t), asking = subscriber(with(t, "q"), response);
  MQTTProperties question = MQTTProperties_initializer, answer = MQTTProperties_initializer;
  add_data(&question, MQTTPROPERTY_CODE_RESPONSE_TOPIC, response, (int)strlen(response));
  add_data(&question, MQTTPROPERTY_CODE_CORRELATION_DATA, "\0\1\xff", 3);
  send_all(asking, t, "ask", 3, 1, 0, &question);
  MQTTProperties *asked = hear(answering, t, "ask");
  MQTTLenString where = property(asked, MQTTPROPERTY_CODE_RESPONSE_TOPIC, 0)->value.data;
  MQTTLenString which = property(asked, MQTTPROPERTY_CODE_CORRELATION_DATA, 0)->value.data;
  snprintf(back, sizeof back, "%.*s", where.len, where.data);
  expect("length of the correlation data", 3, which.len);
  memcpy(data, which.data, 3);
  add_data(&answer, MQTTPROPERTY_CODE_CORRELATION_DATA, data, 3);
  send_all(answering, back, "answer", 6, 1, 0, &answer);
  MQTTProperties *answered = hear(asking, response, "answer");
  expect_data("correlation data", "\0\1\xff", 3, property(answered, MQTTPROPERTY_CODE_CORRELATION_DATA, 0)->value.data);
  end(answering);
  end(asking);
}

static void message_expiry(const char *t) {
  MQTTClient reader = subscriber(with(t, "s"), t), writer = open_plain(with(t, "p"));
  MQTTProperties properties = MQTTProperties_initializer;
  add_number(&properties, MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, 1000);
  send_all(writer, t, "short", 5, 1, 0, &properties);
  unsigned left = property(hear(reader, t, "short"), MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL, 0)->value.integer4;
  if (left <= 900 || left > 1000) fail("expected a message expiry interval of 900 to 1000 s, saw %u", left);
  end(writer);
  end(reader);
}

static void subscription_identifier(const char *t) {
  char *below = with(t, "/x");
  MQTTClient reader = open_plain(with(t, "s")), writer = open_plain(with(t, "p"));
  subscribe(reader, t, 2, 268435455);
  subscribe(reader, with(t, "/#"), 2, 7);
  say(writer, below, "one");
  say(writer, t, "both");
  MQTTProperties *seen = hear(reader, below, "one");
  expect("identifiers", 1, MQTTProperties_propertyCount(seen, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER));
  expect("identifier", 7, property(seen, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 0)->value.integer4);
  seen = hear(reader, t, "both");
  expect("identifiers", 2, MQTTProperties_propertyCount(seen, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER));
  expect("sum of both identifiers", 268435455 + 7,
         (long)property(seen, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 0)->value.integer4 +
             (long)property(seen, MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER, 1)->value.integer4);
  end(writer);
  end(reader);
}

static void topic_alias(const char *t) {
  MQTTClient reader = subscriber(with(t, "s"), t), writer = open_plain(with(t, "p"));
  for (int i = 0; i < 2; i++) {
    MQTTProperties alias = MQTTProperties_initializer;
    add_number(&alias, MQTTPROPERTY_CODE_TOPIC_ALIAS, 3);
    send_all(writer, i ? "" : t, i ? "second" : "first", i ? 6 : 5, 1, 0, &alias);
  }
  hear(reader, t, "first");
  hear(reader, t, "second");
  end(writer);
  end(reader);
}

static void unsubscribes(const char *t) {
  char *fence = with(t, "/fence");
  MQTTClient reader = subscriber(with(t, "s"), t), writer = open_plain(with(t, "p"));
  subscribe(reader, fence, 2, 0);
  say(writer, t, "before");
  hear(reader, t, "before");
  MQTTResponse answer = MQTTClient_unsubscribe5(reader, t, NULL);
  expect("reason of UNSUBACK", 0, answer.reasonCode);
  MQTTResponse_free(answer);
  say(writer, t, "after");
  say(writer, fence, "fence");
  hear(reader, fence, "fence");
  end(writer);
  end(reader);
}

static void many_in_order(const char *t) {
  MQTTClient reader = open_client(with(t, "s"), (struct options){.maximum = 3}), writer = open_plain(with(t, "p"));
  subscribe(reader, t, 2, 0);
  for (int qos = 1; qos <= 2; qos++) {
    MQTTClient_deliveryToken last = 0;
    for (int i = 0; i < MANY; i++) last = give(writer, t, &i, sizeof i, qos, 0, NULL);
    for (int i = 0; i < MANY; i++) receive_as(reader, t, &i, sizeof i, qos, 0);
    expect("the end of the last publish", 0, MQTTClient_waitForCompletion(writer, last, PATIENCE));
  }
  end(writer);
  end(reader);
}

static void keep_alive_idle(const char *t) {
  MQTTClient idle = open_client(t, (struct options){.keep_alive = 2});
  subscribe(idle, t, 2, 0);
  /* The one wait for time itself: more than the one and a half Keep Alives that close a silent client. */
  for (double start = now(); now() - start < 5;) MQTTClient_yield();
  expect("still connected", 1, MQTTClient_isConnected(idle));
  MQTTClient writer = open_plain(with(t, "p"));
  say(writer, t, "awake");
  hear(idle, t, "awake");
  end(writer);
  end(idle);
}

static void version_311_refused(const char *t) {
  MQTTClient_connectOptions plain = MQTTClient_connectOptions_initializer, web = MQTTClient_connectOptions_initializer_ws;
  MQTTClient_connectOptions connect = strncmp(server, "ws", 2) ? plain : web;
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  ssl.trustStore = authority;
  connect.ssl = &ssl;
  connect.MQTTVersion = MQTTVERSION_3_1_1;
  MQTTClient client;
  expect("create", 0, MQTTClient_create(&client, server, t, MQTTCLIENT_PERSISTENCE_NONE, NULL));
  clients[client_count++ % CLIENTS] = client;
  expect("the library's error", 0x84, MQTTClient_connect(client, &connect));
}

static const struct { const char *name; void (*run)(const char *); } checks[] = {
    {"connect", connects}, {"qos0-both-ways", qos0}, {"qos1-both-ways", qos1}, {"qos2-both-ways", qos2},
    {"retained", retained}, {"will-on-abrupt-end", will_on_abrupt_end}, {"will-on-request", will_on_request},
    {"no-will-on-clean-end", no_will_on_clean_end}, {"will-delay", will_delay}, {"shared-subscription", shared_subscription},
    {"session-resumed", session_resumed}, {"user-properties", user_properties}, {"request-response", request_response},
    {"message-expiry", message_expiry}, {"subscription-identifier", subscription_identifier}, {"topic-alias", topic_alias},
    {"unsubscribe", unsubscribes}, {"many-in-order", many_in_order}, {"keep-alive-idle", keep_alive_idle},
    {"version-3.1.1-refused", version_311_refused},
};
enum { CHECKS = sizeof checks / sizeof *checks };

static int describe(void) {
  MQTTClient_nameValue *info = MQTTClient_getVersionInfo();
  while (info->name && strcmp(info->name, "Version")) info++;
  printf("client paho-c %s\n", info->name ? info->value : "unknown");
  puts("transport tcp\ntransport tcp6\ntransport tls\ntransport ws\ntransport wss");
  for (int i = 0; i < CHECKS; i++) printf("check %s\n", checks[i].name);
  return 0;
}

static void run(const char *name, const char *port) {
  char topic[TOPIC];
  snprintf(topic, sizeof topic, "paho-c/%.*s/%s", (int)strcspn(port, "/"), port, name);
  snprintf(why, sizeof why, "there is no such check");
  client_count = 0;
  int ok = 0;
  if (!setjmp(failed))
    for (int i = 0; i < CHECKS && !ok; i++)
      if (!strcmp(checks[i].name, name)) {
        checks[i].run(topic);
        ok = 1;
      }
  for (int i = 0; i < client_count && i < CLIENTS; i++) MQTTClient_destroy(&clients[i]);
  if (ok) printf("ok %s\n", name);
  else printf("failed %s %s\n", name, why);
  fflush(stdout);
}

static void receive(const char *filter, int count) {
  MQTTClient client = subscriber(with("paho-c/", filter), filter);
  puts("subscribed");
  fflush(stdout);
  while (count-- > 0) {
    char *topic;
    MQTTClient_message *message = next(client, &topic);
    MQTTLenString from = property(&message->properties, MQTTPROPERTY_CODE_USER_PROPERTY, 0)->value.value;
    printf("%s %d %.*s ", topic, message->qos, from.len, from.data);
    for (int i = 0; i < message->payloadlen; i++) printf("%02x", ((unsigned char *)message->payload)[i]);
    putchar('\n');
    fflush(stdout);
  }
  end(client);
}

static void publish(void) {
  static char line[4096], topic[1024], sender[1024], hex[2048];
  MQTTClient client = open_plain("");
  int qos;
  while (fgets(line, sizeof line, stdin) && sscanf(line, "%1023s %d %1023s %2047s", topic, &qos, sender, hex) == 4) {
    int length = (int)strlen(hex) / 2;
    for (int i = 0; i < length; i++) {
      unsigned byte = 0;
      sscanf(hex + 2 * i, "%2x", &byte);
      hex[i] = (char)byte;
    }
    MQTTProperties properties = MQTTProperties_initializer;
    add_pair(&properties, "from", sender);
    send_all(client, topic, hex, length, qos, 0, &properties);
  }
  end(client);
}

int main(int count, char **words) {
  if (count == 2 && !strcmp(words[1], "describe")) return describe();
  if (count < 4) return 1;
  const char *order = words[1];
  reach(words[2], words[3]);
  if (!strcmp(order, "run")) {
    for (int i = 4; i < count; i++) run(words[i], strrchr(words[2], ':') + 1);
    return 0;
  }
  if (setjmp(failed)) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  if (!strcmp(order, "hold")) {
    snprintf(server, sizeof server, "%s", words[2]);
    open_client(words[4], (struct options){.will = words[5], .delay = atoi(words[6]), .expiry = 300});
    puts("connected");
    fflush(stdout);
    for (;;) pause();
  }
  if (!strcmp(order, "receive")) receive(words[4], atoi(words[5]));
  else publish();
  return 0;
}
