/* RTP load with a memory: sends audio (G.711, if nothing else is said) from many legs, checks every packet that comes back.
 *
 *   rtpload LEGS_FILE SECONDS [PAYLOAD_TYPE TICKS_A_PACKET]
 *
 * Each line of LEGS_FILE is one leg: `local_port remote_port peer`. The leg sends 50 packets a second
 * from 127.0.0.1:local_port to 127.0.0.1:remote_port, and expects to hear the leg with the number
 * `peer` there (lines count from 0). RTCP goes from local_port + 1 to remote_port + 1, a report every
 * five seconds. The legs' packets are spread evenly over the 20 ms.
 *
 * Every payload says who sent it, which one it is, and when; its rest is a pattern of both. So the
 * receiver knows whether a packet is on the right leg, unchanged, in order, and how old it is. No
 * octet is 0x7f: who decodes mu-law and encodes it again gives back the other zero for it. Age is
 * taken at the kernel's own receive time stamp: how late this program is woken does not count.
 * One JSON object goes to standard output.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    RTP_HEADER = 12,
    PAYLOAD = 160,
    PACKET = RTP_HEADER + PAYLOAD,
    MAX_LEGS = 4096,
    EVENTS = 256,
    BURST = 64,
};

#define MS 1000000ull
#define PERIOD (20 * MS)
#define REPORT_PERIOD (5000 * MS)
#define SETTLE (20 * MS)
#define DRAIN (400 * MS)
#define MAGIC 0x52545031u

/* Begins every payload, half an octet in each of its octets; the rest is filled by `pattern`. */
struct tag {
    uint64_t sent_at;
    uint32_t magic;
    uint32_t leg;
    uint32_t number;
    uint32_t unused;
};

enum { TAG = 2 * sizeof(struct tag) };

struct leg {
    int rtp, rtcp;
    struct sockaddr_in to, rtcp_to;
    int peer;
    uint32_t sent;
    uint64_t due, report_due;
    /* What it heard. */
    uint8_t *seen;
    uint32_t intact, changed, wrong_leg, repeated, breaks;
    uint32_t ssrc;
    uint16_t sequence;
    int has_heard;
};

struct samples {
    float *values;
    size_t count, room;
};

static struct leg legs[MAX_LEGS];
static int leg_count;
static int payload_type = 0, ticks = 160;
static uint32_t first_ssrc; /* another one each time: streams begin anew, none goes on strangely */
static struct samples latency_ms, lateness_ms;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "rtpload: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void add(struct samples *all, double value)
{
    if (all->count == all->room) {
        all->room = all->room ? 2 * all->room : 1 << 16;
        all->values = realloc(all->values, all->room * sizeof *all->values);
        if (!all->values)
            die("memory");
    }
    all->values[all->count++] = (float)value;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(struct samples *sorted, double q)
{
    return sorted->count ? sorted->values[(size_t)((double)(sorted->count - 1) * q)] : -1;
}

static uint8_t pattern(uint32_t leg, uint32_t number, int place)
{
    uint8_t octet = (uint8_t)(leg * 31 + number * 7 + (uint32_t)place * 13);
    return octet == 0x7f ? 0x7e : octet;
}

static void write_tag(uint8_t *payload, const struct tag *tag)
{
    for (int i = 0; i < TAG; i++)
        payload[i] = 0x80 | (((const uint8_t *)tag)[i / 2] >> (i % 2 ? 4 : 0) & 15);
}

/* A tag that was changed has another magic, or another pattern behind it. */
static struct tag read_tag(const uint8_t *payload)
{
    struct tag tag = {0};
    for (int i = 0; i < TAG; i++)
        ((uint8_t *)&tag)[i / 2] |= (uint8_t)((payload[i] & 15) << (i % 2 ? 4 : 0));
    return tag;
}

static int open_socket(int port, uint32_t id, int poll)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = id};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here))
        die("bind");
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on))
        die("time stamps");
    if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event))
        die("epoll");
    return fd;
}

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return to;
}

static void read_legs(const char *path, int poll)
{
    FILE *file = fopen(path, "r");
    int local, remote, peer;

    if (!file)
        die(path);
    while (leg_count < MAX_LEGS && fscanf(file, "%d %d %d", &local, &remote, &peer) == 3) {
        struct leg *leg = &legs[leg_count];
        leg->rtp = open_socket(local, (uint32_t)leg_count << 1, poll);
        leg->rtcp = open_socket(local + 1, (uint32_t)leg_count << 1 | 1, poll);
        leg->to = loopback(remote);
        leg->rtcp_to = loopback(remote + 1);
        leg->peer = peer;
        leg->seen = calloc(1, 1 << 16);
        leg_count++;
    }
    fclose(file);
}

static void send_rtp(int index)
{
    struct leg *leg = &legs[index];
    uint32_t number = leg->sent++;
    struct tag tag = {0, MAGIC, (uint32_t)index, number, 0};
    uint16_t sequence = htons((uint16_t)(number + 100));
    uint32_t timestamp = htonl(number * (uint32_t)ticks), ssrc = htonl(first_ssrc + (uint32_t)index);
    uint8_t packet[PACKET] = {0x80, (uint8_t)(payload_type | (number ? 0 : 0x80))};

    memcpy(packet + 2, &sequence, 2);
    memcpy(packet + 4, &timestamp, 4);
    memcpy(packet + 8, &ssrc, 4);
    for (int place = TAG; place < PAYLOAD; place++)
        packet[RTP_HEADER + place] = pattern((uint32_t)index, number, place);
    tag.sent_at = now();
    write_tag(packet + RTP_HEADER, &tag);
    sendto(leg->rtp, packet, sizeof packet, 0, (struct sockaddr *)&leg->to, sizeof leg->to);
}

/* A sender report without a block, and a CNAME: the least that is legal (RFC 3550 §6.1). */
static void send_rtcp(int index)
{
    struct leg *leg = &legs[index];
    uint32_t words[11] = {0x80c80006u, first_ssrc + (uint32_t)index, 0, 0, 0, 0, 0,
                          0x81ca0003u, first_ssrc + (uint32_t)index, 0x01026c67u, 0};

    words[2] = (uint32_t)(now() / 1000000000ull);
    words[4] = leg->sent * (uint32_t)ticks;
    words[5] = leg->sent;
    words[6] = leg->sent * PAYLOAD;
    for (int i = 0; i < 11; i++)
        words[i] = htonl(words[i]);
    sendto(leg->rtcp, words, sizeof words, 0, (struct sockaddr *)&leg->rtcp_to,
           sizeof leg->rtcp_to);
}

static void check(struct leg *leg, const uint8_t *packet, ssize_t size, uint64_t came)
{
    struct tag tag;
    uint16_t sequence;
    uint32_t ssrc;

    if (size != PACKET || packet[0] != 0x80) {
        leg->changed++;
        return;
    }
    memcpy(&sequence, packet + 2, 2);
    memcpy(&ssrc, packet + 8, 4);
    sequence = ntohs(sequence);
    if (leg->has_heard && (ssrc != leg->ssrc || sequence != (uint16_t)(leg->sequence + 1)))
        leg->breaks++;
    leg->has_heard = 1;
    leg->ssrc = ssrc;
    leg->sequence = sequence;

    tag = read_tag(packet + RTP_HEADER);
    if (tag.magic != MAGIC) {
        leg->changed++;
        return;
    }
    if ((int)tag.leg != leg->peer) {
        leg->wrong_leg++;
        return;
    }
    for (int place = TAG; place < PAYLOAD; place++)
        if (packet[RTP_HEADER + place] != pattern(tag.leg, tag.number, place)) {
            leg->changed++;
            return;
        }
    if (leg->seen[tag.number & 0xffff]++) {
        leg->repeated++;
        return;
    }
    leg->intact++;
    add(&latency_ms, ((double)came - (double)tag.sent_at) / 1e6);
}

static void receive_rtp(struct leg *leg)
{
    for (;;) {
        uint8_t packet[2048];
        char control[256];
        struct iovec io = {packet, sizeof packet};
        struct msghdr message = {.msg_iov = &io,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof control};
        ssize_t size = recvmsg(leg->rtp, &message, 0);
        uint64_t came = 0;

        if (size < 0)
            return;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                struct timespec t;
                memcpy(&t, CMSG_DATA(c), sizeof t);
                came = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
            }
        check(leg, packet, size, came ? came : now());
    }
}

static void run(double seconds, int poll)
{
    uint64_t start = now() + SETTLE, end = start + (uint64_t)(seconds * 1e9);
    int next = 0;

    for (int i = 0; i < leg_count; i++) {
        legs[i].due = start + (uint64_t)i * PERIOD / (uint64_t)leg_count;
        legs[i].report_due = start + (uint64_t)i * REPORT_PERIOD / (uint64_t)leg_count;
    }
    for (uint64_t t = now(); t < end + DRAIN; t = now()) {
        struct epoll_event events[EVENTS];
        struct timespec wait = {0, 10 * MS};

        for (int burst = 0; burst < BURST && t < end && legs[next].due <= t; burst++) {
            struct leg *leg = &legs[next];
            add(&lateness_ms, (double)(t - leg->due) / 1e6);
            send_rtp(next);
            if (leg->report_due <= t) {
                send_rtcp(next);
                leg->report_due += REPORT_PERIOD;
            }
            leg->due += PERIOD;
            next = (next + 1) % leg_count;
            t = now();
        }
        if (t < end)
            wait.tv_nsec = legs[next].due > t ? (long)(legs[next].due - t) : 0;
        int count = epoll_pwait2(poll, events, EVENTS, &wait, NULL);
        for (int i = 0; i < count; i++) {
            struct leg *leg = &legs[events[i].data.u32 >> 1];
            uint8_t report[2048];
            if (!(events[i].data.u32 & 1))
                receive_rtp(leg);
            else
                while (recv(leg->rtcp, report, sizeof report, 0) >= 0)
                    ;
        }
    }
}

static void print_result(double seconds)
{
    uint64_t sent = 0, intact = 0, changed = 0, wrong = 0, repeated = 0, breaks = 0;
    int deaf = 0;
    struct rusage usage;

    for (int i = 0; i < leg_count; i++) {
        sent += legs[i].sent;
        intact += legs[i].intact;
        changed += legs[i].changed;
        wrong += legs[i].wrong_leg;
        repeated += legs[i].repeated;
        breaks += legs[i].breaks;
        deaf += !legs[i].has_heard;
    }
    qsort(latency_ms.values, latency_ms.count, sizeof(float), ascending);
    qsort(lateness_ms.values, lateness_ms.count, sizeof(float), ascending);
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"legs\":%d,\"seconds\":%.1f,\"sent\":%lu,\"intact\":%lu,\"intact_percent\":%.4f,"
           "\"changed\":%lu,\"wrong_leg\":%lu,\"repeated\":%lu,\"breaks\":%lu,\"deaf_legs\":%d,"
           "\"latency_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f},"
           "\"lateness_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"cpu_s\":%.2f}\n",
           leg_count, seconds, sent, intact, sent ? 100.0 * (double)intact / (double)sent : 0.0,
           changed, wrong, repeated, breaks, deaf, quantile(&latency_ms, .5),
           quantile(&latency_ms, .9), quantile(&latency_ms, .99), quantile(&latency_ms, .999),
           quantile(&latency_ms, 1), quantile(&lateness_ms, .5), quantile(&lateness_ms, .99),
           quantile(&lateness_ms, 1),
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

int main(int count, char **arguments)
{
    struct rlimit files;
    int poll = epoll_create1(0);

    if (count != 3 && count != 5) {
        fprintf(stderr, "usage: rtpload LEGS_FILE SECONDS [PAYLOAD_TYPE TICKS_A_PACKET]\n");
        return 2;
    }
    if (count == 5) {
        payload_type = atoi(arguments[3]);
        ticks = atoi(arguments[4]);
    }
    first_ssrc = (uint32_t)getpid() << 12;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    read_legs(arguments[1], poll);
    if (!leg_count)
        die("no legs");
    run(atof(arguments[2]), poll);
    print_result(atof(arguments[2]));
    return 0;
}
