/* One CUDA source for several kinds of machines. A program is kernels and a main() that uses
 * to_device, launch(kernel, grid, block, arguments...) and from_device; CUBE_DEVICE says where it ran.
 *
 *   nvcc            the runtime API, on a machine with the CUDA toolkit
 *   a C++ compiler  CPU threads that stand in for a GPU, where CUBE_CPU_STAND_IN is set;
 *                   __syncthreads is a barrier of a block's threads, blocks run one after another
 */
#pragma once

#if defined(__CUDACC__)

#include <cstdio>
#include <cstdlib>
#include <vector>

#define CUBE_CHECK(call)                                                        \
    do {                                                                        \
        cudaError_t error = (call);                                             \
        if (error != cudaSuccess) {                                             \
            std::fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error)); \
            std::exit(3);                                                       \
        }                                                                       \
    } while (0)

inline const char* cube_device() {
    static cudaDeviceProp found;
    int device = 0;
    CUBE_CHECK(cudaGetDevice(&device));
    CUBE_CHECK(cudaGetDeviceProperties(&found, device));
    return found.name;
}
#define CUBE_DEVICE cube_device()

template <class T> T* to_device(const std::vector<T>& values) {
    T* there = nullptr;
    CUBE_CHECK(cudaMalloc(&there, values.size() * sizeof(T)));
    CUBE_CHECK(cudaMemcpy(there, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return there;
}

template <class T> void from_device(std::vector<T>& values, T* there) {
    CUBE_CHECK(cudaMemcpy(values.data(), there, values.size() * sizeof(T), cudaMemcpyDeviceToHost));
    CUBE_CHECK(cudaFree(there));
}

template <class K, class... A> void launch(K kernel, dim3 grid, dim3 block, A... arguments) {
    kernel<<<grid, block>>>(arguments...);
    CUBE_CHECK(cudaGetLastError());
    CUBE_CHECK(cudaDeviceSynchronize());
}

#else

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#define __global__
#define __restrict__ __restrict
// Blocks run one after another, so that a block's threads may share what is static.
#define __shared__ static

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
inline std::barrier<>* cube_block;
inline void __syncthreads() { cube_block->arrive_and_wait(); }

inline const char* cube_device() {
    if (!std::getenv("CUBE_CPU_STAND_IN")) {
        std::fprintf(stderr, "no CUDA device: this was built for a CPU, and nobody allows one\n");
        std::exit(3);
    }
    return "CPU STAND-IN (no GPU was used)";
}
#define CUBE_DEVICE cube_device()

template <class T> T* to_device(std::vector<T>& values) {
    cube_device();
    return values.data();
}

template <class T> void from_device(std::vector<T>&, T*) {}

template <class K, class... A> void launch(K kernel, dim3 grid, dim3 block, A... arguments) {
    std::barrier<> together(static_cast<std::ptrdiff_t>(block.x) * block.y * block.z);
    cube_block = &together;
    auto run = [=](dim3 own) {
        threadIdx = own;
        blockDim = block;
        gridDim = grid;
        for (unsigned z = 0; z < grid.z; z++)
            for (unsigned y = 0; y < grid.y; y++)
                for (unsigned x = 0; x < grid.x; x++) {
                    blockIdx = dim3(x, y, z);
                    kernel(arguments...);
                    __syncthreads();
                }
    };
    std::vector<std::thread> threads;
    for (unsigned z = 0; z < block.z; z++)
        for (unsigned y = 0; y < block.y; y++)
            for (unsigned x = 0; x < block.x; x++) threads.emplace_back(run, dim3(x, y, z));
    for (auto& one : threads) one.join();
}

#endif
