/* pause: PID 1 of a pod's sandbox. It holds the pod's namespaces, buries the pod's orphans, and
 * leaves at once on TERM or INT. No libc: the whole program is a few kilobytes. */
#ifndef __x86_64__
#error "pause.c speaks x86-64 system calls only: add the numbers and registers of this machine"
#endif

enum { SIG_INT = 2, SIG_TERM = 15, SIG_CHILD = 17 };
enum { SYS_RT_SIGPROCMASK = 14, SYS_EXIT = 60, SYS_WAIT4 = 61, SYS_RT_SIGTIMEDWAIT = 128 };
enum { SIG_BLOCK = 0, ANY_CHILD = -1, DO_NOT_WAIT = 1 };

static long system_call(long number, long a, long b, long c, long d) {
    register long fourth __asm__("r10") = d;
    long answer;
    __asm__ volatile("syscall"
                     : "=a"(answer)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth)
                     : "rcx", "r11", "memory");
    return answer;
}

static unsigned long bit_of(int signal) { return 1UL << (signal - 1); }

__attribute__((force_align_arg_pointer, noreturn)) void _start(void) {
    unsigned long awaited = bit_of(SIG_INT) | bit_of(SIG_TERM) | bit_of(SIG_CHILD);
    system_call(SYS_RT_SIGPROCMASK, SIG_BLOCK, (long)&awaited, 0, sizeof awaited);
    for (;;) {
        long signal = system_call(SYS_RT_SIGTIMEDWAIT, (long)&awaited, 0, 0, sizeof awaited);
        if (signal == SIG_INT || signal == SIG_TERM)
            for (;;) system_call(SYS_EXIT, 0, 0, 0, 0);
        /* One CHILD signal may stand for several children. */
        while (system_call(SYS_WAIT4, ANY_CHILD, 0, DO_NOT_WAIT, 0) > 0) {
        }
    }
}
