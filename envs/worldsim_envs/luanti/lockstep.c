/* A program that draws with GLX, in lock-step: one frame a byte, and no time of its own.
 *
 *   cc -shared -fPIC -O2 lockstep.c -o lockstep.so -ldl -lpthread
 *   LD_PRELOAD=lockstep.so LOCKSTEP_LIFE=fd LOCKSTEP_SYNC=fd LOCKSTEP_SHM=fd LOCKSTEP_W=320 LOCKSTEP_H=180 program
 *
 * LIFE is the reading end of a pipe whose other end only the controller holds: when that closes, whatever the reason,
 * the program ends at once. SYNC is a socket and SHM a piece of shared memory: `struct shared`, then W*H pixels of four
 * bytes, red first, the lowest line first. While `shared.on` is set, each glXSwapBuffers of the main thread writes the
 * back buffer to the shared memory, flushes stdout, sends one byte, and waits for one. Between two of them, by what the
 * main thread reads off a monotonic clock, `shared.dt` seconds went by; its sleeps return at once, and nothing is shown.
 * Other threads keep the real clock. With LIFE alone a program is only bound to its controller's life.
 *
 * No GL header is wanted: the four functions are looked up by name. Games that swap by eglSwapBuffers, or that read
 * their time in another thread than the one that draws, want more than this.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GL_READ_BUFFER 0x0C02
#define GL_PACK_ALIGNMENT 0x0D05
#define GL_BACK 0x0405
#define GL_RGBA 0x1908
#define GL_UNSIGNED_BYTE 0x1401

struct shared {
    volatile uint32_t on, pad;
    volatile double dt;
    uint64_t more[6];
    uint8_t pixels[];
};

static struct shared *shared;
static int sync_fd = -1, width, height;
static double began = -1, passed;
static __thread int is_main = -1;

static int number(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : -1;
}

static void *watch(void *fd) {
    char byte;
    ssize_t got;
    do got = read((int)(intptr_t)fd, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    _exit(1);
}

__attribute__((constructor)) static void begin(void) {
    pthread_t thread;
    int life = number("LOCKSTEP_LIFE"), memory = number("LOCKSTEP_SHM");
    if (life >= 0 && !pthread_create(&thread, NULL, watch, (void *)(intptr_t)life)) pthread_detach(thread);
    if (memory < 0) return;
    sync_fd = number("LOCKSTEP_SYNC"), width = number("LOCKSTEP_W"), height = number("LOCKSTEP_H");
    void *place = mmap(NULL, sizeof(struct shared) + (size_t)width * height * 4, PROT_READ | PROT_WRITE, MAP_SHARED,
                       memory, 0);
    if (place == MAP_FAILED) {
        fprintf(stderr, "lockstep: no shared memory\n");
        _exit(1);
    }
    shared = place;
}

static int held(void) {
    if (is_main < 0) is_main = syscall(SYS_gettid) == getpid();
    return shared && shared->on && is_main;
}

#define REAL(name, type) \
    static __typeof__(type) real; \
    if (!real) real = (type)dlsym(RTLD_NEXT, name)

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (syscall(SYS_clock_gettime, clock, time)) return -1;
    int is_monotonic = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE ||
                       clock == CLOCK_BOOTTIME;
    if (!is_monotonic || !held()) return 0;
    if (began < 0) began = time->tv_sec + 1e-9 * time->tv_nsec;
    double now = began + passed;
    time->tv_sec = (time_t)now;
    time->tv_nsec = (long)(1e9 * (now - (double)time->tv_sec));
    return 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *left) {
    REAL("nanosleep", int (*)(const struct timespec *, struct timespec *));
    return held() ? 0 : real(wanted, left);
}

int usleep(useconds_t wanted) {
    REAL("usleep", int (*)(useconds_t));
    return held() ? 0 : real(wanted);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    REAL("clock_nanosleep", int (*)(clockid_t, int, const struct timespec *, struct timespec *));
    return held() ? 0 : real(clock, flags, wanted, left);
}

static void hand_over(void) {
    static void (*read_buffer)(unsigned), (*store)(unsigned, int), (*get)(unsigned, int *);
    static void (*read_pixels)(int, int, int, int, unsigned, unsigned, void *);
    if (!read_pixels) {
        read_buffer = (void (*)(unsigned))dlsym(RTLD_DEFAULT, "glReadBuffer");
        store = (void (*)(unsigned, int))dlsym(RTLD_DEFAULT, "glPixelStorei");
        get = (void (*)(unsigned, int *))dlsym(RTLD_DEFAULT, "glGetIntegerv");
        read_pixels = (void (*)(int, int, int, int, unsigned, unsigned, void *))dlsym(RTLD_DEFAULT, "glReadPixels");
    }
    int before;
    char byte = 'f';
    get(GL_READ_BUFFER, &before);
    read_buffer(GL_BACK);
    store(GL_PACK_ALIGNMENT, 1);
    read_pixels(0, 0, width, height, GL_RGBA, GL_UNSIGNED_BYTE, shared->pixels);
    read_buffer((unsigned)before);
    fflush(stdout);
    if (write(sync_fd, &byte, 1) != 1) _exit(1);
    ssize_t got;
    do got = read(sync_fd, &byte, 1);
    while (got < 0 && errno == EINTR);
    if (got != 1) _exit(1);
    passed += shared->dt;
}

void glXSwapBuffers(void *display, unsigned long drawable) {
    REAL("glXSwapBuffers", void (*)(void *, unsigned long));
    if (held()) hand_over();
    else real(display, drawable);
}
