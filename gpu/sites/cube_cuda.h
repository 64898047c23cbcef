/* One CUDA source for several kinds of machines. A program is kernels, which are extern "C", and a
 * main() that uses to_device, launch(kernel, grid, block, arguments...) and from_device; CUBE_DEVICE
 * says where it ran. What is no kernel stands between #ifndef CUBE_KERNELS_ALONE and #endif.
 *
 *   nvcc            the runtime API, on a machine with the CUDA toolkit
 *   a C++ compiler  with -DCUBE_SOURCE="\"add.cu\"", on a machine with a GPU's driver and NVRTC alone:
 *                   the program compiles its own source for the device as it begins, and runs that
 *   a C++ compiler  CPU threads that stand in for a GPU, where CUBE_CPU_STAND_IN is set;
 *                   __syncthreads is a barrier of a block's threads, blocks run one after another
 */
#pragma once

#if defined(__CUDACC_RTC__)

#define CUBE_KERNELS_ALONE

#elif defined(__CUDACC__)

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

#include <dlfcn.h>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#ifndef CUBE_SOURCE
#define CUBE_SOURCE ""
#endif

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

/* A library that is there when the program runs, or is not. */
class CubeLibrary {
  public:
    CubeLibrary(const char* variable, std::vector<const char*> names) {
        if (const char* own = std::getenv(variable)) names = {own};
        for (const char* name : names)
            if (!handle) handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    template <class... A> int call(const char* name, A... arguments) const {
        auto function = reinterpret_cast<int (*)(A...)>(dlsym(handle, name));
        if (!function) fail(name, "is not in the library");
        return function(arguments...);
    }
    template <class... A> void must(const char* name, A... arguments) const {
        if (int code = call(name, arguments...)) fail(name, "ended with " + std::to_string(code));
    }
    [[noreturn]] static void fail(const char* name, const std::string& why) {
        std::fprintf(stderr, "%s: %s\n", name, why.c_str());
        std::exit(3);
    }
    void* handle = nullptr;
};

/* The device: a GPU by its driver, or a CPU that stands in for one, where somebody allows it. */
class Cube {
  public:
    static Cube& here() {
        static Cube one;
        return one;
    }
    char name[256] = "CPU STAND-IN (no GPU was used)";
    bool is_gpu = false;
    CubeLibrary driver{"CUBE_LIBCUDA", {"libcuda.so.1"}};
    void* module = nullptr;

  private:
    Cube() {
        if (std::getenv("CUBE_CPU_STAND_IN")) return;
        int count = 0, device = 0, major = 0, minor = 0;
        void* context = nullptr;
        if (driver.handle && driver.call("cuInit", 0u) == 0) driver.call("cuDeviceGetCount", &count);
        if (!count) {
            const char* why = driver.handle ? "its driver sees none" : "no driver";
            std::fprintf(stderr, "no CUDA device (%s), and nobody allows a CPU\n", why);
            std::exit(3);
        }
        driver.must("cuDeviceGet", &device, 0);
        driver.must("cuDeviceGetName", name, (int)sizeof name, device);
        driver.must("cuDevicePrimaryCtxRetain", &context, device);
        driver.must("cuCtxSetCurrent", context);
        driver.must("cuDeviceGetAttribute", &major, 75, device);
        driver.must("cuDeviceGetAttribute", &minor, 76, device);
        std::vector<char> code = compiled("--gpu-architecture=sm_" + std::to_string(10 * major + minor));
        driver.must("cuModuleLoadData", &module, (const void*)code.data());
        is_gpu = true;
    }
    static std::vector<char> compiled(const std::string& architecture) {
        CubeLibrary nvrtc("CUBE_NVRTC", {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"});
        if (!nvrtc.handle) CubeLibrary::fail("NVRTC", "is not there, and this program was not built by nvcc");
        std::string source = text_of(CUBE_SOURCE), header = text_of("cube_cuda.h");
        const char *headers[] = {header.c_str()}, *names[] = {"cube_cuda.h"};
        const char* options[] = {architecture.c_str()};
        void* program = nullptr;
        size_t size = 0;
        nvrtc.must("nvrtcCreateProgram", &program, source.c_str(), (const char*)CUBE_SOURCE, 1,
                   (const char**)headers, (const char**)names);
        if (nvrtc.call("nvrtcCompileProgram", program, 1, (const char**)options)) {
            nvrtc.must("nvrtcGetProgramLogSize", program, &size);
            std::string told(size, ' ');
            nvrtc.must("nvrtcGetProgramLog", program, told.data());
            CubeLibrary::fail(CUBE_SOURCE, "cannot be compiled\n" + told);
        }
        nvrtc.must("nvrtcGetCUBINSize", program, &size);
        std::vector<char> code(size);
        nvrtc.must("nvrtcGetCUBIN", program, code.data());
        return code;
    }
    static std::string text_of(const char* path) {
        std::ifstream file(path);
        if (!file) CubeLibrary::fail(path, "cannot be read: a program compiles its own source for its GPU");
        return {std::istreambuf_iterator<char>(file), {}};
    }
};
#define CUBE_DEVICE Cube::here().name

template <class T> T* to_device(std::vector<T>& values) {
    Cube& cube = Cube::here();
    if (!cube.is_gpu) return values.data();
    unsigned long long there = 0;
    cube.driver.must("cuMemAlloc_v2", &there, values.size() * sizeof(T));
    cube.driver.must("cuMemcpyHtoD_v2", there, (const void*)values.data(), values.size() * sizeof(T));
    return reinterpret_cast<T*>(there);
}

template <class T> void from_device(std::vector<T>& values, T* there) {
    Cube& cube = Cube::here();
    if (!cube.is_gpu) return;
    auto from = reinterpret_cast<unsigned long long>(there);
    cube.driver.must("cuMemcpyDtoH_v2", (void*)values.data(), from, values.size() * sizeof(T));
    cube.driver.must("cuMemFree_v2", from);
}

template <class... A> void cube_launch_gpu(const char* name, dim3 grid, dim3 block, A... arguments) {
    Cube& cube = Cube::here();
    void *function = nullptr, *none = nullptr;
    void* given[] = {(void*)&arguments...};
    cube.driver.must("cuModuleGetFunction", &function, cube.module, name);
    cube.driver.must("cuLaunchKernel", function, grid.x, grid.y, grid.z, block.x, block.y, block.z, 0u,
                     none, (void**)given, (void**)nullptr);
    cube.driver.must("cuCtxSynchronize");
}

template <class K, class... A> void cube_launch(const char* name, K kernel, dim3 grid, dim3 block, A... arguments) {
    if (Cube::here().is_gpu) return cube_launch_gpu(name, grid, block, arguments...);
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
#define launch(kernel, ...) cube_launch(#kernel, kernel, __VA_ARGS__)

#endif
