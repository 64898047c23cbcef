/* Multiplies two matrices by tiles that GPU threads share, and checks every element. */
#include "cube_cuda.h"

const int TILE = 8;

extern "C" __global__ void mult(const float* a, const float* b, float* c, int size) {
    __shared__ float tile_a[TILE][TILE], tile_b[TILE][TILE];
    int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
    float sum = 0;
    for (int step = 0; step < size / TILE; step++) {
        tile_a[threadIdx.y][threadIdx.x] = a[row * size + step * TILE + threadIdx.x];
        tile_b[threadIdx.y][threadIdx.x] = b[(step * TILE + threadIdx.y) * size + column];
        __syncthreads();
        for (int k = 0; k < TILE; k++) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
        __syncthreads();
    }
    c[row * size + column] = sum;
}

#ifndef CUBE_KERNELS_ALONE
int main() {
    const int size = 64;
    std::vector<float> a(size * size), b(size * size), c(size * size);
    for (int i = 0; i < size * size; i++) {
        a[i] = i % 7;
        b[i] = i % 5;
    }
    float *there_a = to_device(a), *there_b = to_device(b), *there_c = to_device(c);
    launch(mult, dim3(size / TILE, size / TILE), dim3(TILE, TILE), (const float*)there_a,
           (const float*)there_b, there_c, size);
    from_device(c, there_c);
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++) {
            float sum = 0;
            for (int k = 0; k < size; k++) sum += a[row * size + k] * b[k * size + column];
            if (sum != c[row * size + column]) {
                std::printf("mult: WRONG at %d, %d\n", row, column);
                return 1;
            }
        }
    std::printf("mult: %d x %d, right, on %s\n", size, size, CUBE_DEVICE);
}
#endif
