# Builds the program with cuBLAS, which a CUDA source alone cannot ask for, and runs it.
nvcc -std=c++17 -O2 -I. blas.cu -lcublas -o blas && ./blas
