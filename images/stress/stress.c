/* stress: keep cores and memory busy, so that limits can be seen at work.
 *
 *     stress [-cpu WORKERS] [-memory MIB] [-seconds SPAN]
 *
 * WORKERS processes spin, one more holds MIB mebibytes and touches every page once a second. It ends with 0
 * after SPAN seconds (default: never), or on TERM; with 1 when a worker died, as by the OOM killer. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, WORKERS_MAX = 256, MEBIBYTE = 1 << 20, MEMORY_MIB_MAX = 1 << 20 };

static void spin(void) {
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

static void hold(size_t bytes) {
    volatile char *held = malloc(bytes);
    if (held == NULL) {
        fprintf(stderr, "stress: no room for %zu bytes\n", bytes);
        exit(1);
    }
    for (;; sleep(1))
        for (size_t at = 0; at < bytes; at += PAGE_BYTES) held[at]++;
}

/* Start a worker that dies with this process: nobody is left spinning. */
static void start(void (*spinning)(void), size_t bytes, const sigset_t *before) {
    pid_t worker = fork();
    if (worker < 0) {
        perror("stress: fork");
        exit(1);
    }
    if (worker > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_SETMASK, before, NULL);
    signal(SIGTERM, SIG_DFL);
    if (spinning != NULL) spinning();
    hold(bytes);
}

static long number_after(int count, char **words, const char *option, long most, long otherwise) {
    for (int at = 1; at + 1 < count; at += 2) {
        if (strcmp(words[at], option) != 0) continue;
        char *end;
        errno = 0;
        long number = strtol(words[at + 1], &end, 10);
        if (errno != 0 || *end != '\0' || end == words[at + 1] || number < 0 || number > most) {
            fprintf(stderr, "stress: %s takes a number from 0 to %ld\n", option, most);
            exit(2);
        }
        return number;
    }
    return otherwise;
}

static int is_known(const char *word) {
    return !strcmp(word, "-cpu") || !strcmp(word, "-memory") || !strcmp(word, "-seconds");
}

int main(int count, char **words) {
    for (int at = 1; at < count; at += 2)
        if (!is_known(words[at]) || at + 1 == count) {
            fprintf(stderr, "usage: stress [-cpu WORKERS] [-memory MIB] [-seconds SPAN]\n");
            return 2;
        }
    long workers = number_after(count, words, "-cpu", WORKERS_MAX, 0);
    long memory_mib = number_after(count, words, "-memory", MEMORY_MIB_MAX, 0);
    long span_s = number_after(count, words, "-seconds", 1L << 30, 0);

    sigset_t awaited, before;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGALRM);
    sigaddset(&awaited, SIGCHLD);
    sigprocmask(SIG_BLOCK, &awaited, &before);

    for (long worker = 0; worker < workers; worker++) start(spin, 0, &before);
    if (memory_mib > 0) start(NULL, (size_t)memory_mib * MEBIBYTE, &before);
    printf("stress: %ld cpu workers, %ld MiB, %ld s\n", workers, memory_mib, span_s);
    fflush(stdout);
    alarm((unsigned)span_s);
    int told;
    sigwait(&awaited, &told);
    if (told != SIGCHLD) return 0;
    fprintf(stderr, "stress: a worker died\n");
    return 1;
}
