#!/usr/bin/env bash
# Serves the large model of a recipe with vLLM on A100s; --print shows the command instead. What each flag is for:
# README.md beside it. For another port set PORT, and url in the recipe.
set -euo pipefail

usage="usage: serve.sh [--print] llama-3.1-8b | llama-3.1-70b | llama-3.1-70b-int8 | qwen2.5-72b | ducks"
run=exec
if [[ "${1:-}" == --print ]]; then
    run=echo
    shift
fi
case "${1:-}" in
llama-3.1-8b) model=(meta-llama/Llama-3.1-8B-Instruct --tensor-parallel-size 1) ;;
llama-3.1-70b) model=(meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 4) ;;
llama-3.1-70b-int8) model=(RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w8a8 --tensor-parallel-size 2) ;;
qwen2.5-72b) model=(Qwen/Qwen2.5-72B-Instruct --tensor-parallel-size 4) ;;
ducks) model=(meta-llama/Llama-3.1-8B-Instruct --data-parallel-size 10 --api-server-count 4) ;;
*)
    echo "$usage" >&2
    exit 2
    ;;
esac
$run vllm serve "${model[@]}" --host 127.0.0.1 --port "${PORT:-8000}" --max-model-len 4096 \
    --max-num-seqs 256 --gpu-memory-utilization 0.90 --enable-prefix-caching --enable-prompt-tokens-details \
    --generation-config vllm
