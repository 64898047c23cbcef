/* Multiplies two matrices by cuBLAS, on a site with the CUDA toolkit, and checks every element. */
#include <cublas_v2.h>

#include "cube_cuda.h"

int main() {
    const int size = 256;
    std::vector<float> a(size * size), b(size * size), c(size * size);
    for (int i = 0; i < size * size; i++) {
        a[i] = i % 7;
        b[i] = i % 5;
    }
    float *there_a = to_device(a), *there_b = to_device(b), *there_c = to_device(c);
    cublasHandle_t handle;
    const float one = 1, zero = 0;
    if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) {
        std::fprintf(stderr, "cuBLAS could not begin\n");
        return 3;
    }
    // cuBLAS counts by columns: of what counts by rows, b * a is the transposed product.
    int code = cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, size, size, size, &one, there_b, size,
                           there_a, size, &zero, there_c, size);
    if (code != CUBLAS_STATUS_SUCCESS) {
        std::fprintf(stderr, "cuBLAS: error %d\n", code);
        return 3;
    }
    CUBE_CHECK(cudaDeviceSynchronize());
    from_device(c, there_c);
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++) {
            float sum = 0;
            for (int k = 0; k < size; k++) sum += a[row * size + k] * b[k * size + column];
            if (sum != c[row * size + column]) {
                std::printf("blas: WRONG at %d, %d\n", row, column);
                return 1;
            }
        }
    std::printf("blas: %d x %d, right, by cuBLAS on %s\n", size, size, CUBE_DEVICE);
}
