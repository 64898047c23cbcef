#!/bin/sh
# What the pod of a job runs: /job holds the job's files, read only; /work is its own folder.
# CUBE_SITE: the site's name. CUBE_CUDA: the CUDA source; empty: run /cube/script.
# CUBE_RESOURCE: of which devices the pod has some; empty: it is a stand-in, and says so.
if [ -z "${CUBE_RESOURCE:-}" ]; then
    echo "CPU STAND-IN: no GPU is used here, at the site $CUBE_SITE"
    export CUBE_CPU_STAND_IN=1
fi
export HOME=/work TMPDIR=/work
cd /work || exit 70
for one in /job/*; do
    # -L: in a volume each file is a link to its newest version.
    [ ! -e "$one" ] || cp -RL "$one" . || exit 70
done
if [ -z "$CUBE_CUDA" ]; then
    sh /cube/script "$@"
    exit $?
fi
[ -e cube_cuda.h ] || cp -L /cube/cube_cuda.h . || exit 70
build() {
    if [ -n "${CUBE_RESOURCE:-}" ] && command -v nvcc >/dev/null; then
        nvcc -std=c++17 -O2 -I. "$CUBE_CUDA" -o ./cube-program
    else
        # On a device the program compiles its own source by NVRTC, as it begins.
        c++ -std=c++20 -O2 -pthread -I. "-DCUBE_SOURCE=\"$CUBE_CUDA\"" -x c++ "$CUBE_CUDA" -o ./cube-program
    fi
}
if ! build; then
    echo "$CUBE_CUDA could not be built" >&2
    exit 65
fi
./cube-program "$@"
# Not exec: process 1 of a container is spared many signals, and a crash must look like one.
exit $?
