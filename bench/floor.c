/*
 * The floor of the benchmark: the least that a proxy on one thread must do. It reads what clients have sent, writes each
 * server's share in one write per turn, reads the replies, and writes each client's replies in one write per turn. It
 * has no limits, no timeouts, no checks and no errors: requests are get (of one or many keys) and set, all keys exist.
 *
 *     cc -O2 -o floor floor.c && ./floor PORT SERVER_PORT...
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SERVERS 8
#define MAX_KEYS 128
#define ROOM (1 << 16)

struct buffer { char *at; int start, end, size; };
/* A request of a client: the servers that have its keys, and their replies. */
struct slot {
    struct slot *next;
    struct conn *client;
    int due, keys, is_get, server[MAX_KEYS];
    struct buffer part[MAX_SERVERS];
};
struct conn {
    int fd, is_server, is_dirty;
    struct buffer in, out;
    struct slot *head, *tail;      /* client: its requests, in order */
    struct slot **fifo;            /* server: requests in flight, a ring */
    unsigned first, last;
};

static struct conn servers[MAX_SERVERS], *dirty[1 << 16];
static struct slot *spare;
static int server_count, dirty_count, poll_fd;

static char *room(struct buffer *b, int length) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->size - b->end < length) {
        memmove(b->at, b->at + b->start, b->end - b->start);
        b->end -= b->start;
        b->start = 0;
        while (b->size - b->end < length) b->at = realloc(b->at, b->size = b->size ? 2 * b->size : ROOM);
    }
    return b->at + b->end;
}

static void append(struct buffer *b, const char *bytes, int length) {
    memcpy(room(b, length), bytes, length);
    b->end += length;
}

static void mark(struct conn *c) {
    if (!c->is_dirty) c->is_dirty = 1, dirty[dirty_count++] = c;
}

static void add(int fd, struct conn *c) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->fd = fd;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int server_of(const char *key, int length) {
    unsigned hash = 2166136261u;
    for (int i = 0; i < length; i++) hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return (hash >> 8) % server_count;
}

static void send_to(struct slot *s, int number) {
    struct conn *server = &servers[number];
    server->fifo[server->last++ % ROOM] = s;
    s->due++;
    mark(server);
}

/* Sends one request to its servers. */
static void route(struct conn *c, char *line, char *end, char *frame_end) {
    struct slot *s = spare ? spare : calloc(1, sizeof *s);
    if (spare) spare = spare->next;
    s->next = NULL, s->client = c, s->due = s->keys = 0, s->is_get = line[0] == 'g';
    if (c->head) c->tail->next = s; else c->head = s;
    c->tail = s;
    if (!s->is_get) {
        char *key = line + 4;
        int number = server_of(key, (char *)memchr(key, ' ', end - key) - key);
        append(&servers[number].out, line, frame_end - line);
        send_to(s, number);
        return;
    }
    unsigned asked = 0;
    for (char *key = line + 4; key < end;) {
        char *stop = memchr(key, ' ', end - key);
        if (!stop) stop = end;
        int number = s->server[s->keys++] = server_of(key, stop - key);
        append(&servers[number].out, asked & 1u << number ? " " : "get ", asked & 1u << number ? 1 : 4);
        append(&servers[number].out, key, stop - key);
        asked |= 1u << number;
        key = stop + 1;
    }
    for (int i = 0; i < server_count; i++)
        if (asked & 1u << i) append(&servers[i].out, "\r\n", 2), send_to(s, i);
}

static void read_client(struct conn *c) {
    while (c->in.start < c->in.end) {
        char *line = c->in.at + c->in.start, *end = memchr(line, '\n', c->in.end - c->in.start);
        if (!end) return;
        char *frame_end = end + 1;
        if (line[0] == 's') {
            char *length = end - 1;
            while (length[-1] != ' ') length--;
            frame_end += atoi(length) + 2;
            if (frame_end > c->in.at + c->in.end) return;
        }
        route(c, line, end - 1, frame_end);
        c->in.start = frame_end - c->in.at;
    }
}

/* Length of the VALUE block at `at`; 0: it is incomplete. */
static int block(const char *at, const char *end) {
    const char *line = memchr(at, '\n', end - at), *length = line;
    if (!line) return 0;
    while (length[-1] != ' ') length--;
    int whole = line + 1 - at + atoi(length) + 2;
    return whole <= end - at ? whole : 0;
}

/* Writes the replies that are complete, in the order of the requests. */
static void answer(struct conn *c) {
    for (struct slot *s = c->head; s && s->due == 0; s = c->head) {
        if (s->is_get) {
            for (int i = 0; i < s->keys; i++) {
                struct buffer *part = &s->part[s->server[i]];
                int length = block(part->at + part->start, part->at + part->end);
                append(&c->out, part->at + part->start, length);
                part->start += length;
            }
            append(&c->out, "END\r\n", 5);
        } else {
            append(&c->out, "STORED\r\n", 8);
        }
        mark(c);
        c->head = s->next, s->next = spare, spare = s;
    }
}

static void read_server(struct conn *c) {
    for (char *start = c->in.at + c->in.start, *at = start, *end = c->in.at + c->in.end; at < end;) {
        int isValue = *at == 'V', length = isValue ? block(at, end) : 0;
        char *line = isValue ? NULL : memchr(at, '\n', end - at);
        if (isValue ? !length : !line) return;
        at = isValue ? at + length : line + 1;
        if (isValue) continue;
        struct slot *s = c->fifo[c->first++ % ROOM];
        struct buffer *part = &s->part[c - servers];
        part->start = part->end = 0;
        if (s->is_get) append(part, start, at - start - 5);
        c->in.start += at - start;
        start = at;
        if (--s->due == 0) answer(s->client);
    }
}

int main(int count, char **words) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poll_fd = epoll_create1(0);
    for (int i = 2; i < count && server_count < MAX_SERVERS; i++) {
        struct conn *server = &servers[server_count++];
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        address.sin_port = htons(atoi(words[i]));
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) return 1;
        server->is_server = 1, server->fifo = malloc(ROOM * sizeof *server->fifo);
        add(fd, server);
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    address.sin_port = htons(atoi(words[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 512)) return 1;
    struct conn accepting = {.fd = listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &accepting});
    for (struct epoll_event events[1024];;) {
        int ready = epoll_wait(poll_fd, events, 1024, -1);
        for (int i = 0; i < ready; i++) {
            struct conn *c = events[i].data.ptr;
            if (c == &accepting) {
                add(accept(listener, NULL, NULL), calloc(1, sizeof *c));
                continue;
            }
            int length = read(c->fd, room(&c->in, ROOM), ROOM);
            if (length <= 0) {
                /* The clients of the benchmark end between runs, with no request in flight. */
                if (c->is_server) return 1;
                close(c->fd), free(c->in.at), free(c->out.at), free(c);
                continue;
            }
            c->in.end += length;
            if (c->is_server) read_server(c); else read_client(c);
        }
        for (int i = 0; i < dirty_count; i++) {
            struct conn *c = dirty[i];
            int length = write(c->fd, c->out.at + c->out.start, c->out.end - c->out.start);
            if (length > 0) c->out.start += length;
            c->is_dirty = 0;
        }
        /* A socket that is full is written in the next turns. */
        int left = 0;
        for (int i = 0; i < dirty_count; i++)
            if (dirty[i]->out.start < dirty[i]->out.end) dirty[i]->is_dirty = 1, dirty[left++] = dirty[i];
        dirty_count = left;
    }
}
