/* A driver and an NVRTC of paper, for tests: each call is taken and told, nothing is computed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define SAY(...) fprintf(stderr, "paper: " __VA_ARGS__)

static int *device_count(void) {
    static int count;
    const char *told = getenv("PAPER_GPUS");
    count = told ? atoi(told) : 1;
    return &count;
}

int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGetCount(int *count) { *count = *device_count(); return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { snprintf(name, (size_t)size, "PAPER GPU %d", device); return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = (void *)(1L + device); return 0; }
int cuCtxSetCurrent(void *context) { return context == NULL; }
int cuCtxSynchronize(void) { SAY("run\n"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute == 75 ? 9 : device; return 0; }
int cuModuleLoadData(void **module, const void *code) { SAY("module %.5s\n", (const char *)code + !strncmp((const char *)code, "\177ELF", 4)); *module = (void *)2; return 0; }
int cuMemAlloc_v2(unsigned long long *there, size_t size) { *there = (unsigned long long)calloc(1, size); return 0; }
int cuMemcpyHtoD_v2(unsigned long long to, const void *from, size_t size) { memcpy((void *)to, from, size); return 0; }
int cuMemcpyDtoH_v2(void *to, unsigned long long from, size_t size) { memcpy(to, (void *)from, size); return 0; }
int cuMemFree_v2(unsigned long long there) { free((void *)there); return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) { SAY("function %s\n", name); *function = module; return 0; }
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    SAY("grid %u %u %u, block %u %u %u, last argument %d\n", gx, gy, gz, bx, by, bz, *(int *)arguments[3]);
    return shared || stream || extra || !function;
}

int nvrtcCreateProgram(void **program, const char *source, const char *name, int count, const char **headers, const char **names) {
    SAY("source %s of %zu bytes, header %s of %zu\n", name, strlen(source), names[0], strlen(headers[0]));
    *program = (void *)source;
    return count != 1;
}
int nvrtcCompileProgram(void *program, int count, const char **options) { SAY("%s\n", options[0]); return count != 1 || !strncmp(program, "not CUDA", 8); }
int nvrtcGetCUBINSize(void *program, size_t *size) { *size = program ? 6 : 0; return 0; }
int nvrtcGetCUBIN(void *program, char *code) { memcpy(code, "cubin", 6); return !program; }
int nvrtcGetProgramLogSize(void *program, size_t *size) { *size = program ? 14 : 0; return 0; }
int nvrtcGetProgramLog(void *program, char *told) { memcpy(told, "paper: no CUDA", 14); return !program; }
