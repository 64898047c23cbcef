/* web: a web server that tells which pod answered.
 *
 *     web [-exit-after SECONDS]
 *
 * Every request gets "[TEXT ]HOSTNAME ADDRESS PATH\n": the pod's name, the address that the request reached, and
 * the path asked for. PORT (default 8080) and TEXT (a greeting) come from the environment. One line per request
 * goes to stdout. A connection is kept for HTTP/1.1 clients, for KEPT_REQUESTS_MAX requests, as many servers do.
 * It ends with 0 on TERM or INT, at once: whoever is being answered then is cut off. With -exit-after it kills
 * itself with 1 after so many seconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 512, REQUEST_BYTES_MAX = 4096, PATIENCE_S = 10, BACKLOG = 512, KEPT_REQUESTS_MAX = 100 };
enum { SIGNALS = 0, DOOR = 1, FIRST_CLIENT = 2 };

struct client {
    time_t since;
    int answered_count;
    size_t filled;
    char request[REQUEST_BYTES_MAX];
};

static struct pollfd watched[FIRST_CLIENT + CLIENTS_MAX];
static struct client clients[FIRST_CLIENT + CLIENTS_MAX];
static int watched_count = FIRST_CLIENT;
static char hostname[256];
static const char *greeting;

static time_t now(void) {
    struct timespec instant;
    clock_gettime(CLOCK_MONOTONIC, &instant);
    return instant.tv_sec;
}

static void die(const char *what) {
    fprintf(stderr, "web: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long number_from(const char *text, const char *name, long least, long most) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || *end != '\0' || end == text || number < least || number > most) {
        fprintf(stderr, "web: %s must be a number from %ld to %ld\n", name, least, most);
        exit(2);
    }
    return number;
}

static int open_door(int port) {
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int yes = 1;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    if (door < 0) die("socket");
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(door, (struct sockaddr *)&here, sizeof here) < 0) die("bind");
    if (listen(door, BACKLOG) < 0) die("listen");
    return door;
}

static int open_signals(int exit_after_s) {
    sigset_t awaited;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGALRM);
    sigprocmask(SIG_BLOCK, &awaited, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &awaited, SFD_CLOEXEC);
    if (signals < 0) die("signalfd");
    alarm((unsigned)exit_after_s);
    return signals;
}

static void forget(int at) {
    close(watched[at].fd);
    watched_count--;
    watched[at] = watched[watched_count];
    clients[at] = clients[watched_count];
}

static void admit(void) {
    while (watched_count < FIRST_CLIENT + CLIENTS_MAX) {
        int caller = accept4(watched[DOOR].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (caller < 0) return;
        watched[watched_count] = (struct pollfd){.fd = caller, .events = POLLIN};
        clients[watched_count].since = now();
        clients[watched_count].answered_count = 0;
        clients[watched_count].filled = 0;
        watched_count++;
    }
}

/* The path of "GET /path HTTP/1.1", printable characters only, since it goes to the log. */
static void path_of(const char *request, char *path, size_t room) {
    const char *from = strchr(request, ' ');
    size_t length = 0;
    for (from = from == NULL ? "" : from + 1; *from > ' ' && *from < 127 && length + 1 < room; from++)
        path[length++] = *from;
    path[length] = '\0';
}

/* Whether another request may follow: of HTTP/1.1, nothing said of closing, and no body that we would take for one. */
static int keeps(const struct client *client) {
    const char *line_end = strchr(client->request, '\n');
    const char *version = strstr(client->request, " HTTP/1.1");
    if (version == NULL || line_end == NULL || version > line_end) return 0;
    for (const char *line = line_end + 1; *line != '\0' && *line != '\r' && *line != '\n';) {
        if (strncasecmp(line, "connection: close", 17) == 0 || strncasecmp(line, "content-length:", 15) == 0 ||
            strncasecmp(line, "transfer-encoding:", 18) == 0)
            return 0;
        line = strchr(line, '\n');
        if (line == NULL) return 0;
        line++;
    }
    return client->answered_count + 1 < KEPT_REQUESTS_MAX;
}

/* Answer the request at the head of what came; return whether the connection is kept. */
static int answer(int at) {
    char path[1024], body[2048], reply[2560], address[INET_ADDRSTRLEN], peer[INET_ADDRSTRLEN];
    struct sockaddr_in here = {0}, there = {0};
    socklen_t room = sizeof here;
    getsockname(watched[at].fd, (struct sockaddr *)&here, &room);
    room = sizeof there;
    getpeername(watched[at].fd, (struct sockaddr *)&there, &room);
    inet_ntop(AF_INET, &here.sin_addr, address, sizeof address);
    inet_ntop(AF_INET, &there.sin_addr, peer, sizeof peer);
    path_of(clients[at].request, path, sizeof path);
    int is_kept = keeps(&clients[at]);
    int body_length = snprintf(body, sizeof body, "%.512s%s%s %s %s\n", greeting,
                               *greeting ? " " : "", hostname, address, path);
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                          "Content-Length: %d\r\nConnection: %s\r\n\r\n%s",
                          body_length, is_kept ? "keep-alive" : "close", body);
    /* The reply is smaller than any send buffer: it goes out whole or the caller is gone. */
    int is_sent = write(watched[at].fd, reply, (size_t)length) == length;
    if (is_sent) printf("%s %s\n", peer, path);
    fflush(stdout);
    if (!is_kept) shutdown(watched[at].fd, SHUT_WR);
    clients[at].answered_count++;
    clients[at].since = now();
    return is_kept && is_sent;
}

/* Return what follows the blank line that ends a request's head; NULL where it has not come yet. */
static char *after_head(char *request) {
    char *strict = strstr(request, "\r\n\r\n"), *lenient = strstr(request, "\n\n");
    if (lenient != NULL && (strict == NULL || lenient < strict)) return lenient + 2;
    return strict == NULL ? NULL : strict + 4;
}

/* Take what came; answer when the blank line ends a request's head. Return 0 once it is over. */
static int serve(int at) {
    struct client *client = &clients[at];
    size_t room = sizeof client->request - 1 - client->filled;
    ssize_t came = read(watched[at].fd, client->request + client->filled, room);
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) return 1;
    if (came <= 0) return 0;
    client->filled += (size_t)came;
    client->request[client->filled] = '\0';
    for (char *rest; (rest = after_head(client->request)) != NULL;) {
        if (!answer(at)) return 0;
        /* The next request may have come with this one; the terminating zero moves too. */
        client->filled -= (size_t)(rest - client->request);
        memmove(client->request, rest, client->filled + 1);
    }
    return client->filled + 1 < sizeof client->request;
}

int main(int count, char **words) {
    long exit_after_s = 0;
    if (count == 3 && strcmp(words[1], "-exit-after") == 0) {
        exit_after_s = number_from(words[2], "-exit-after", 1, 1L << 30);
    } else if (count != 1) {
        fprintf(stderr, "usage: web [-exit-after SECONDS]\n");
        return 2;
    }
    const char *port = getenv("PORT");
    greeting = getenv("TEXT") != NULL ? getenv("TEXT") : "";
    gethostname(hostname, sizeof hostname - 1);
    watched[SIGNALS] = (struct pollfd){.fd = open_signals((int)exit_after_s), .events = POLLIN};
    int door = open_door((int)number_from(port != NULL ? port : "8080", "PORT", 1, 65535));
    watched[DOOR] = (struct pollfd){.fd = door, .events = POLLIN};
    printf("web: %s listens on port %s\n", hostname, port != NULL ? port : "8080");
    fflush(stdout);
    for (;;) {
        int is_full = watched_count == FIRST_CLIENT + CLIENTS_MAX;
        watched[DOOR].events = is_full ? 0 : POLLIN;
        if (poll(watched, (nfds_t)watched_count, 1000) < 0 && errno != EINTR) die("poll");
        if (watched[SIGNALS].revents) {
            struct signalfd_siginfo told;
            if (read(watched[SIGNALS].fd, &told, sizeof told) != sizeof told) die("signalfd");
            return told.ssi_signo == SIGALRM;
        }
        /* Backwards: forget() moves the last client into the gap. */
        for (int at = watched_count - 1; at >= FIRST_CLIENT; at--) {
            int is_late = now() - clients[at].since > PATIENCE_S;
            if ((watched[at].revents && !serve(at)) || is_late) forget(at);
        }
        if (watched[DOOR].revents) admit();
    }
}
