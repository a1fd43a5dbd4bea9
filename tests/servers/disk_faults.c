/* Lets writes and fsyncs of an outbox fail, in a test that preloads this; or copies its file and log
   after each fsync, for images of what a power cut would leave. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
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

static char images[256];
static volatile long image_count = 0;

void outbox_images_arm(const char *folder) { snprintf(images, sizeof images, "%s", folder); }

long outbox_images_count(void) { return image_count; }

/* 'd' for the file itself, 'w' for its log, 0 for all else. */
static char which(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    if (!name) return 0;
    return !strcmp(name, "/mail.db") ? 'd' : !strcmp(name, "/mail.db-wal") ? 'w' : 0;
}

/* By a descriptor that is open: to open the file once more, and close that, would drop its locks. */
static void copy(int fd, long number, char synced, char what) {
    char path[400], data[65536];
    snprintf(path, sizeof path, "%s/%06ld-%c-%c", images, number, synced, what);
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    off_t at = 0;
    for (ssize_t got; (got = pread(fd, data, sizeof data, at)) > 0; at += got)
        if (write(to, data, got) != got) abort();
    close(to);
}

static int take_image(int fd, int result) {
    char synced = images[0] && !result ? which(fd) : 0;
    if (!synced) return result;
    char seen[128] = {0};
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *one; (one = readdir(folder));) {
        int other = atoi(one->d_name);
        char what = one->d_name[0] == '.' ? 0 : which(other);
        if (what && !seen[(int)what]) copy(other, image_count, synced, what);
        if (what) seen[(int)what] = 1;
    }
    closedir(folder);
    __sync_fetch_and_add(&image_count, 1);
    return result;
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

int fdatasync(int fd) {
    REAL(fdatasync); return fails(1, fd) ? -1 : take_image(fd, real(fd));
}
int fsync(int fd) { REAL(fsync); return fails(1, fd) ? -1 : take_image(fd, real(fd)); }
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write); return fails(2, fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite); return fails(2, fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64); return fails(2, fd) ? -1 : real(fd, data, size, at);
}
