#!/bin/sh
# Builds llama.cpp's llama-server from the source archive of the llama-cpp-python release that is given (0.3.36), so that
# it is the same revision as edgesearch runs on, for this machine's processor, and without a web page.
#
#     sh benchmarks/peers/build_server.sh DIRECTORY     ->  DIRECTORY/build/bin/llama-server
#
# Needs pip, CMake, Ninja and a C++ compiler; takes 10 to 25 minutes on two cores.
set -eu
directory=$1
release=0.3.36
mkdir -p "$directory"
python3 -m pip download --no-deps --no-binary llama-cpp-python --dest "$directory" "llama-cpp-python==$release"
tar -xzf "$directory/llama_cpp_python-$release.tar.gz" -C "$directory"
cmake -G Ninja -S "$directory/llama_cpp_python-$release/vendor/llama.cpp" -B "$directory/build" \
  -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
  -DLLAMA_OPENSSL=OFF
ninja -C "$directory/build" llama-server
echo "$directory/build/bin/llama-server"
