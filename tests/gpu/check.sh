#!/bin/bash
# Runs stepbench on a GPU and judges its figures; README.md describes the claims.
# Usage: [ONLY="ref truth"] check.sh OUT. About 7.5 minutes on one GPU; each stage has a time limit.
# The exit code is the judge's: 0 if every claim passes. ONLY keeps the results of other stages.
H=$(cd "$(dirname "$0")" && pwd); ROOT=$(cd "$H/../.." && pwd)
O=${1:?usage: check.sh OUT}; mkdir -p "$O"; O=$(cd "$O" && pwd)
W=${WORK:-/tmp/stepbench-gpu}; mkdir -p "$W"; cd "$W" || exit 2
PYTHON=${PYTHON:-python3}
export PYTHONPATH=$ROOT/bench:$ROOT/reports${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
export STEPBENCH_CACHE_DIR=${STEPBENCH_CACHE_DIR:-/tmp/sbcache}

stage() {  # LIMIT_S NAME RESULT COMMAND...: writes RESULT, and removes an older one first; see NAME.log
  local s=$SECONDS l=$1 n=$2 result=$3; shift 3
  [[ -z $ONLY || " $ONLY " == *" $n "* ]] || return 0
  rm -rf "${W:?}/$result"
  timeout -k 5 "$l" "$@" >"$W/$n.log" 2>&1; echo "== $n rc=$? $((SECONDS-s)) s (at $SECONDS)"
}

( uname -a; nvidia-smi; nvidia-smi -q -d CLOCK,PERFORMANCE; nproc; which gcc git; "$PYTHON" -V ) >facts.log 2>&1
nvidia-smi --query-gpu=timestamp,clocks.sm,memory.used,utilization.gpu,clocks_event_reasons.active --format=csv -lms 500 >smi.csv 2>&1 & SMI=$!
cp "$H/truth_gpu.py" .

stage 50 ref reference.json "$PYTHON" "$H/reference.py" reference.json
stage 60 truth truth "$PYTHON" -m stepbench run --device cuda --workload truth_gpu.py:fast truth_gpu.py:slow truth_gpu.py:greedy --batch-size 4 --num-workers 0 --pin-memory on --non-blocking on --compile off --steps 60 --no-parity --output truth
stage 160 real real "$PYTHON" -m stepbench run --device cuda --workload convnet --batch-size 32 --num-workers 0 --compile off default reduce-overhead --max-time 3 --parity-budget 15 --output real
stage 110 big big "$PYTHON" -m stepbench run --device cuda --workload resnet18 --batch-size 512 --num-workers 8 --compile off --precision fp32 tf32 bf16 --max-time 3 --parity-budget 15 --output big
stage 50 prof prof "$PYTHON" -m stepbench run --device cuda --workload convnet --batch-size 32 --num-workers 0 --compile off --steps 20 --no-parity --profile --memory-snapshot --output prof

# A repository with two commits; the second has a tenth more work in backward.
git init -q gate 2>/dev/null && (
  cd gate && git config user.email a@b && git config user.name a && cp "$H/truth_gpu.py" w.py &&
  git add . && git commit -qm base &&
  sed -i 's/"backward": 6_000_000/"backward": 6_600_000/' w.py && git commit -qam head )
stage 110 gate check env -C gate "$PYTHON" -m stepbench regression --base HEAD~1 --workload w.py:fast --device cuda --batch-size 4 --num-workers 0 --pin-memory on --non-blocking on --compile off --no-parity --budget 90s --pair-time 1 --output ../check
kill $SMI

"$PYTHON" "$H/judge.py" "$W" >verdict.txt 2>&1; VERDICT=$?
tar czf "$O/all.tgz" --exclude='*/tb' --exclude='gate' .; cp verdict.txt reference.json "$O/"
tail -n 12 ./*.log | cut -c1-200 | tail -60
cat verdict.txt
exit $VERDICT
