/* Adds two vectors, a GPU thread for each element, and checks every sum. */
#include "cube_cuda.h"

extern "C" __global__ void add(const float* a, const float* b, float* c, int count) {
    int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) c[index] = a[index] + b[index];
}

#ifndef CUBE_KERNELS_ALONE
int main() {
    const int count = 10000;
    std::vector<float> a(count), b(count), c(count);
    for (int i = 0; i < count; i++) {
        a[i] = i;
        b[i] = 2 * i;
    }
    float *there_a = to_device(a), *there_b = to_device(b), *there_c = to_device(c);
    launch(add, dim3((count + 63) / 64), dim3(64), (const float*)there_a, (const float*)there_b,
           there_c, count);
    from_device(c, there_c);
    for (int i = 0; i < count; i++)
        if (c[i] != 3.0f * i) {
            std::printf("add: WRONG at %d: %g\n", i, c[i]);
            return 1;
        }
    std::printf("add: %d elements, right, on %s\n", count, CUBE_DEVICE);
}
#endif
