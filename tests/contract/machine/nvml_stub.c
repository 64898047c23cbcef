/* NVIDIA's management library as the kubelet's binding calls it, without a GPU. STUB_GPUS: how many
   there are; STUB_LOST: which of them has fallen off the bus; STUB_INIT: what init answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, INVALID = 2, GPU_IS_LOST = 15 };
typedef struct { int index; } gpu;
typedef struct { unsigned long long total, free, used; } memory;
static gpu gpus[16];

static int number(const char *name, int otherwise) {
    const char *said = getenv(name);
    return said && *said ? atoi(said) : otherwise;
}

int nvmlInitWithFlags(unsigned int flags) { return number("STUB_INIT", OK); }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = number("STUB_GPUS", 2);
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, gpu **handle) {
    if ((int)index == number("STUB_LOST", -1)) return GPU_IS_LOST;
    gpus[index].index = index;
    *handle = &gpus[index];
    return OK;
}

int nvmlDeviceGetMinorNumber(gpu *one, unsigned int *minor) {
    *minor = one->index + 4;
    return OK;
}

int nvmlDeviceGetUUID(gpu *one, char *text, unsigned int length) {
    snprintf(text, length, "GPU-%08x", one->index);
    return OK;
}

int nvmlDeviceGetMemoryInfo(gpu *one, memory *found) {
    memset(found, 0, sizeof *found);
    found->total = 141ull << 30;
    return OK;
}

int nvmlDeviceGetName(gpu *one, char *text, unsigned int length) {
    snprintf(text, length, "NVIDIA H200 (stub)");
    return OK;
}

int nvmlSystemGetDriverVersion(char *text, unsigned int length) {
    snprintf(text, length, "580.65.06");
    return OK;
}

int nvmlSystemGetCudaDriverVersion(int *version) {
    *version = 13020;
    return OK;
}

const char *nvmlErrorString(int code) { return code == GPU_IS_LOST ? "GPU is lost" : "Unknown Error"; }
