#!/usr/bin/env bash
# Everything that a machine with a GPU is asked, in under ten minutes; no stage's failure stops the next.
#
#   bash benchmarks/gpu.sh OUT [PEER]
#
# OUT: the folder for summary.txt, log.txt and JSON. PEER: a checkout of NVIDIA's StyleGAN2-ADA, whose operators compete.
# From the environment: PYTHON (python3), CARRIED, a GANZOO_CACHE filled elsewhere by `ganzoo kernels build` for this
# torch and this card; GANZOO_COMMIT, where there is no .git; QUICK=1, fewer rounds; LIMIT, seconds in all (580).
set -u

OUT=${1:?usage: benchmarks/gpu.sh OUT [PEER]}
PEER=${2:-}
PYTHON=${PYTHON:-python3}
LIMIT=${LIMIT:-580}
mkdir -p "$OUT" || exit
OUT=$(realpath "$OUT")
[ -z "$PEER" ] || PEER=$(realpath "$PEER")
cd "$(dirname "$0")/.." || exit
WORK=$(mktemp -d)
export GANZOO_CACHE=$WORK/cache GANZOO_RESULTS=$OUT TORCH_EXTENSIONS_DIR=$WORK/extensions PYTHONUNBUFFERED=1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
: >"$OUT/log.txt"
: >"$OUT/summary.txt"
failures=0

# stage NAME SECONDS COMMAND...: its own time limit, and its own part of log.txt. The first signal is Ctrl-C's, on which
# pytest still writes what it has.
stage() {
    local name=$1 limit=$2 code began=$SECONDS left=$((LIMIT - SECONDS)) log=$WORK/$1.log
    shift 2
    if [ "$left" -lt 10 ]; then
        report "$name" "left out: no time" 0
        return 1
    fi
    limit=$((limit < left ? limit : left))
    { timeout --signal=INT --kill-after=15 "$limit" "$@" >"$log" 2>&1 </dev/null; } 2>/dev/null
    code=$?
    { echo "===== $name: $*"; cat "$log"; echo "===== $name: exit $code"; } >>"$OUT/log.txt"
    case $code in
        0) report "$name" ok $((SECONDS - began)) ;;
        124 | 137) report "$name" "ran out of its $limit s" $((SECONDS - began)) ;;
        *) report "$name" "failed ($code)" $((SECONDS - began)) ;;
    esac
    [ $code -eq 0 ] || tail -n 5 "$log" | cut -c1-200
    return $code
}

report() {
    case $2 in ok | "not here"*) ;; *) failures=$((failures + 1)) ;; esac
    printf '%-12s %-28s %4s s\n' "$1" "$2" "$3" | tee -a "$OUT/summary.txt"
}

describe() {
    nvidia-smi
    nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem --format=csv
    nvcc --version
    lscpu | grep -E 'Model name|^CPU\(s\)'
    "$PYTHON" -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.get_device_name())'
}

# Plugins and the command are found through the installed distribution; nothing is fetched.
install() {
    "$PYTHON" -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
}

build() {
    [ -z "${CARRIED:-}" ] || { mkdir -p "$GANZOO_CACHE" && cp -r "$CARRIED/." "$GANZOO_CACHE/"; }
    "$PYTHON" -m ganzoo kernels build
    code=$?
    "$PYTHON" -m ganzoo doctor
    find "$GANZOO_CACHE" -name build.log -exec tail -n 40 {} +
    return $code
}

# The peer's plugins take minutes to compile: in the background, while the others are at work.
build_peer() {
    "$PYTHON" -c 'import sys; from pathlib import Path; sys.path.insert(0, "benchmarks"); from forms import Peer
peer = Peer(Path(sys.argv[1]), "cuda"); print(peer.name); sys.exit(peer.implementation != "cuda")' "$PEER"
}

export -f describe install build build_peer
export PYTHON PEER

if [ -n "$PEER" ]; then
    timeout --kill-after=15 300 bash -c build_peer >"$WORK/peer.log" 2>&1 </dev/null &
    building=$!
fi
stage describe 30 bash -c describe
stage install 60 bash -c install
stage build 120 bash -c build
stage tests 120 "$PYTHON" -m pytest -q -n 4 tests/ops tests/test_cuda.py
stage card 60 "$PYTHON" benchmarks/card.py "$OUT/card.json"
if command -v compute-sanitizer >/dev/null; then
    # Without torch's own allocator, which hides what lies beyond a tensor inside a larger block.
    stage sanitizer 80 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool memcheck --error-exitcode 9 \
        "$PYTHON" benchmarks/card.py touch
else
    report sanitizer "not here: compute-sanitizer" 0
fi
if [ -n "$PEER" ]; then
    wait $building
    code=$?
    { echo "===== peer"; cat "$WORK/peer.log"; echo "===== peer: exit $code"; } >>"$OUT/log.txt"
    report peer "$([ $code -eq 0 ] && echo ok || echo "failed ($code)")" 0
fi
stage table 400 "$PYTHON" -m pytest benchmarks/test_kernels.py --benchmark-enable -q -s --on cuda \
    ${QUICK:+--quick} ${PEER:+--peer "$PEER"}
nvidia-smi --query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu --format=csv,noheader 2>/dev/null |
    sed 's/^/clocks after: /' | tee -a "$OUT/summary.txt"
echo "$failures stages failed, $SECONDS s" | tee -a "$OUT/summary.txt"
rm -rf "$WORK"
[ "$failures" -eq 0 ]
