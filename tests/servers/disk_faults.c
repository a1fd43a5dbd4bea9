/* Lets writes and fsyncs of an outbox fail, in a test that preloads this. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static volatile int armed = 0;      /* 1: fsync and fdatasync, 2: writes */
static volatile long skip = 0;      /* calls that succeed first */
static volatile long times = 0;     /* calls that fail then */
static volatile int number = 0;     /* errno */
static volatile long failed = 0;

void outbox_faults_arm(int kind, long after, long count, int error) {
    skip = after; times = count; number = error; failed = 0;
    __sync_synchronize();
    armed = kind;
}

long outbox_faults_failed(void) { return failed; }

static int of_outbox(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strstr(path, "mail.db") != NULL;
}

static int fails(int kind, int fd) {
    if (armed != kind || !of_outbox(fd)) return 0;
    if (__sync_fetch_and_sub(&skip, 1) > 0) return 0;
    if (__sync_fetch_and_sub(&times, 1) <= 0) return 0;
    __sync_fetch_and_add(&failed, 1);
    errno = number;
    return 1;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)

int fdatasync(int fd) { REAL(fdatasync); return fails(1, fd) ? -1 : real(fd); }
int fsync(int fd) { REAL(fsync); return fails(1, fd) ? -1 : real(fd); }
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write); return fails(2, fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite); return fails(2, fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64); return fails(2, fd) ? -1 : real(fd, data, size, at);
}
